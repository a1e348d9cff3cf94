"""Bulk's quota of a full lane: after every seven other parts one bulk part goes first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

OTHERS = 7
"""Other parts for each bulk part. An eighth of the calls keeps bulk above a tenth of any minute's calls although each
process counts for itself; see docs/ordering.md.
"""


BULK_EVERY = OTHERS + 1


MOST = 4 * OTHERS
"""The most credit that bulk can save, so that bulk which comes after a long pause does not take the lane for itself."""


T = TypeVar("T")


def after(credit: int, *, is_bulk: bool) -> int:
    """Bulk's credit after one more part was picked.

    Another part adds 1, up to 28. A bulk part costs 7; it is free when less was saved, because nothing else wanted the
    slot.
    """
    if is_bulk:
        return credit - OTHERS if credit >= OTHERS else credit
    return min(MOST, credit + 1)


def mix(others: Iterable[T], bulk: Iterable[T], credit: int) -> Iterator[tuple[T, bool, int]]:
    """Merges both into one sequence: a bulk part goes when its credit allows it, or when no other part is left.

    Each keeps its own order. Yields the part, whether it is bulk, and the credit after it.
    """
    both = {False: deque(others), True: deque(bulk)}
    while both[False] or both[True]:
        is_bulk = not both[False] or (bool(both[True]) and credit >= OTHERS)
        credit = after(credit, is_bulk=is_bulk)
        yield both[is_bulk].popleft(), is_bulk, credit
