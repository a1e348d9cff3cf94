"""How long an offer stands before the same ids are offered again: longer each time, while nothing of the lane is taken.

Knows no SQL: it learns what happens to a lane from the heads that the relay reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.outbox.offering import Head


@dataclass(slots=True)
class _Untaken:
    """A lane whose first part has stood there since it was offered."""

    first: str
    rounds: int
    since: float
    """When the last round began."""


class Offers:
    """Seconds an offer stands, by lane: `first_s`, doubling to `longest_s`, and `first_s` again after a part was taken.

    Counted by lane, not by part: after an outage no part has to wait for what became of the others before it.
    """

    def __init__(self, first_s: float, longest_s: float):
        self._first_s, self._longest_s = first_s, longest_s
        self._lanes: dict[str, _Untaken] = {}

    def stands_s(self, lane: str, heads: Sequence[Head], now: float) -> float:
        """How long what is offered now of this lane stands; `heads` as just read, most urgent first, not all empty."""
        first, is_free = next((head.first, head.first_is_free) for head in heads if head.first)
        known = self._lanes.get(lane)
        if known is None or known.first != first or is_free:
            known = self._lanes[lane] = _Untaken(first, 0, now)
        elif any(head.again for head in heads) and (not known.rounds or now - known.since >= self._length_s(known)):
            known.rounds, known.since = known.rounds + 1, now
        return self._length_s(known)

    def forget(self, lane: str) -> None:
        """The lane has nothing due, or is blocked."""
        self._lanes.pop(lane, None)

    def _length_s(self, known: _Untaken) -> float:
        return min(self._longest_s, self._first_s * 2.0 ** min(known.rounds, 16))
