"""The outcomes of a call. A channel turns a vendor's reply into one of them, and all later steps match on it."""

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
    """What a refusal means for its lane beyond the wait that it names; `pacing/lane.py` applies it."""

    FREQUENCY = "frequency"
    """Blocked for the exceeded window. The vendor does not say which, so the block grows with each refusal."""
    PARALLEL = "parallel"
    """Half as many calls in flight."""
    SERIAL = "serial"
    """One call in flight."""
    ALARM = "alarm"
    """An operator must look."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The status of a group send at one member, or at one customer of that member, as last read."""

    member: str
    recipient: str
    """Customer or customer group, or empty for the member's own task."""
    status: int
    """The vendor's: 0 waiting, 1 sent, 2 no contact any more, 3 quota spent; of a member's task 0 waiting, 2 done."""
    happened_at: int | None = None
    """When it was sent, in Unix seconds, or None if the vendor does not say."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One recipient that the vendor refused."""

    recipient: str
    """The recipient as the caller wrote it. The vendor's spelling is matched without regard to case."""
    kind: str
    """`user`, `party`, `tag`."""
    field: str
    """The list of the vendor's answer that names it, such as `invaliduser`."""


@dataclass(frozen=True, slots=True)
class CallReceipt:
    """The ids that the vendor returned for a call it accepted. Every field may be empty."""

    msgid: str | None = None
    response_code: str | None = None
    media_id: str | None = None
    warning: str | None = None
    """Accepted, but a person should look at it: a promised id is missing, the vendor warned of a wrong format, or it
    may have dropped the call as a repeat."""
    not_sent: bool = False
    """True when no call was needed: a recall of a message that was never sent."""
    from_repeat: bool = False
    """True when only a repeat's answer proves that the call was accepted."""
    extra: Mapping[str, str] = field(default_factory=dict)
    task_id: str | None = None
    """The caller's own task_id, set when the only proof of the call is that the vendor knows this id. It counts as
    proof unless another part may have used it."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The vendor accepted the call for every recipient."""

    receipt: CallReceipt


@dataclass(frozen=True, slots=True)
class Partial:
    """The vendor accepted the call and refused some recipients."""

    receipt: CallReceipt
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """The call may be made again later: a readable answer says so, or nothing was sent. Counts as an attempt."""

    reason: str
    busy: bool = False
    """The vendor answered -1, after which its rule allows three retries at most."""
    spec: Mapping[str, object] | None = field(default=None, repr=False)
    """What the part sends from now on, or None if that does not change."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The part waits through no fault of its own. Not an attempt. `delay` counts in seconds from the record."""

    scope: Scope
    delay: float
    reason: str
    penalty: Penalty | None = None
    remedy: str | None = None
    """What a person should change meanwhile, or None if nothing is known."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One page of many was read: the part goes on with `spec` after `delay` seconds. Not an attempt."""

    spec: Mapping[str, object] = field(repr=False)
    reason: str
    delay: float = 0.0
    confirmations: tuple[Confirmation, ...] = field(default=(), repr=False)
    refusals: tuple[Refusal, ...] = field(default=(), repr=False)
    """The recipients that the vendor refused for good. The part goes on without them."""


@dataclass(frozen=True, slots=True)
class Held:
    """A search ended without a certain match: the part stays in doubt, for a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class StaleToken:
    """The vendor refused the token of this call. Not an attempt."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The call was refused for good. `refusals` holds the recipients that the vendor named (81013: all of them)."""

    reason: str
    refusals: tuple[Refusal, ...] = ()
    retry_with: str | None = None
    """`media`: the media_id has expired, and the part is tried again, once, with a new upload. None: it is not tried
    again."""
    unknown_code: bool = False
    """The vendor's errcode is in none of our tables. It may be about this call, or about all calls."""
    ends_doubt: bool = False
    """Every earlier call of the part must have been refused in the same way, so their doubt ends."""


def unknown_code(code: int) -> Rejected:
    """Returns the outcome of an errcode that is in none of our tables."""
    return Rejected(f"errcode {code} (not in the catalogue)", unknown_code=True)


@dataclass(frozen=True, slots=True)
class Parked:
    """An operator must act. Until then everything in the scope waits, and nothing is lost. Not an attempt."""

    scope: Scope
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Bytes may have been sent, but no readable answer came, or one that leaves open which recipients got it."""

    reason: str
    refusals: tuple[Refusal, ...] = ()
    """The recipients that the answer names as refused. The others are unknown."""
    held: bool = False
    """An answer came, so the policy for missing answers does not apply: a person decides, and nothing is repeated."""
    delay: float = 0.0
    """The seconds for which a proxy asks to wait. They keep the lane and so the repeat waiting, and prove nothing."""


Outcome = Accepted | Partial | Retry | Wait | Progress | Held | StaleToken | Rejected | Parked | Unknown


ContradictionSort = Literal["code", "field", "type", "promise"]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A point in which an answer contradicts the vendor's page."""

    sort: ContradictionSort
    fact: str
    """The contradicted fact in our words, with no more of the answer than a field's name or a code."""
    sample: str
    """The answer's names, types and lengths, without values but the errcode."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome with those facts of the vendor's answer that the attempt stores.

    Every field but the last is a column. None holds a recipient or a message text.
    """

    outcome: Outcome
    errcode: int | None = None
    errmsg: str | None = None
    """The vendor's text, cleaned and redacted."""
    hint: str | None = None
    """The vendor's trace number, which its support asks for."""
    caller_ip: str | None = None
    unseen: bool = False
    """The vendor refused the call before it looked at the message, so its checks for repeats know nothing of it."""
    contradictions: tuple[Contradiction, ...] = ()
    """Usually none."""
