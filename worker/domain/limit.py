"""A limit is data: what is counted, in which window, how much, what happens beyond it, and who says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.outcome import Scope


class Unit(StrEnum):
    """What a limit counts."""

    CALLS = "calls"
    PERSON_TIMES = "person-times"
    IN_THE_AIR = "calls in the air"
    """At any moment, so without a window; the mark keeps it."""
    ALLOWANCE = "allowance"
    """Granted by what the other side does, not by time; the mark spends it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One published limit of a vendor. Several windows of one thing are several limits."""

    name: str
    """Key template, such as `member_minute`; with the subject it makes the limit key."""
    window_s: int
    """0: no window counts it, see `Unit`."""
    amount: int
    unit: Unit
    scope: Scope
    """What waits when there is no room: the part alone (a member's cap) or the lane."""
    penalty: str
    """What the vendor does beyond it: `45009`, `silent drop`."""
    source: str
    """The vendor's page and date."""
    not_kept: str = ""
    """Why no call is counted against it, though the vendor may; empty: it is kept."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A limit as it is kept for an account: with its amount, and what it counts apart."""

    limit: Limit
    """With the account's amount; 0: it is off."""
    of: str
    """In words: `the app`, `each member`, an API's path."""
    subject: str | None = field(default=None, repr=False)
    """The charges' subject; null: one of many, and none was named."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one call costs against one limit key."""

    limit: Limit
    subject: str
    """What the limit counts apart, in clear: the corp and API, or the member. Hashed before it is stored."""
    units: int = 1
    recipient: str | None = field(default=None, repr=False)
    """Whose charge it is, as the spec names them, where it belongs to one recipient alone; null: it is the call's."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What a limit lets through in a window."""

    units: int
    shared: bool
    """All lanes of the account that it counts share it."""
