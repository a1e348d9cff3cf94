"""The outcomes of a call. A channel turns a vendor's reply into one of them; all later steps match on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Scope(StrEnum):
    """The widest thing that a wait or a parking blocks."""

    PART = "part"
    LANE = "lane"
    ACCOUNT = "account"


class Penalty(StrEnum):
    """What a refusal means for its lane beyond the wait it names; the steps are in `lane.py`."""

    FREQUENCY = "frequency"
    """Blocked for the window exceeded; the vendor does not say which, so the block grows with each refusal."""
    PARALLEL = "parallel"
    """Half as many calls in the air."""
    SERIAL = "serial"
    """One call in the air."""
    ALARM = "alarm"
    """An operator must look."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What became of a group-send at one member or at one customer of that member, as last read."""

    member: str
    recipient: str
    """Customer or customer group; empty: the member's own task."""
    status: int
    """The vendor's: 0 waiting, 1 sent, 2 no contact any more, 3 quota spent; of a member's task 0 waiting, 2 done."""
    happened_at: int | None = None
    """Unix seconds, where the vendor says when it was sent."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One recipient the vendor refused."""

    recipient: str
    """As the caller wrote it; the vendor's spelling is matched without regard to case."""
    kind: str
    """`user`, `party`, `tag`."""
    field: str
    """The list of the vendor's answer that named it, such as `invaliduser`."""


@dataclass(frozen=True, slots=True)
class CallReceipt:
    """What the vendor gave for a call it took; every field may be empty."""

    msgid: str | None = None
    response_code: str | None = None
    media_id: str | None = None
    warning: str | None = None
    """A promised id that is missing, or the vendor's wrong-format warning: taken, but a person should look."""
    not_sent: bool = False
    """True when nothing had to be called: a recall of something that never left."""
    from_repeat: bool = False
    """True when only a repeat's answer proves that the call was accepted."""
    extra: Mapping[str, str] = field(default_factory=dict)
    task_id: str | None = None
    """The caller's own task_id, set when the only proof of the call is that the vendor knows it. It counts as proof
    unless another part may have used it."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The vendor took the call for every recipient."""

    receipt: CallReceipt


@dataclass(frozen=True, slots=True)
class Partial:
    """The vendor took the call and refused some recipients."""

    receipt: CallReceipt
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """The call may be made again later: a readable answer says so, or it certainly never left. Counts as an attempt."""

    reason: str
    busy: bool = False
    """The vendor's -1, after which its rule allows three retries at most."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The part waits through no fault of its own: not an attempt. `delay` in seconds from when it is recorded."""

    scope: Scope
    delay: float
    reason: str
    penalty: Penalty | None = None
    remedy: str | None = None
    """What a person should change meanwhile; None: nothing, as far as is known."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One page of many was read: the part goes on with `spec` after `delay` seconds. Not an attempt."""

    spec: Mapping[str, object] = field(repr=False)
    reason: str
    delay: float = 0.0
    confirmations: tuple[Confirmation, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """A look-up that ended without a certain match: the part stays in doubt, for a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class StaleToken:
    """The vendor refused the token this call carried. Not an attempt."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for good. `refusals` when the vendor named the recipients (81013: all of them)."""

    reason: str
    refusals: tuple[Refusal, ...] = ()
    retry_with: str | None = None
    """`media`: the media_id is gone; upload once more and try again instead of giving up."""
    unknown_code: bool = False
    """The vendor's errcode is in none of our tables: it may be about this call, or about all calls."""
    ends_doubt: bool = False
    """Every earlier call of the part must have been refused in the same way, so it ends their doubt."""


def unknown_code(code: int) -> Rejected:
    """The outcome of an errcode that is in none of our tables."""
    return Rejected(f"errcode {code} (not in the catalogue)", unknown_code=True)


@dataclass(frozen=True, slots=True)
class Parked:
    """An operator must act; everything in the scope waits and none of it is lost. Not an attempt."""

    scope: Scope
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Bytes may have left, and no readable answer came back, or one that leaves open which recipients got it."""

    reason: str
    refusals: tuple[Refusal, ...] = ()
    """The recipients that the answer names as refused; of the others nothing is known."""
    held: bool = False
    """An answer came, so the policy for lost answers does not apply: a person decides, nothing is repeated."""


Outcome = Accepted | Partial | Retry | Wait | Progress | Held | StaleToken | Rejected | Parked | Unknown


ContradictionSort = Literal["code", "field", "type", "promise"]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Where an answer does not look as the vendor's page says."""

    sort: ContradictionSort
    fact: str
    """What it contradicts, in our words; of the answer only the name of a field or a code."""
    sample: str
    """The answer's shape: names, types and lengths; of values only the errcode."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome with the facts of the vendor's words that the attempt keeps; each but the last is a column.

    Holds no recipient and no message text.
    """

    outcome: Outcome
    errcode: int | None = None
    errmsg: str | None = None
    """The vendor's text, cleaned and redacted."""
    hint: str | None = None
    """The vendor's trace number; its support asks for it."""
    caller_ip: str | None = None
    contradictions: tuple[Contradiction, ...] = ()
    """Usually none."""
