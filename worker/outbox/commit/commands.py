"""What a group commit is asked to do: mark a part, end a call, defer recipients, or change a part in another way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from worker.domain.outcome import CallReceipt, Refusal, Verdict
from worker.domain.pacing.lane import Feedback, LaneBlock, LaneEvent
from worker.domain.pacing.quiet import QuietHours
from worker.domain.settle import PartFacts
from worker.domain.state import JobState, PartState
from worker.domain.trace import SpanRef
from worker.outbox.jobs.chats import AllowanceUse
from worker.outbox.jobs.loading import JobPart


@dataclass(frozen=True, slots=True)
class Effects:
    """What else changes when a call ends. The mark reserves what the call uses, and the end of the call applies it."""

    code_id: str | None = None
    """The response_code that the call uses up, or None if it uses none."""
    allowance_use: AllowanceUse | None = None
    """The message that the call takes from a chat's allowance, or None if the chat has no allowance.

    It is returned when the vendor has certainly not accepted the message but may accept it later.
    """
    account: str = ""
    app: str = ""
    """The app at the vendor that the account belongs to (`Channel.app_scope`)."""
    code_ttl_s: int | None = None
    """Seconds for which the response_code of a card can be used, or None if the call sends no card."""
    media_valid_s: int | None = None
    """Seconds for which the media_id of an upload can be used, or None if the call uploads nothing."""
    claims_msgid: bool = False
    """Whether to store the msgid with the part's id, so that a search assigns it to no other part."""
    recalled: tuple[str, int] | None = None
    """The receipt (part, claim) of the message that the call recalls, or None if it recalls none."""
    confirms: str = ""
    """The part whose task the call reads, or empty if it reads none."""
    invalidated: tuple[tuple[str, str], ...] = ()
    """Rows of the media cache, each with a media_id that the vendor no longer accepts."""
    accounts: tuple[str, ...] = ()
    """All accounts of the app if only a task_id proves that a card was sent, else empty."""


NO_EFFECTS = Effects()


@dataclass(slots=True, eq=False)
class Mark:
    """A request to mark a part, so that it can be sent. No byte may leave before the mark is committed."""

    part_id: str
    claim: int
    """The claim that was read with the part. If the row has another claim, another sender has marked the part."""
    incarnation: str
    deadline_us: int
    window_id: str | None = None
    """Hash of app and body for the duplicate window, or None if no call with this body can use the duplicate check."""
    window_us: int = 0
    """Microseconds for which the vendor may drop an equal body of another part."""
    covered_us: int | None = None
    """Microseconds for which a repeat is safe, or None for the whole window. A caller may ask for less."""
    body: str | None = field(default=None, repr=False)
    """The request body, stored with the first mark. A repeat of a call in doubt has to send the same bytes."""
    needs_clean_doubt: bool = False
    """Whether a repeat is safe only while the vendor remembers the earlier calls: a duplicate check or a task_id."""
    may_resend: bool = False
    """Whether the caller wants a repeat even if nothing makes it safe."""
    has_duplicate_check: bool = True
    """Whether the call asks for the vendor's duplicate check. A call without the check still uses the window."""
    effects: Effects = NO_EFFECTS
    is_search: bool = False
    """Whether the call only searches while the part is in doubt. It sends nothing, so it may run after `expires_at`."""
    quiet: QuietHours | None = None
    """The part is not marked during these hours and waits for their end."""
    omitted: tuple[Refusal, ...] = ()
    """Recipients that the call leaves out. The commit stores them as failures."""
    exclusive_key: str | None = None
    """Hash of a body that only one part at a time may be sending, or None if there is no such limit."""


@dataclass(frozen=True, slots=True)
class MarkedCall:
    """The call that may begin after a mark."""

    number: int
    flagged: bool
    """Whether it may use the vendor's duplicate check."""


