"""When bulk goes: every tenth call of a lane while others wait, and not in the busy minutes of an hour.

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

EVERY = 10
OTHERS = EVERY - 1
"""Other parts that go before each bulk part."""
MOST = 4 * OTHERS
"""The most credit that bulk can save, so that bulk which comes after a long pause does not take the lane for itself."""

T = TypeVar("T")


def of_bulk(whole: int) -> int:
    """Bulk's part of so many threads, parts or units of a limit while others wait: a tenth, rounded up."""
    return -(-whole // EVERY)


def mix(others: Iterable[T], bulk: Iterable[T], credit: int) -> Iterator[tuple[T, int]]:
    """Merges both into one sequence in which every tenth part is bulk; where one of them ends, the other goes on.

    Each keeps its own order. `credit`: the other parts that went since bulk's last. Yields each part with the credit
    behind it. A bulk part that nothing else wanted to go before costs no credit.
    """
    waiting, waiting_bulk = deque(others), deque(bulk)
    while waiting or waiting_bulk:
        if waiting_bulk and credit >= OTHERS:
            credit -= OTHERS
            yield waiting_bulk.popleft(), credit
        elif waiting:
            credit = min(MOST, credit + 1)
            yield waiting.popleft(), credit
        else:
            yield waiting_bulk.popleft(), credit


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
