"""The commands of a group commit, which are marks, ends of calls, narrowings and other changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from worker.domain.outcome import Refusal, Taken, Verdict
from worker.domain.pacing.lane import LaneBlock, LaneEvent, Success
from worker.domain.pacing.quiet import QuietHours
from worker.domain.settle import PartFacts
from worker.domain.state import JobState
from worker.domain.trace import SpanRef
from worker.outbox.jobs.chats import Spending


@dataclass(frozen=True, slots=True)
class Effects:
    """What a call does beside ending its part. Its mark takes what it will use, and its end carries the rest out."""

    code_id: str | None = None
    """The response_code that it spends."""
    spending: Spending | None = None
    """The message that it takes out of a chat's allowance, where that is counted: given back when the vendor certainly
    did not take the message, and may later."""
    account: str = ""
    app: str = ""
    """The app at the vendor that the account belongs to (`Channel.app_scope`)."""
    code_ttl_s: int | None = None
    """Seconds for which the response_code of a card is used; None for other calls."""
    media_valid_s: int | None = None
    """Seconds for which the media_id of an upload is used; None for other calls."""
    named: bool = False
    """Its msgid is stored with the part's id, so that no search assigns it to another part."""
    recalled: tuple[str, int] | None = None
    """Receipt (part, claim) of the message that it recalls."""
    confirms: str = ""
    """The part whose task it reads; empty for other calls."""
    invalidated: tuple[tuple[str, str], ...] = ()
    """Rows of the media cache, and the media_id in each that the vendor does not know any more."""
    accounts: tuple[str, ...] = ()
    """All accounts of the app, set where a task_id is to prove that a card was sent."""


NO_EFFECTS = Effects()


@dataclass(slots=True)
class Mark:
    """A request to send one part now. No byte may leave before it is confirmed."""

    part_id: str
    claim: int
    """The claim that was read with the part; another number in the row means that another sender was faster."""
    incarnation: str
    deadline_us: int
    window_id: str | None = None
    """Hash of app and body for the duplicate window; None: no call with this body can have the duplicate check."""
    window_us: int = 0
    """Microseconds for which the vendor may drop an equal body of another part."""
    covered_us: int | None = None
    """Microseconds for which a repeat is covered, where its caller asked for less than the window; None: the window."""
    body: str | None = field(default=None, repr=False)
    """Bytes that are stored with the first mark, for a repeat of a call in doubt."""
    needs_clean_doubt: bool = False
    """A repeat is safe only while every earlier attempt is in doubt (duplicate check, task_id)."""
    may_resend: bool = False
    """The caller wants a repeat even where nothing makes it safe."""
    is_checked: bool = True
    """Whether the call asks for the vendor's duplicate check; without it, it takes part in the window all the same."""
    effects: Effects = NO_EFFECTS
    searches: bool = False
    """While the part is in doubt its call sends nothing, so `expires_at` does not stop it."""
    quiet: QuietHours | None = None
    """While these hold it is not marked, and waits for their end."""
    left_out: tuple[Refusal, ...] = ()
    """Recipients to whom nothing is sent, which the mark notes as failures."""
    alone: str | None = None
    """Hash of a body of which only one part may be in the air at a time; None: no such limit."""
    was_tried: bool = False
    """Set by a transaction that gave it the part: when the answer to that commit is lost, only this very mark is
    confirmed again, not another thread's mark for the same part, which carries the same claim and incarnation."""
    call: int = 0
    """Number of the call that it allows, set by the commit; 0: none, and the part's row says why."""
    flagged: bool = False
    """True when that call may use the vendor's duplicate check."""


@dataclass(slots=True)
class End:
    """The end of one call, matched on part, claim and incarnation."""

    part_id: str
    claim: int
    incarnation: str
    verdict: Verdict
    duration_ms: int | None
    http_status: int | None = None
    """Of the answer that was read; None: none was."""
    flagged: bool = False
    never_left: bool = False
    """Certain: not one byte of this call reached the vendor."""
    counted_as: str = ""
    """The errcode for the metrics: one that the channel knows, `other`, or `unsent`; empty: no readable answer."""
    span: SpanRef | None = None
    """The span of the call, for exemplars of what it is counted in; None: none is written."""
    delay_s: float = 0.0
    """The randomised backoff of a retry, in seconds."""
    effects: Effects = NO_EFFECTS
    lane_changes: tuple[LaneBlock | Success, ...] = ()
    """What it means for its lane and account, usually nothing. Their marks are by the clock of the process."""
    in_a_row: int = 0
    """How many calls in a row of the lane or account said before it that the vendor is ill."""
    searches: bool = False
    """While the part is in doubt its call sends nothing."""


@dataclass(slots=True)
class Change:
    """Any other move of one part: `apply` decides under the lock and may leave it alone."""

    part_id: str
    apply: Callable[[PartFacts, int], None]
    attempt_reason: str | None = None
    """The reason, when the change also records the open attempt as doubtful (its process died); None otherwise."""
    receipt: Taken | None = None
    """What is recorded as its receipt; None: nothing."""
    call: int | None = None
    """The mark that the receipt is of; None: its last one."""
    then: Callable[[Connection, int], None] | None = None
    """Runs in the same transaction, with the time, when the part has moved."""
    spec: str | None = None
    """The new spec of a part that moved, as JSON; None: it keeps its own."""


@dataclass(slots=True)
class Narrowing:
    """A request to move some recipients of a queued part, of which nothing left, to a later part of the same job."""

    part_id: str
    claim: int
    """The claim that was read with the part; another number in the row means that another sender was faster."""
    spec: str = field(repr=False)
    """The spec that the part keeps, as JSON."""
    later_spec: str = field(repr=False)
    """The new part's spec, as JSON."""
    delay_us: int
    """Microseconds from now until the new part is due."""
    limit_name: str
    """The limit without room for the recipients that go later."""
    task_id: str | None = None
    """The new part's task_id, where the caller chose the job's; a callback names a card by it alone."""
    was_tried: bool = False
    """Set by a transaction that carried it out: should its answer be lost, it is recognised by its spec."""
    done: bool = False
    """Set by the commit; False: nothing has changed."""


Item = Mark | End | Change | Narrowing


@dataclass(frozen=True, slots=True)
class Happened:
    """The begin of a call for a job, or its end or wait, to be reported after the commit."""

    job_id: str
    kind: str
    channel: str
    account: str
    """The account's name in the settings."""
    state: JobState | None
    """`open`: a call begins; None: the job is still open and one of its parts waits."""
    text: str = ""
    """Why it waits or how it ended, in our words and codes."""
    is_first: bool = False
    """True once for each job: with the first call of its first part, or at its end where that part had none."""
    runtime_s: float | None = None
    """Seconds that the call took which ended the job; None: no call did."""


@dataclass(slots=True)
class Committed:
    """What a group commit did beside its items, of which marks and narrowings hold their own result."""

    happened: list[Happened] = field(default_factory=list)
    steps: list[LaneEvent] = field(default_factory=list)
    """The steps of lanes and accounts that it wrote."""
