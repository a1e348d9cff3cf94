"""Decides what the parts of a job wait for, from their rows, the rows of their lanes, and the processes alive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from worker.channels.registry import channel, names
from worker.domain.job import JobKind, job_of
from worker.domain.pacing.lane import Cause, LaneStatus, account_of, lane_status, with_accounts
from worker.domain.pacing.quiet import QUIET_HOURS
from worker.domain.pause import Pause
from worker.domain.settle import BEHIND_A_PART, FOREVER, NEWER_RELEASE
from worker.domain.state import FINAL_STATES, PartState
from worker.outbox.engine.clock import instant
from worker.outbox.lanes.processes import queues_serving
from worker.reporting.standstill import Standstill

Row = Mapping[str, Any]


class WaitReason(StrEnum):
    """What a part waits for."""

    DUE_AT = "due_at"
    """The `due_at` of its job."""
    RETRY = "retry"
    """The time of its next try."""
    LIMIT = "limit"
    """Room in a limit."""
    BLOCK = "block"
    """The end of a block of its lane or its account."""
    PARKED = "parked"
    """A person: its lane or its account is parked."""
    QUIET_HOURS = "quiet_hours"
    """The quiet hours of its job or account."""
    PAUSE = "pause"
    """The end of a pause of its account, channel, kind or tag, or of the job itself."""
    BREAKER = "breaker"
    """The circuit breaker of its lane or its account, which lets no call through, or only a probe."""
    TOKEN = "token"
    """The access token of its account."""
    SLOW_START = "slow_start"
    """A free call: only a few calls of its lane may be in flight."""
    ORDER = "order"
    """The end of a part before it, in its order or in its job."""
    JOB = "job"
    """Another job, whose end or receipt it needs."""
    DOUBT = "doubt"
    """Its call has no readable answer. It moves by itself at `until`."""
    PERSON = "person"
    """A person: it is held in doubt."""
    ANSWER = "answer"
    """The answer to its call, which is in flight."""
    WORKER = "worker"
    """A worker process: none is alive, or none takes from its queue."""
    ACCOUNT = "account"
    """A change of settings: worker processes cannot use its account as they are."""
    RELEASE = "release"
    """A newer worker process: a newer release wrote its documents, and an older process has put it off."""
    CANCELLED = "cancelled"
    """Its end, because its job is cancelled. It ends when a sender or recovery reads it, or when the job is cancelled
    again."""
    STANDSTILL = "standstill"
    """It is due and should move, but nothing of its lane does. The text says why, as far as that is known."""
    TURN = "turn"
    """Nothing in the tables blocks it: it is offered, or will be."""


@dataclass(frozen=True, slots=True)
class PartWait:
    """One thing that a part waits for."""

    part: str
    """Id of its part: `<job id>-<n>`."""
    what: WaitReason
    """The kind of thing that it waits for."""
    text: str
    """A sentence for people."""
    since: datetime | None = None
    """Since when it waits, or None if that is not known."""
    until: datetime | None = None
    """When the wait ends or the part is tried again, or None if not known, or never by itself."""
    commands: tuple[str, ...] = ()
    """Commands that could help, to paste into a shell."""


@dataclass(frozen=True, slots=True)
class WaitContext:
    """Everything besides the parts' own rows that decides what they wait for."""

    now: int
    """The database's clock, in microseconds."""
    job: Row
    lanes: Mapping[str, Row]
    """Lanes and accounts that are blocked, parked or slowed down. Each row contains `now`."""
    heads: Mapping[str, str]
    """Order -> the part that is first in it."""
    processes: Mapping[str, frozenset[str]]
    """Worker processes that are alive -> the queues they take from."""
    pauses: Sequence[Pause]
    """The pauses that apply to the job."""
    in_line: frozenset[str] | set[str]
    """Parts of the job that are still in their order."""
    since: Mapping[str, int]
    """Part -> when it began to wait for what its own row says, as far as that is known."""
    unusable: tuple[int, str] | None
    """How many worker processes cannot use the account, and what to change, or None if all can."""
    standstills: Mapping[str, Standstill] = field(default_factory=dict)
    """Lane, named as in its parts -> what keeps its parts from moving."""


