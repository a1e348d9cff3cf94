"""The group messages a customer or group takes in a month, week or day, corp-made and member-made (page 92135).

Does not know tasks. Beyond the cap nothing is refused when a task is made; the customer does not receive.
"""

from calendar import monthrange
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from worker_simulator.clock import Clock
from worker_simulator.settings import SimulatorSettings


class Caps:
    """What every customer and group of every corp has received, and when."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._received: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def is_used_up(self, corpid: str, recipient: str) -> bool:
        """Whether a recipient takes nothing more now."""
        start, most = self._period()
        return sum(at >= start for at in self._received[corpid, recipient]) >= most

    def receive(self, corpid: str, recipient: str, count: int = 1) -> None:
        """Note messages that arrived."""
        self._received[corpid, recipient] += [self._clock.now()] * count

    def _period(self) -> tuple[float, int]:
        """The period's start in Unix seconds, by the calendar of the settings' zone, and how many it allows."""
        zone = timedelta(hours=self._settings.limits.day_zone_h)
        now = datetime.fromtimestamp(self._clock.now(), UTC) + zone
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        starts, most = {
            "day": (day, 1),
            "week": (day - timedelta(days=day.weekday()), 7),
            "month": (day.replace(day=1), monthrange(day.year, day.month)[1]),
            "seed": (day.replace(day=1), 4),
        }[self._settings.external.cap]
        return (starts - zone).timestamp(), most
