"""How bulk comes to its part of a full lane: behind every seven other parts one of bulk is owed, and goes first.

Counted twice by the same rule: by the relay over what it offers, and by each process over the calls it makes, for where
a limit is the bottleneck only the first of each doorbell find room. What was picked and not called is taken back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice, pairwise

from worker.domain.bulk_quota import _MOST, mix
from worker.domain.job import Priority
from worker.outbox.jobs.loading import DuePart

LANES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Picked:
    """Parts that go next, and what is owed again when one of them is not called after all."""

    due_parts: tuple[DuePart, ...]
    paid: dict[str, int]


class BulkQuota:
    """What one process owes to bulk, lane by lane. Thread-safe."""

    def __init__(self) -> None:
        self._owed: dict[str, int] = {}
        self._guard = threading.Lock()

    def pick(self, lane: str, due_parts: deque[DuePart], most: int) -> Picked:
        """Takes out those that go next, so many at most."""
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
        """Return the credit that was paid for parts that were picked and not called.

        The credit is below zero where several threads, each with a pick of its own, were allowed to call their bulk
        parts only.
        """
        again = sum(paid for part, paid in picked.paid.items() if part not in called)
        if again:
            with self._guard:
                self._keep(lane, min(_MOST, self._owed.get(lane, 0) + again))

    def _keep(self, lane: str, credit: int) -> None:
        if len(self._owed) >= LANES_KEPT and lane not in self._owed:
            self._owed.clear()
        self._owed[lane] = credit