@dataclass(slots=True)
class CallEnd:
    """The end of one call. It is matched with the part by part id, claim and incarnation."""

    part_id: str
    claim: int
    incarnation: str
    verdict: Verdict
    duration_ms: int | None
    http_status: int | None = None
    """The status of the answer, or None if no answer was read."""
    flagged: bool = False
    nothing_sent: bool = False
    """Whether certainly no byte of the call has reached the vendor."""
    errcode_label: str = ""
    """The errcode as the metrics show it: one that the channel knows, `other` or `unsent`; empty without an answer."""
    span: SpanRef | None = None
    """The span of the call, which the metrics link to, or None if the call is not traced."""
    delay_s: float = 0.0
    """Seconds until the retry, with jitter."""
    effects: Effects = NO_EFFECTS
    lane_changes: tuple[LaneBlock | Feedback, ...] = ()
    """What the answer means for the lane and the account. Their `marked_at` is by the clock of the process."""
    failures_in_a_row: int = 0
    """How many calls of the lane or account in a row have just shown that the vendor is unhealthy."""
    is_search: bool = False
    """Whether the next call only searches while the part is in doubt."""


@dataclass(slots=True)
class Change:
    """Any other change of one part. `apply` sees the locked part and may leave it as it is."""

    part_id: str
    apply: Callable[[PartFacts, int], None]
    attempt_reason: str | None = None
    """Why the open attempt is recorded as doubtful, for example because its process died; None to record no attempt."""
    receipt: CallReceipt | None = None
    """The receipt to store, or None."""
    receipt_claim: int | None = None
    """The claim that the receipt belongs to, or None for the part's last claim."""
    on_changed: Callable[[Connection, int], None] | None = None
    """Called in the same transaction, with the time, if the part has changed."""
    spec: str | None = None
    """The part's new spec as JSON if the part has changed, or None to keep the old one."""


def unless_changed(
    part: JobPart, apply: Callable[[PartFacts, int], None], *, receipt: CallReceipt | None = None
) -> Change:
    """Returns a change that does nothing if the part's state has changed since it was loaded."""
    claim = part.claim
    written: tuple[int, int | None] | None = None

    def if_unchanged(row: PartFacts, now: int) -> None:
        # If the answer to the commit was lost, the part is as this function has written it, and it counts one try.
        nonlocal written
        if row.state is PartState.QUEUED and row.claim == claim and _progress_of(row) != written:
            apply(row, now)
            written = _progress_of(row)

    return Change(part.id, if_unchanged, receipt=receipt)


def _progress_of(part: PartFacts) -> tuple[int, int | None]:
    return part.tries, part.not_before


@dataclass(slots=True, eq=False)
class Deferral:
    """A request to move some recipients of an unsent part to a new part of the same job that is due later."""

    part_id: str
    claim: int
    """The claim that was read with the part. If the row has another claim, another sender has marked the part."""
    spec: str = field(repr=False)
    """The part's new spec as JSON, without the deferred recipients."""
    deferred_spec: str = field(repr=False)
    """The new part's spec as JSON."""
    delay_us: int
    """Microseconds from now until the new part is due."""
    limit_name: str
    """The limit that is used up for the deferred recipients."""
    task_id: str | None = None
    """The new part's task_id if the caller chose the job's, else None. A callback names a card by its task_id alone."""


Item = Mark | CallEnd | Change | Deferral


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """What to report about a job after the commit: a call begins, the job waits, or the job has ended."""

    job_id: str
    kind: str
    channel: str
    account: str
    """The account's name in the settings."""
    state: JobState | None
    """`OPEN` if a call begins, None if the job is open and one of its parts waits, else the job's new state."""
    text: str = ""
    """Why the job waits or how it ended, in our words and the vendor's codes."""
    is_first: bool = False
    """True once for each job: at the first call of its first part, or at its end if that part had no call."""
    runtime_s: float | None = None
    """Seconds that the last call of a job took, or None if no call ended the job."""
    retries: int | None = None
    """How often its part was called before the call that begins or is waited for, or None at an end."""


@dataclass(slots=True)
class CommitResult:
    """What a group commit did."""

    calls: dict[Mark, MarkedCall] = field(default_factory=dict)
    """The calls that may begin. If a mark is not in it, its part's row has the reason."""
    deferred: set[Deferral] = field(default_factory=set)
    """The deferrals whose recipients were moved."""
    job_updates: list[JobUpdate] = field(default_factory=list)
    lane_events: list[LaneEvent] = field(default_factory=list)
    """The events of lanes and accounts that the commit wrote."""


@dataclass(slots=True)
class Tries:
    """What all tries of a commit did. The answer to any of them may have been lost, also to one that was committed."""

    written: set[Mark | Deferral] = field(default_factory=set)
    """It tells a repeated commit from another thread's mark for the same part, with the same claim and incarnation."""
    job_updates: dict[JobUpdate, None] = field(default_factory=dict)
