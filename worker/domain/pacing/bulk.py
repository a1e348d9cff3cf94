"""When bulk goes: after every seven other parts of a full lane, and not in the busy minutes of an hour.

The vendor says that many applications send in the minutes 0 and 30, when delivery is slower, and advises batch jobs to
avoid them. Half hours are the same in UTC and at the vendor's.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from worker.domain.pacing.lane import SECOND

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


# -- busy minutes -----------------------------------------------------------------------------------------------------

HALF_HOUR = 1_800 * SECOND


@dataclass(frozen=True, slots=True)
class Pacing:
    """Puts bulk off the busy minutes. Instants in microseconds UTC; the randomness is passed in."""

    rng: random.Random
    busy_s: int = 60
    """Seconds from each half hour on in which no bulk is sent."""
    spread_s: int = 240
    """Seconds after the busy minute over which the parts that were put off are spread."""

    def is_busy(self, now: int) -> bool:
        """True in minute 0 and minute 30."""
        return now % HALF_HOUR < self.busy_s * SECOND

    def ends_at(self, now: int) -> int:
        """The end of the busy minute that `now` is in."""
        return now - now % HALF_HOUR + self.busy_s * SECOND

    def latest(self, now: int) -> int:
        """The instant before which every part that `later` puts off is due."""
        return now - now % HALF_HOUR + (self.busy_s + self.spread_s) * SECOND

    def later(self, now: int) -> int:
        """A random instant after the busy minute that `now` is in."""
        start = now - now % HALF_HOUR
        return start + int((self.busy_s + self.rng.uniform(0, self.spread_s)) * SECOND)
