"""Counting in windows: one key, one window, sliding and aligned at once.

Does not know what is counted and what happens beyond a limit.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

MINUTE = 60.0
HOUR = 3600.0
DAY = 86_400.0
MONTH = 30 * DAY
"""Seconds of a sliding month; an aligned one is a calendar month."""


@dataclass(slots=True)
class CountedWindow:
    """What was taken from one key in one window length."""

    seconds: float
    amount: int
    zone_s: float
    """Seconds by which the calendar of days and months is ahead of UTC."""
    taken: deque[tuple[float, int]] = field(default_factory=deque)
    sliding: int = 0
    aligned: int = 0
    aligned_start: float = 0.0

    def look(self, now: float, cost: int) -> dict[str, int]:
        """The totals `cost` more would make, by kind of window, where they exceed the amount."""
        self._forget(now)
        totals = {"aligned": self.aligned + cost}
        if self.seconds != DAY:
            totals["sliding"] = self.sliding + cost
        return {kind: total for kind, total in totals.items() if self.amount and total > self.amount}

    def take(self, now: float, cost: int) -> None:
        """Count `cost`."""
        if self.seconds != DAY:
            self.taken.append((now, cost))
            self.sliding += cost
        self.aligned += cost

    def _forget(self, now: float) -> None:
        taken, oldest = self.taken, now - self.seconds
        while taken and taken[0][0] <= oldest:
            self.sliding -= taken.popleft()[1]
        start = aligned_start(now, self.seconds, self.zone_s)
        if start != self.aligned_start:
            self.aligned_start, self.aligned = start, 0


def aligned_start(now: float, seconds: float, zone_s: float) -> float:
    """When the clock-face window holding `now` began; days and months are those of the calendar."""
    if seconds == MONTH:
        today = datetime.fromtimestamp(now, timezone(timedelta(seconds=zone_s)))
        return today.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    offset = zone_s if seconds == DAY else 0.0
    return now - (now + offset) % seconds
