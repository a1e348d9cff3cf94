"""A limit as data: the counted unit, its window and amount, the vendor's penalty, and the source of these facts.

Also the two answers to a reservation of limits: a permit for one call, or a denial with the time to wait.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.outcome import Scope


class Unit(StrEnum):
    """What a limit counts."""

    CALLS = "calls"
    PERSON_TIMES = "person-times"
    IN_FLIGHT = "calls in flight"
    """Calls at the same time, so without a window. Checked when a call is marked."""
    ALLOWANCE = "allowance"
    """Granted when the recipient does something, not by time. Used when a call is marked."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One published limit of a vendor. Several windows of one thing are several limits."""

    name: str
    """Key template, such as `member_minute`. With the subject it makes the limit key."""
    window_s: int
    """The window in seconds, or 0 if the limit has none; see `Unit`."""
    amount: int
    unit: Unit
    scope: Scope
    """What waits when the limit is used up: only the part (a member's cap), or the lane."""
    penalty: str
    """What the vendor does beyond the limit: `45009`, `silent drop`."""
    source: str
    """The vendor's page and date."""


def used_up_reason(limit_name: str) -> str:
    """Returns why a lane, or a part, waits for a limit, for people."""
    return f"limit {limit_name} is used up"


@dataclass(frozen=True, slots=True)
class LimitCounter:
    """A limit of one account: with the account's amount, and the subject that it counts for."""

    limit: Limit
    """The limit with the account's amount, which is 0 if the limit is switched off."""
    subject_kind: str
    """The kind of subject in words: `the app`, `each member`, an API's path."""
    subject: str | None = field(default=None, repr=False)
    """The subject of the charges, or None if there are many and none was named."""


@dataclass(frozen=True, slots=True)
class Charge:
    """The units that one call takes from one limit key."""

    limit: Limit
    subject: str
    """The subject of the limit in clear text: the corp and API, or the member. Hashed before it is stored."""
    units: int = 1
    recipient: str | None = field(default=None, repr=False)
    """The recipient, as the spec names it, if the charge is for one recipient; None if it is for the whole call."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How many units a limit allows in a window."""

    units: int
    shared: bool
    """True when all lanes of the account that the limit counts share it."""


@dataclass(frozen=True, slots=True)
class Use:
    """Units that were taken from one bucket of one limit key."""

    key: str
    slot: int
    units: int


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """The reservation of all limits of one call. If the call starts too late, it needs a new one."""

    starts_before: float
    """When the call must have started, by the governor's monotonic clock."""
    uses: tuple[Use, ...] = field(default=(), repr=False)
    owner: object = field(default=None, repr=False)
    remaining: int = 0
    """How many more messages to this recipient fit now. Set only while that recipient's window fills so fast that
    later messages will be refused, else 0."""
    returned: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Acquired when the permit is given back, so that its units are returned only once."""


@dataclass(frozen=True, slots=True)
class Denied:
    """A denial: a limit of the call is used up. `scope`, `delay` and `limit` say what to block, how long and why."""

    scope: Scope
    """The widest scope of the limits that were short. PART if the call is impossible, or so big that smaller calls
    still have room."""
    delay: float
    """Seconds until the limits of that scope can have room. A lane never waits for a member's cap. Always finite."""
    limit: str
    """The limit's name, never its subject."""
    call_delay: float
    """Seconds until all limits of this call have room, if no other call reserves them; `inf` if it is impossible."""
    members: Mapping[str, float] = field(default_factory=dict, repr=False)
    """Recipient -> seconds until its own limits have room; empty unless only such limits were short."""
    retry_in_s: float | None = None
    """Seconds until a call for one recipient should try again, after the calls that already wait for that recipient.
    None for other calls."""

    @property
    def impossible(self) -> bool:
        """True when no waiting helps, because the call costs more than the limit's whole amount."""
        return math.isinf(self.call_delay)
