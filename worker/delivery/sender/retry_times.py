"""Retry times: parts that wait for the same member ask again one after another, not all at once.

A backlog of n messages then asks n times in all, not n times a window.

Each process knows only the times it gave itself. They decide when a part asks again, never whether there is room.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable

MOST_KEYS = 20_000


class RetryTimes:
    """Instants (microseconds of the database's clock) at which waiting parts ask again, by limit key."""

    def __init__(self) -> None:
        self._told: dict[str, list[int]] = {}

    def told(self, key: str, now: int) -> list[int]:
        """The instants after `now` at which parts ask again, in order."""
        told = self._told.get(key, [])
        del told[: bisect_right(told, now)]
        if not told:
            self._told.pop(key, None)
        return list(told)

    def note(self, told: Iterable[tuple[str, int]]) -> None:
        """Adds instants that were given to parts."""
        for key, at in told:
            insort(self._told.setdefault(key, []), at)
        if len(self._told) > MOST_KEYS:
            # Costs no more than parts that ask too early for a while.
            self._told.clear()
