"""What asking for room comes to: a permit for one call, or how long to wait and what waits. Counts nothing."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.domain.outcome import Scope


@dataclass(frozen=True, slots=True)
class Use:
    """Units taken out of one bucket of one key."""

    key: str
    slot: int
    units: int


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """One granted call. It must start before `starts_before`, else it is asked for again and this one stays used."""

    starts_before: float
    """On the governor's monotonic clock."""
    uses: tuple[Use, ...] = field(default=(), repr=False)
    owner: object = field(default=None, repr=False)
    room: int = 0
    """Where a recipient is sent to faster than his limits allow for long: how many more of his would find room now."""
    once: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Taken by the give-back, so that there is only one."""


@dataclass(frozen=True, slots=True)
class Denied:
    """No room. `scope`, `delay` and `limit` are what to block by; `call_delay` is when this very call can go."""

    scope: Scope
    """The widest scope of the limits that were short; PART when the call is impossible, or so big that smaller ones
    have room beside it."""
    delay: float
    """Seconds until the limits of that scope can have room: a lane never waits for a member's cap. Always finite."""
    limit: str
    """The limit's name, never its subject."""
    call_delay: float
    """Seconds until all limits of this call have room, if nobody else asks; `inf` when it is impossible."""
    members: Mapping[str, float] = field(default_factory=dict, repr=False)
    """Where only recipients' own limits were short: each of those, and the seconds until there is room for them."""
    appointment_s: float | None = None
    """Where all of the call is one recipient's: seconds until it may ask again, behind the others who wait for him."""

    @property
    def impossible(self) -> bool:
        """True when no waiting helps: the call costs more than the limit's whole amount."""
        return math.isinf(self.call_delay)
