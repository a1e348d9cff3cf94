"""Members with their customers and the groups they own: made up from the ids asked for, by the settings.

Does not know messages and tasks.
"""

import re
from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from worker_simulator.clock import Clock
from worker_simulator.settings import SimulatorSettings

WELL_FORMED = re.compile(r"[0-9A-Za-z_-]{2,64}")
LAST_MEMBER = "service1"


@dataclass(slots=True)
class Reach:
    """Recipients of a call's tasks, by member, and those that cannot be sent to."""

    by_member: dict[str, list[str]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    malformed: int = 0

    def add(self, member: str, recipient: str) -> None:
        """Add a recipient to a member, once."""
        listed = self.by_member.setdefault(member, [])
        if recipient not in listed:
            listed.append(recipient)

    def fail(self, recipient: str) -> None:
        """Note a recipient that cannot be sent to."""
        self.malformed += not WELL_FORMED.fullmatch(recipient)
        if recipient not in self.failed:
            self.failed.append(recipient)


class Contacts:
    """Customers, groups and tags of a corp."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings

    def customers_of(self, member: str) -> list[str]:
        """All customers of a member."""
        return self._own(self._settings.external.customers, member, "wm")

    def groups_of(self, member: str) -> list[str]:
        """All groups a member owns."""
        return self._own(self._settings.external.groups, member, "wr")

    def reach(self, ids: Iterable[str], sender: str | None, known: dict[str, list[str]]) -> Reach:
        """Named customers or groups by the member who will send to them."""
        reach, missing = Reach(), _any_of(self._settings.external.missing)
        for one in dict.fromkeys(ids):
            member = sender or self._settings.external.talked_last.get(one, LAST_MEMBER)
            if not WELL_FORMED.fullmatch(one) or missing.fullmatch(one) or one not in known.get(member, (one,)):
                reach.fail(one)
            else:
                reach.add(member, one)
        return reach

    def tagged(self, customers: Iterable[str], groups: list[list[str]]) -> list[str]:
        """The customers that have a tag of every group."""
        tags = self._settings.external.tags
        return [one for one in customers if all(set(group) & set(tags.get(one, ())) for group in groups)]

    def everybody(self) -> dict[str, list[str]]:
        """All customers of all members, by the member who talked with them last."""
        known = self._settings.external
        listed = [one for customers in known.customers.values() for one in customers]
        return self.reach([*listed, *known.talked_last, *known.tags], None, {}).by_member

    def is_former(self, customer: str) -> bool:
        """Whether the customer is no contact any more."""
        return _any_of(self._settings.external.former).fullmatch(customer) is not None

    def has_tag(self, tag: str) -> bool:
        """Whether there is such a tag."""
        return _any_of(self._settings.external.missing_tags).fullmatch(tag) is None

    def _own(self, known: dict[str, list[str]], member: str, prefix: str) -> list[str]:
        made_up = [f"{prefix}-{member}-{n + 1}" for n in range(self._settings.external.made_up)]
        return list(known.get(member, made_up))


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    """One expression for all; no pattern matches nothing."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)")


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
