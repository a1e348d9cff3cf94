"""The two answers to a reservation of limits: a permit for one call, or how long to wait and what waits."""

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
    """One granted call. A call that has not started before `starts_before` needs a new permit; this one stays used."""

    starts_before: float
    """On the governor's monotonic clock."""
    uses: tuple[Use, ...] = field(default=(), repr=False)
    owner: object = field(default=None, repr=False)
    room: int = 0
    """How many more messages to this recipient fit now. Set only while that recipient's window fills so fast that
    later ones will be refused; otherwise 0."""
    once: threading.Lock = field(default_factory=threading.Lock, repr=False)
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
    appointment_s: float | None = None
    """Seconds until a call for one recipient may ask again, after the calls that already wait for that recipient; None
    for other calls."""

    @property
    def impossible(self) -> bool:
        """True when no waiting helps: the call costs more than the limit's whole amount."""
        return math.isinf(self.call_delay)