def waits(parts: Sequence[Row], context: WaitContext) -> Iterator[PartWait]:
    """Yields what each part that has not ended waits for, the nearest thing first."""
    for part in parts:
        state = PartState(part["state"])
        if state in FINAL_STATES:
            continue
        if _ends_cancelled(part, context):
            text, command = "its job was cancelled: nothing more of it is sent", f"worker cancel {context.job['id']}"
            yield PartWait(
                part["id"], WaitReason.CANCELLED, text, instant(context.job["cancelled_at"]), None, (command,)
            )
        match state:
            case PartState.QUEUED:
                yield from _queued_waits(part, context)
            case PartState.SENDING:
                yield _answer_wait(part, context)
            case PartState.UNKNOWN:
                yield _doubt_wait(part, context)
        if state is not PartState.UNKNOWN or part["not_before"] is not None:
            yield from _worker_wait(part, context)


def _ends_cancelled(part: Row, context: WaitContext) -> bool:
    """Returns True for a queued part of a cancelled job. A part in doubt may still be searched for."""
    return part["state"] == PartState.QUEUED and context.job["cancelled_at"] is not None and not part["doubts"]


def _answer_wait(part: Row, context: WaitContext) -> PartWait:
    text = f"its call {part['claim']} is in flight, by process {part['incarnation']}"
    if part["incarnation"] not in context.processes:
        text = (
            f"its call {part['claim']} was made by process {part['incarnation']}, which has ended: it will be in doubt"
        )
    return PartWait(part["id"], WaitReason.ANSWER, text, instant(part["marked_at"]), instant(part["deadline_at"]))


def _doubt_wait(part: Row, context: WaitContext) -> PartWait:
    since = None if part["marked_at"] is None else instant(part["marked_at"])
    if part["not_before"] is not None:
        then = "repeated, looked up or held" if context.job["cancelled_at"] is None else "looked up or held"
        text = f"{part['reason']}: it may have been sent; next it is {then}"
        return PartWait(part["id"], WaitReason.DOUBT, text, since, instant(part["not_before"]))
    command, job = f'worker resolve {part["id"]} --why "..."', context.job
    # The search for another group send could take its task for its own.
    sent = f"{command} --sent --msgid MSGID" if _is_group_send(job) else f"{command} --sent"
    commands = [] if job["kind"] in (JobKind.UPLOAD, JobKind.TRACK) else [sent]
    commands.append(f"{command} --not-sent")
    if job["cancelled_at"] is None and not job["n_open"]:
        commands.append(f"worker replay {job['id']} --unknown")
    return PartWait(part["id"], WaitReason.PERSON, f"held for a person: {part['reason']}", since, None, tuple(commands))


def _is_group_send(job: Row) -> bool:
    return job["kind"] == JobKind.SEND and job["channel"] in names() and JobKind.TRACK in channel(job["channel"]).kinds


def _queued_waits(part: Row, context: WaitContext) -> Iterator[PartWait]:
    for pause in context.pauses:
        why = f": {pause.why}" if pause.why else ""
        text = f"paused by {pause.person} ({pause.scope_text()}){why}"
        yield PartWait(part["id"], WaitReason.PAUSE, text, pause.began_at, None, (pause.ending(),))
    own_wait = _own_wait(part, context)
    if own_wait is not None:
        yield own_wait
    lane_waits = list(_lane_waits(part, context))
    yield from lane_waits
    is_stopped = bool(context.pauses) or _ends_cancelled(part, context) or any(_worker_wait(part, context))
    if own_wait is None and not is_stopped and all(wait.what is WaitReason.SLOW_START for wait in lane_waits):
        if context.unusable is not None:
            count, why = context.unusable
            text = f"{count} of {len(context.processes)} worker processes cannot use its account: {why}"
            yield PartWait(part["id"], WaitReason.ACCOUNT, text, None, None, ("worker doctor",))
            return
        if standstill := context.standstills.get(part["lane"]):
            text = f"nothing of its lane is sent: {standstill.text}; {standstill.remedy}"
            yield PartWait(part["id"], WaitReason.STANDSTILL, text, standstill.since, None, ("worker doctor",))
            return
        text = "nothing blocks it: a worker sends it next"
        since = None if part["not_before"] >= FOREVER else instant(part["not_before"])
        yield PartWait(part["id"], WaitReason.TURN, text, since)


