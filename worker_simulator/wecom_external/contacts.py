"""Members with their customers and their groups. They are made up from the ids in a call, by the settings."""

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
    """The recipients of a task by member, and those that cannot be sent to."""

    by_member: dict[str, list[str]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    malformed: int = 0

    def add(self, member: str, recipient: str) -> None:
        """Adds a recipient to a member, once."""
        listed = self.by_member.setdefault(member, [])
        if recipient not in listed:
            listed.append(recipient)

    def fail(self, recipient: str) -> None:
        """Adds a recipient that cannot be sent to."""
        self.malformed += not WELL_FORMED.fullmatch(recipient)
        if recipient not in self.failed:
            self.failed.append(recipient)


class Contacts:
    """Customers, groups and tags of a corp."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings

    def customers_of(self, member: str) -> list[str]:
        """Returns all customers of a member."""
        return self._ids_of(self._settings.external.customers, member, "wm")

    def groups_of(self, member: str) -> list[str]:
        """Returns all groups that a member owns."""
        return self._ids_of(self._settings.external.groups, member, "wr")

    def reach(self, ids: Iterable[str], sender: str | None, by_member: dict[str, list[str]]) -> Reach:
        """Sorts customers or groups by the member who will send to them."""
        reach, missing = Reach(), _any_of(self._settings.external.missing)
        for recipient in dict.fromkeys(ids):
            member = sender or self._settings.external.talked_last.get(recipient, LAST_MEMBER)
            if (
                not WELL_FORMED.fullmatch(recipient)
                or missing.fullmatch(recipient)
                or recipient not in by_member.get(member, (recipient,))
            ):
                reach.fail(recipient)
            else:
                reach.add(member, recipient)
        return reach

    def tagged(self, customers: Iterable[str], groups: list[list[str]]) -> list[str]:
        """Returns the customers that have a tag of every group."""
        tags = self._settings.external.tags
        return [customer for customer in customers if all(set(group) & set(tags.get(customer, ())) for group in groups)]

    def all_customers(self) -> dict[str, list[str]]:
        """Returns all customers, by the member who talked with them last."""
        settings = self._settings.external
        listed = [customer for customers in settings.customers.values() for customer in customers]
        return self.reach([*listed, *settings.talked_last, *settings.tags], None, {}).by_member

    def is_former(self, customer: str) -> bool:
        """True if the customer is no contact any more."""
        return _any_of(self._settings.external.former).fullmatch(customer) is not None

    def has_tag(self, tag: str) -> bool:
        """True if the tag exists."""
        return _any_of(self._settings.external.missing_tags).fullmatch(tag) is None

    def _ids_of(self, by_member: dict[str, list[str]], member: str, prefix: str) -> list[str]:
        made_up = [f"{prefix}-{member}-{n + 1}" for n in range(self._settings.external.made_up)]
        return list(by_member.get(member, made_up))


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    """Returns one expression that matches any of the patterns. Without patterns it matches nothing."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)")


class Caps:
    """When each customer and group received group messages."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._received: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def is_used_up(self, corpid: str, recipient: str) -> bool:
        """True if a recipient cannot get another message in the current period."""
        start, limit = self._period()
        return sum(at >= start for at in self._received[corpid, recipient]) >= limit

    def receive(self, corpid: str, recipient: str, count: int = 1) -> None:
        """Records received messages."""
        self._received[corpid, recipient] += [self._clock.now()] * count

    def _period(self) -> tuple[float, int]:
        """Returns the start of the period in Unix seconds, by the calendar of the settings' zone, and its cap."""
        zone = timedelta(hours=self._settings.limits.day_zone_h)
        now = datetime.fromtimestamp(self._clock.now(), UTC) + zone
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        starts, limit = {
            "day": (day, 1),
            "week": (day - timedelta(days=day.weekday()), 7),
            "month": (day.replace(day=1), monthrange(day.year, day.month)[1]),
            "seed": (day.replace(day=1), 4),
        }[self._settings.external.cap]
        return (starts - zone).timestamp(), limit
