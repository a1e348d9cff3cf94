"""Bulk keeps off the minutes in which everybody sends.

The vendor's advice on timing: many applications fire at minute 0 and minute 30 of the hour, delivery is slower then;
avoid these minutes, spread batch jobs. Half hours are the same in UTC and at the vendor's.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

SECOND = 1_000_000
HALF_HOUR = 1_800 * SECOND


@dataclass(frozen=True, slots=True)
class Pacing:
    """Instants in microseconds UTC; the randomness is passed in."""

    rng: random.Random
    busy_s: int = 60
    """The minute that is left to others."""
    spread_s: int = 240
    """What was kept off is due anywhere in so many seconds after it."""

    def is_busy(self, now: int) -> bool:
        """True in minute 0 and minute 30."""
        return now % HALF_HOUR < self.busy_s * SECOND

    def latest(self, now: int) -> int:
        """Whatever is put off by `later` is due before this instant."""
        return now - now % HALF_HOUR + (self.busy_s + self.spread_s) * SECOND

    def later(self, now: int) -> int:
        """An instant after the busy minute that `now` is in."""
        start = now - now % HALF_HOUR
        return start + int((self.busy_s + self.rng.uniform(0, self.spread_s)) * SECOND)
