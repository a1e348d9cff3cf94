"""A limit as data: what is counted, in which window, how much, what happens beyond it, and the source."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.outcome import Scope


class Unit(StrEnum):
    """What a limit counts."""

    CALLS = "calls"
    PERSON_TIMES = "person-times"
    IN_THE_AIR = "calls in the air"
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
    not_kept: str = ""
    """Why calls are not counted against it although the vendor may count them; empty: they are counted."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A limit as it is kept for an account: its amount, and the subject that it counts for."""

    limit: Limit
    """The limit with the account's amount; 0: it is off."""
    of: str
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
