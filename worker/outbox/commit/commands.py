"""What can be asked of a group commit: marks, ends of calls, narrowings, other changes; and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from worker.domain.lane import Block, LaneEvent
from worker.domain.outcome import Verdict
from worker.domain.settle import PartFacts
from worker.domain.state import JobState
from worker.outbox.jobs.chats import Spending


class Marked(Enum):
    """What became of a mark."""

    YES = auto()
    LOST = auto()
    """Somebody else has it, or it is no longer queued: give the permit back, nothing leaves."""
    HELD = auto()
    """In doubt and no safe repeat is left: it is unknown now."""
    NO_CODE = auto()
    """The response_code it wanted was taken by another: resolve again."""
    EXPIRED = auto()


@dataclass(frozen=True, slots=True)
class MarkReply:
    """The durable answer to a mark."""

    marked: Marked
    claim: int = 0
    flagged: bool = False
    """The duplicate check may be on in this call."""


LOST = MarkReply(Marked.LOST)


@dataclass(slots=True)
class Mark:
    """Wish to send one part now: it is the claim, and no byte leaves before it is confirmed."""

    part_id: str
    claim: int
    """The claim that was read with the part; another number there means somebody was faster."""
    incarnation: str
    deadline_us: int
    window_id: str | None = None
    """Hash of app and body for the duplicate window; null: this call has no duplicate check."""
    window_us: int = 0
    """How long an equal body of somebody else may be swallowed by the vendor."""
    body: str | None = None
    """Frozen bytes to keep with the first mark."""
    rule_needs_clean_doubt: bool = False
    """A repeat is safe only while every earlier attempt is in doubt (duplicate check, task_id)."""
    code_id: str | None = None
    """The response_code this call will spend."""
    may_resend: bool = False
    """The caller wants a repeat even where nothing makes it safe."""
    won: bool = False
    """Set by the commit that gave it the part: when that commit's answer is lost, only this very mark is confirmed
    again, not another thread's mark for the same part, which carries the same claim and incarnation."""
    repeat_us: int | None = None
    """How long a repeat of this one is covered, where its caller asked for less than the window; null: as long."""
    searches: bool = False
    """While the part is in doubt its call sends nothing, so `expires_at` does not stop it."""
    alone: str | None = None
    """Hash of what no other part may have in the air meanwhile; null: anybody may."""
    spending: Spending | None = None
    """What this call uses up of a chat's allowance, where that is counted."""


@dataclass(slots=True)
class End:
    """The end of one call, matched on part, claim and incarnation."""

    part_id: str
    claim: int
    incarnation: str
    verdict: Verdict
    duration_ms: int | None
    flagged: bool = False
    delay_s: float = 0.0
    """The drawn backoff of a retry."""
    block: Block | None = None
    code_id: str | None = None
    never_left: bool = False
    """Certain: not one byte of this call reached the vendor."""
    is_card: bool = False
    recalled: tuple[str, int] | None = None
    """Receipt (part, claim) that this call took back."""
    vault_valid_s: int | None = None
    """For an upload: how long its media_id is used."""
    invalidated: tuple[tuple[str, str], ...] = ()
    """Vault rows, and the media_id in each that the vendor does not know any more."""
    account: str = ""
    app: str = ""
    """What the vendor takes the account for (`Channel.app_scope`)."""
    accounts: tuple[str, ...] = ()
    """All that the vendor takes for the same, where a task_id is to prove something."""
    confirms: str = ""
    """The part whose fate this call reads."""
    named: bool = False
    """Its msgid is kept by name, so that no search gives it to another part."""
    code_ttl_s: int = 259_200
    in_a_row: int = 0
    """Calls of its lane or account before it that said, one after the other, that the vendor is ill."""
    successes: tuple[str, ...] = ()
    """Its lane, or its account, where something stands there that an answer means something to."""
    spending: Spending | None = None
    """Of its mark: given back when the vendor certainly did not take the message, and may later."""


@dataclass(slots=True)
class Change:
    """Any other move of one part: `apply` decides under the lock and may leave it alone."""

    part_id: str
    apply: Callable[[PartFacts, int], None]
    attempt_reason: str | None = None
    """Set when the change also writes the open attempt down as doubtful (a dead process)."""
    receipt_not_sent: bool = False
    spec: str | None = None
    """What the part goes on with, where it was moved; JSON."""


@dataclass(slots=True)
class Narrowing:
    """Wish to leave some of a queued part's recipients to a later part of the same job, before anything left."""

    part_id: str
    claim: int
    """The claim that was read with the part; another number there means somebody was faster."""
    spec: str = field(repr=False)
    """What the part goes on with; JSON."""
    later_spec: str = field(repr=False)
    """What the new part is for; JSON."""
    delay_us: int
    """When the new part is due, from now."""
    reason: str
    task_id: str | None = None
    """Of the new part, where the caller chose the job's; a callback names a card by it alone."""
    tried: bool = False
    """Set by the transaction that carried it out: when that one's answer is lost, it is known again by its spec."""


Item = Mark | End | Change | Narrowing


@dataclass(frozen=True, slots=True)
class Happened:
    """What people watching should hear after the commit."""

    job_id: str
    kind: str
    channel: str
    state: JobState | None
    """Null: the job is still open and one of its parts waits."""
    text: str


@dataclass(slots=True)
class Committed:
    """Replies in the order of the items, and what happened."""

    replies: list[MarkReply | None]
    happened: list[Happened] = field(default_factory=list)
    steps: list[LaneEvent] = field(default_factory=list)
    """What happened to lanes and accounts."""
