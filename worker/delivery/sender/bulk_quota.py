"""The share of bulk in the calls of one process: behind every seven other parts of a lane, one bulk part goes first.

The relay counts what it offers by the same rule. Each process counts its calls as well, because where a limit is the
bottleneck only the first parts of each doorbell find room. What was picked and not called is taken back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice, pairwise

from worker.domain.job import Priority
from worker.domain.pacing.bulk_quota import _MOST, mix
from worker.outbox.jobs.loading import DuePart

LANES_KEPT = 10_000
"""Lanes whose credit is remembered; one more, and all of them start again from 0."""


@dataclass(frozen=True, slots=True)
class Picked:
    """Parts that go next, and by part id the credit to return when it is not called after all."""

    due_parts: tuple[DuePart, ...]
    paid: dict[str, int]


class BulkQuota:
    """Bulk's credit in one process, by lane. Thread-safe."""

    def __init__(self) -> None:
        self._owed: dict[str, int] = {}
        self._guard = threading.Lock()

    def pick(self, lane: str, due_parts: deque[DuePart], most: int) -> Picked:
        """Takes the parts that go next out of `due_parts`, at most `most` of them."""
        others = [due for due in due_parts if due.priority != Priority.BULK]
        bulk = [due for due in due_parts if due.priority == Priority.BULK]
        with self._guard:
            before = self._owed.get(lane, 0)
            line = list(islice(mix(others, bulk, before), most))
            credit = [before, *(behind for _, _, behind in line)]
            self._keep(lane, credit[-1])
        picked = [due for due, _, _ in line]
        paid = {due.id: earlier - later for due, (earlier, later) in zip(picked, pairwise(credit), strict=True)}
        rest = [due for due in due_parts if due.id not in paid]
        due_parts.clear()
        due_parts.extend(rest)
        return Picked(tuple(picked), paid)

    def take_back(self, lane: str, picked: Picked, called: Collection[str]) -> None:
        """Returns the credit that was paid for parts that were picked and not called.

        A lane's credit may fall below 0: when several threads have picked, and only their bulk parts were called.
        """
        again = sum(paid for part, paid in picked.paid.items() if part not in called)
        if again:
            with self._guard:
                self._keep(lane, min(_MOST, self._owed.get(lane, 0) + again))

    def _keep(self, lane: str, credit: int) -> None:
        if len(self._owed) >= LANES_KEPT and lane not in self._owed:
            self._owed.clear()
        self._owed[lane] = credit
