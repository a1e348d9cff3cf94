"""When bulk parts go: one in ten calls of a lane while other parts wait, and not in the busy minutes of an hour.

The vendor says that many applications send in the minutes 0 and 30, when delivery is slower, and advises batch jobs to
avoid them. Half hours are the same in UTC and at the vendor's.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

from worker.domain.pacing.lane import SECOND

BULK_EVERY = 10
COST = BULK_EVERY - 1
"""The credit that a bulk part costs: so many other parts go before it."""
MAX_CREDIT = 4 * COST
"""The most credit that bulk can save. Bulk that comes after a long pause must not take the lane for itself."""

T = TypeVar("T")


def bulk_share(total: int) -> int:
    """Returns bulk's share of threads, parts or units of a limit while other parts wait: a tenth, rounded up."""
    return ceil(total / BULK_EVERY)


def mix(normal: Iterable[T], bulk: Iterable[T], credit: int) -> Iterator[tuple[T, int]]:
    """Merges normal and bulk parts so that every tenth is bulk. When either of them ends, the other one goes on.

    Both keep their own order. `credit` is the number of normal parts since the last bulk part. Yields each part with
    the credit after it. A bulk part costs no credit when no normal part waits.
    """
    waiting, waiting_bulk = deque(normal), deque(bulk)
    while waiting or waiting_bulk:
        if waiting_bulk and credit >= COST:
            credit -= COST
            yield waiting_bulk.popleft(), credit
        elif waiting:
            credit = min(MAX_CREDIT, credit + 1)
            yield waiting.popleft(), credit
        else:
            yield waiting_bulk.popleft(), credit


# -- busy minutes -----------------------------------------------------------------------------------------------------

HALF_HOUR = 1_800 * SECOND


@dataclass(frozen=True, slots=True)
class Pacing:
    """Delays bulk that is due in a busy minute. All instants are microseconds UTC."""

    rng: random.Random
    busy_s: int = 60
    """Seconds at the beginning of each half hour in which no bulk is sent."""
    spread_s: int = 240
    """Seconds after the busy minute over which the delayed parts are spread."""

    def is_busy(self, now: int) -> bool:
        """Returns True in minute 0 and minute 30."""
        return now % HALF_HOUR < self.busy_s * SECOND

    def spread_ends_at(self, now: int) -> int:
        """Returns the instant before which every part delayed by `delayed_until` is due."""
        return now - now % HALF_HOUR + (self.busy_s + self.spread_s) * SECOND

    def delayed_until(self, now: int) -> int:
        """Returns a random instant soon after the busy minute that `now` is in."""
        start = now - now % HALF_HOUR
        return start + int((self.busy_s + self.rng.uniform(0, self.spread_s)) * SECOND)
