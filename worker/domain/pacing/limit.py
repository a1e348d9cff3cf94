"""A limit as data: what is counted, in which window, how much, what happens beyond it, and the source.

Beside it the two answers to a reservation of limits: a permit for one call, or how long to wait and what waits.
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
    IN_FLIGHT = "calls in the air"
    """Counted at any moment, so without a window; checked when a call is marked."""
    ALLOWANCE = "allowance"
    """Granted when the recipient does something, not by time; spent when a call is marked."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One published limit of a vendor. Several windows of one thing are several limits."""

    name: str
    """Key template, such as `member_minute`; with the subject it makes the limit key."""
    window_s: int
    """Seconds; 0: no window counts it, see `Unit`."""
    amount: int
    unit: Unit
    scope: Scope
    """What waits when there is no room: the part alone (a member's cap) or the lane."""
    penalty: str
    """What the vendor does beyond it: `45009`, `silent drop`."""
    source: str
    """The vendor's page and date."""


def used_up_reason(limit_name: str) -> str:
    """Why a lane, or a part, waits for a limit, in words for people."""
    return f"limit {limit_name} is used up"


@dataclass(frozen=True, slots=True)
class LimitCounter:
    """A limit as it is kept for an account: its amount, and the subject that it counts for."""

    limit: Limit
    """The limit with the account's amount; 0: it is off."""
    subject_kind: str
    """The kind of subject in words: `the app`, `each member`, an API's path."""
    subject: str | None = field(default=None, repr=False)
    """The subject of the charges; None: there are many, and none was named."""


@dataclass(frozen=True, slots=True)
class Charge:
    """The units that one call takes from one limit key."""

    limit: Limit
    subject: str
    """What the limit is counted for, in clear: the corp and API, or the member. Hashed before it is stored."""
    units: int = 1
    recipient: str | None = field(default=None, repr=False)
    """The recipient, as the spec names it, when the charge is for one recipient alone; None: it is the call's."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How many units a limit allows in a window."""

    units: int
    shared: bool
    """True when all lanes of the account that the limit counts share it."""


@dataclass(frozen=True, slots=True)
class Use:
    """Units taken out of one bucket of one key."""

    key: str
    slot: int
    units: int


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """One granted call. A call that has not started before `starts_before` needs a new permit; this one stays used."""

    starts_before: float
    """On the governor's monotonic clock."""
    uses: tuple[Use, ...] = field(default=(), repr=False)
    owner: object = field(default=None, repr=False)
    remaining: int = 0
    """How many more messages to this recipient fit now. Set only while that recipient's window fills so fast that
    later ones will be refused; otherwise 0."""
    returned: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Acquired when the permit is given back, so that its units are returned only once."""


@dataclass(frozen=True, slots=True)
class Denied:
    """No room. `scope`, `delay` and `limit` say what to block, how long and why; `call_delay` is about this call."""

    scope: Scope
    """The widest scope of the limits that were short; PART when the call is impossible, or so big that smaller calls
    still have room."""
    delay: float
    """Seconds until the limits of that scope can have room: a lane never waits for a member's cap. Always finite."""
    limit: str
    """The limit's name, never its subject."""
    call_delay: float
    """Seconds until all limits of this call have room, if no other call reserves; `inf` when it is impossible."""
    members: Mapping[str, float] = field(default_factory=dict, repr=False)
    """Recipient -> seconds until its own limits have room; empty unless only such limits were short."""
    retry_in_s: float | None = None
    """Seconds until a call for one recipient may ask again, after the calls that already wait for that recipient; None
    for other calls."""

    @property
    def impossible(self) -> bool:
        """True when no waiting helps: the call costs more than the limit's whole amount."""
        return math.isinf(self.call_delay)