def _worker_wait(part: Row, context: WaitContext) -> Iterator[PartWait]:
    """Yields a wait if no process could do anything for the part."""
    queue, *other_queues = queues_serving(part["priority"], is_file=context.job["kind"] == JobKind.UPLOAD)
    if not context.processes:
        yield PartWait(part["id"], WaitReason.WORKER, "no worker process is alive", None, None, ("worker doctor",))
    elif part["state"] == PartState.QUEUED and not any(
        map({queue, *other_queues}.intersection, context.processes.values())
    ):
        text = f"no worker process takes from the queue {queue}"
        yield PartWait(part["id"], WaitReason.WORKER, text, None, None, ("worker doctor",))


def _own_wait(part: Row, context: WaitContext) -> PartWait | None:
    """Returns what the part's own row waits for, or None if the part is due."""
    at, id = part["not_before"], part["id"]
    since = instant(context.since[id]) if id in context.since else None
    until = None if at >= FOREVER else instant(at)
    if at > FOREVER:
        # Put off for a pause. If no pause applies any more, recovery wakes it within a second or two.
        return None
    if part["waits_on"] is not None:
        text = f"{part['reason']} ({part['waits_on']})"
        return PartWait(id, WaitReason.JOB, text, since, until, (f"worker why {part['waits_on']}",))
    first = context.heads.get(part["order_id"] or "")
    if id in context.in_line and first is not None and first != id:
        first_job = job_of(first)
        commands = () if first_job == context.job["id"] else (f"worker why {first_job}", f"worker skip {first_job}")
        return PartWait(
            id, WaitReason.ORDER, f"part {first} has to go before it (same order_key)", since, None, commands
        )
    if part["reason"] == NEWER_RELEASE:
        text = "a newer release enqueued it, and the worker that received it runs an older one"
        return PartWait(id, WaitReason.RELEASE, text, since, until, ("worker db check",))
    if at <= context.now:
        return None
    if part["limit_name"] == QUIET_HOURS:
        return PartWait(id, WaitReason.QUIET_HOURS, "nothing is sent during its quiet hours", since, until)
    if part["limit_name"] is not None:
        text, command = f"the limit {part['limit_name']} is used up for now", "worker limits --account "
        return PartWait(id, WaitReason.LIMIT, text, since, until, (command + account_of(part["lane"]),))
    if context.job["due_at"] > context.now and (not part["tries"] or at == context.job["due_at"]):
        return PartWait(
            id, WaitReason.DUE_AT, part["reason"] or "it is due later", instant(context.job["created_at"]), until
        )
    if part["reason"] == BEHIND_A_PART:
        return PartWait(id, WaitReason.ORDER, "another part of the job has to go before it", since, until)
    tried = f"tried {part['tries']} times: " if part["tries"] else ""
    return PartWait(id, WaitReason.RETRY, f"{tried}{part['reason'] or 'waits'}", since, until)


_WHAT = {
    LaneStatus.BREAKER_OPEN: WaitReason.BREAKER,
    LaneStatus.BREAKER_HALF_OPEN: WaitReason.BREAKER,
    LaneStatus.BLOCKED: WaitReason.BLOCK,
    LaneStatus.NARROWED: WaitReason.SLOW_START,
    LaneStatus.STARTING: WaitReason.SLOW_START,
}


def _lane_waits(part: Row, context: WaitContext) -> Iterator[PartWait]:
    """Yields what the part's account and lane wait for."""
    for name in sorted(with_accounts([part["lane"]]), key=len):
        row = context.lanes.get(name)
        status = None if row is None else lane_status(row)
        if row is None or status is LaneStatus.WATCHED:
            continue
        what = _WHAT.get(status, WaitReason.PARKED) if status else WaitReason.PARKED
        if row["cause"] == Cause.TOKEN:
            what = WaitReason.TOKEN
        elif what is WaitReason.BLOCK and row["limit_name"] is not None:
            what = WaitReason.LIMIT
        yield _lane_wait(part["id"], name, row, what)


def _lane_wait(part: str, name: str, row: Row, what: WaitReason) -> PartWait:
    where = f"account {name}" if name == row["account"] else f"lane {row['label'] or name}"
    text = f"{row['reason']}" + (f"; {row['remedy']}" if row["remedy"] else "")
    if what is WaitReason.SLOW_START:
        text = f"{row['calls']} of its calls in flight at most"
    since = row["changed_at"] if what is WaitReason.SLOW_START else row["blocked_at"]
    until = row["blocked_until"] if row["blocked_until"] > row["now"] else None
    return PartWait(
        part,
        what,
        f"{where}: {text}",
        instant(since) if since else None,
        instant(until) if until else None,
        (f"worker resume {name}",) if row["parked"] else (),
    )
