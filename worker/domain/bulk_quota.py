"""How bulk comes to its part of a full lane: behind every seven other parts one of bulk is owed, and goes first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

OTHERS = 7
"""An eighth: a tenth of any minute's calls with something to spare for each process, see docs/ordering.md."""


BULK_EVERY = OTHERS + 1


_MOST = 4 * OTHERS
"""A lane that had no bulk for long does not owe it more."""


T = TypeVar("T")


def after(credit: int, *, is_bulk: bool) -> int:
    """What is owed to bulk behind one more part: in other parts since the last of bulk.

    Bulk that nothing else wanted the room of costs it nothing.
    """
    if is_bulk:
        return credit - OTHERS if credit >= OTHERS else credit
    return min(_MOST, credit + 1)


def mix(others: Iterable[T], bulk: Iterable[T], credit: int) -> Iterator[tuple[T, bool, int]]:
    """Both in one line, each in its own order: bulk where it is owed, or nothing else is left.

    With each part whether it is bulk, and what is owed behind it.
    """
    both = {False: deque(others), True: deque(bulk)}
    while both[False] or both[True]:
        is_bulk = not both[False] or (bool(both[True]) and credit >= OTHERS)
        credit = after(credit, is_bulk=is_bulk)
        yield both[is_bulk].popleft(), is_bulk, credit
