"""How bulk comes to its part of a full lane: behind every seven other parts one of bulk is owed, and goes first.

Counted twice by the same rule: by the relay over what it offers, and by each process over the calls it makes, for where
a limit is the bottleneck only the first of each doorbell find room. What was picked and not called is taken back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TypeVar

from worker.domain.job import Priority
from worker.outbox.loading import Loaded

OTHERS = 7
"""An eighth: a tenth of any minute's calls with something to spare for each process, see docs/ordering.md."""
BULK_EVERY = OTHERS + 1
_MOST = 4 * OTHERS
"""A lane that had no bulk for long does not owe it more."""
LANES_KEPT = 10_000

T = TypeVar("T")


def after(owed: int, *, is_bulk: bool) -> int:
    """What is owed to bulk behind one more part: in other parts since the last of bulk. Bulk that nothing else wanted
    the room of costs it nothing.
    """
    if is_bulk:
        return owed - OTHERS if owed >= OTHERS else owed
    return min(_MOST, owed + 1)


def mix(others: Iterable[T], bulk: Iterable[T], owed: int) -> Iterator[tuple[T, bool, int]]:
    """Both in one line, each in its own order: bulk where it is owed, or nothing else is left. With each part whether
    it is bulk, and what is owed behind it.
    """
    both = {False: deque(others), True: deque(bulk)}
    while both[False] or both[True]:
        is_bulk = not both[False] or (bool(both[True]) and owed >= OTHERS)
        owed = after(owed, is_bulk=is_bulk)
        yield both[is_bulk].popleft(), is_bulk, owed


@dataclass(frozen=True, slots=True)
class Picked:
    """Parts that go next, and what is owed again when one of them is not called after all."""

    works: tuple[Loaded, ...]
    paid: dict[str, int]


class Mixing:
    """What one process owes to bulk, lane by lane. Thread-safe."""

    def __init__(self) -> None:
        self._owed: dict[str, int] = {}
        self._guard = threading.Lock()

    def pick(self, lane: str, works: deque[Loaded], most: int) -> Picked:
        """Takes out those that go next, so many at most."""
        others = [work for work in works if work.priority != Priority.BULK]
        bulk = [work for work in works if work.priority == Priority.BULK]
        with self._guard:
            before = self._owed.get(lane, 0)
            line = list(islice(mix(others, bulk, before), most))
            owed = [before, *(behind for _, _, behind in line)]
            self._keep(lane, owed[-1])
        picked = [work for work, _, _ in line]
        paid = {work.id: earlier - later for work, (earlier, later) in zip(picked, pairwise(owed), strict=True)}
        rest = [work for work in works if work.id not in paid]
        works.clear()
        works.extend(rest)
        return Picked(tuple(picked), paid)

    def take_back(self, lane: str, picked: Picked, called: Collection[str]) -> None:
        """All but these were picked and not called. Less than nothing is owed where several threads, each with a pick
        in its hands, were let call their bulk alone.
        """
        again = sum(paid for part, paid in picked.paid.items() if part not in called)
        if again:
            with self._guard:
                self._keep(lane, min(_MOST, self._owed.get(lane, 0) + again))

    def _keep(self, lane: str, owed: int) -> None:
        if len(self._owed) >= LANES_KEPT and lane not in self._owed:
            self._owed.clear()
        self._owed[lane] = owed
