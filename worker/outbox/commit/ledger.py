"""One group commit: marks, ends and other changes of many parts, in one transaction, decided under the rows' locks.

The same sequence on every database: lock and read the parts in id order, then the jobs of all items but marks; decide
in Python which still move; write. A repeated commit (its answer was lost) finds its own claim in the rows and confirms
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.domain import settle
from worker.domain.callbacks.hook import ANY_ACCOUNT, Ends, EventKind
from worker.domain.job import job_of, part_id, part_range
from worker.domain.outcome import Accepted, Held, Partial, Unknown, Verdict
from worker.domain.pacing.lane import LaneEvent, account_of
from worker.domain.settle import PartFacts, Policy
from worker.domain.state import OPEN_STATES, JobState, PartState
from worker.outbox import tables
from worker.outbox.commit.commands import Change, Committed, End, Happened, Item, Mark, Narrowing
from worker.outbox.commit.marks import begin_marks
from worker.outbox.commit.narrowing import narrow
from worker.outbox.commit.record_answer import (
    attempt_row,
    complete_receipt,
    count_call,
    count_rows,
    is_first_call,
    keep_answer,
    receipt_row,
)
from worker.outbox.engine.bulk import Writes, insert_rows, update_rows
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs import codes, order_queue
from worker.outbox.jobs.codes import may_be_anothers, note_task_ids
from worker.outbox.jobs.events import event_row
from worker.outbox.jobs.rows import Batch, JobFacts, job_rows, lock_jobs, lock_parts_now, part_rows, wake_dependants
from worker.outbox.lanes.lanes import move_lanes
from worker.outbox.lanes.waits import wait_rows


def commit(
    database: Database,
    items: Sequence[Item],
    policy: Policy,
    collected: dict[Happened, None] | None = None,
    hooked_ends: Ends | None = None,
) -> Committed:
    """Carries the items out in one transaction; retried inside when the database asks for it.

    `collected` takes in what happened, over all tries. A job whose end is one of `hooked_ends` leaves an event
    for the application's hooks.
    """

    def work(connection: Connection) -> Committed:
        done = _carry_out(connection, database.now, items, policy, hooked_ends or {})
        # Noted before the commit: if its answer is lost, the next try finds the rows written and reports nothing.
        if collected is not None:
            collected.update(dict.fromkeys(done.happened))
        return done

    return database.run(work, pipelined=True)


def _carry_out(
    connection: Connection,
    now_sql: str,
    items: Sequence[Item],
    policy: Policy,
    hooked_ends: Ends,
) -> Committed:
    # A mark leaves its job's counters as they are, so it does not wait for the lock of the job's row.
    moving = {job_of(item.part_id) for item in items if not isinstance(item, Mark)}
    # The clock is read with the locks granted: read before, a call's deadline could be over before the call begins.
    parts, now, jobs, some_paused = lock_parts_now(connection, {item.part_id for item in items}, now_sql, moving)
    before = {part.id: part.state for part in parts.values()}
    reasons = {part.id: part.reason for part in parts.values()}
    batch = Batch(now, policy, parts, before, hooked_ends=hooked_ends, some_paused=some_paused, reasons=reasons)
    if any(part.order_id for part in parts.values()):
        # Orders stay locked until the commit: two marks of one order cannot overtake each other, and the relay cannot
        # put a part to sleep while the one before it ends.
        batch.orders = order_queue.OrderQueue(connection, parts)
    for item in items:
        if isinstance(item, Mark):
            item.call = 0  # a try before this one may have been rolled back
            continue
        part, job = parts.get(item.part_id), jobs.get(job_of(item.part_id))
        match item:
            case End():
                _end(connection, batch, item, part, job)
            case Change():
                _change(connection, batch, item, part, job)
            case Narrowing():
                item.done = False
                narrow(connection, batch, item, part, job)
        if part is not None and job is not None and job.cancelled:
            _cancel(batch, part, searches=not isinstance(item, End) or item.searches)
    # After the ends of the same batch, so that a sender's answer is never recorded later than its next mark.
    begin_marks(connection, batch, items)
    happened, steps = _write(connection, now_sql, batch, jobs, len(items))
    return Committed(happened, steps)


def _end(connection: Connection, batch: Batch, end: End, part: PartFacts | None, job: JobFacts | None) -> None:
    if part is None:
        return
    mine = part.claim == end.claim and part.incarnation == end.incarnation
    is_sending = mine and part.state is PartState.SENDING
    end = _believed(connection, end)
    started_at, late_to, first = part.marked_at or batch.now, None, None
    if is_sending:
        first = part.marked_at if is_first_call(part) else None
        settle.end_attempt(part, end.verdict.outcome, batch.now, end.delay_s, batch.policy, in_a_row=end.in_a_row)
        part.unheard += int(end.never_left)
    else:
        written = _written_before(connection, batch, end)
        if written is not None and _says_more(end, written):
            settle.late_answer(part, end.verdict.outcome, batch.now)
            started_at, late_to = written["started_at"], written
        elif written is not None or not mine:
            # This commit is a repeat, or the same answer came twice.
            return
        # Otherwise an older attempt's late answer ended the part while this call was in the air; its answer is kept.
    batch.touch_and_wake(part)
    keep_answer(connection, batch, end, part, started_at)
    if job is not None:
        count_call(batch, end, part.lane, job, first=first, late=late_to is not None)
    if late_to is not None:
        complete_receipt(connection, end)
        # The timeline still shows that, when and why the attempt was in doubt.
        attempt = batch.attempts[end.part_id, end.claim]
        attempt |= {name: late_to[name] for name in _DOUBT}
        if attempt["http_status"] is None:
            # A pressed card settles the doubt and is no HTTP answer; a proxy's 502 that was read before it stays.
            attempt["http_status"] = late_to["http_status"]


def _cancel(batch: Batch, part: PartFacts, *, searches: bool) -> None:
    """Cancels a part of a cancelled job that would be sent, also one that came back from a call a moment ago.

    `searches`: while it is in doubt its next call may be a search, which goes on.
    """
    if part.state is PartState.QUEUED and not (part.doubts and searches):
        settle.cancel(part, settle.CANCELLED)
        batch.touch_and_wake(part)


def _believed(connection: Connection, end: End) -> End:
    """The end; held instead of accepted when its only proof is a task_id that another part may have used too."""
    outcome = end.verdict.outcome
    # Looked up after the answer: every part that the vendor can have taken under this task_id was marked before it.
    task_id = outcome.taken.task_id if isinstance(outcome, Accepted | Partial) else None
    if task_id is None or not may_be_anothers(connection, end.effects.accounts, task_id, end.part_id):
        return end
    held = Held("in doubt: the vendor knows its task_id, but another part may have used it too")
    return replace(end, verdict=replace(end.verdict, outcome=held))


def _says_more(end: End, written: Mapping[str, Any]) -> bool:
    """True for a late answer to an attempt in doubt; not for the end that caused the doubt, in a repeated commit."""
    if not isinstance(end.verdict.outcome, Unknown):
        return bool(written["doubtful"])
    # Of a process that was taken for dead: the recipients that its answer names stand in no other row.
    return bool(written["doubtful"] and end.verdict.outcome.refusals and written["duration_ms"] is None)


_DOUBT = ("outcome", "reason", "duration_ms", "ended_at")
_WRITTEN = ("doubtful", "started_at", "http_status", *_DOUBT)


def _written_before(connection: Connection, batch: Batch, end: End) -> dict[str, Any] | None:
    """The attempt's row as it is; a late answer counts only while its own attempt is in doubt there."""
    same_batch = batch.attempts.get((end.part_id, end.claim))
    if same_batch is not None:
        return same_batch
    query = f"select {', '.join(_WRITTEN)} from worker_attempts where part_id = :part and claim = :claim"
    rows = fetch(connection, query, {"part": end.part_id, "claim": end.claim})
    return dict(zip(_WRITTEN, rows[0], strict=True)) if rows else None


def _change(connection: Connection, batch: Batch, change: Change, part: PartFacts | None, job: JobFacts | None) -> None:
    if part is None:
        return
    claim, first = part.claim, part.marked_at if is_first_call(part) else None
    old = (part.state, part.not_before, part.reason, part.waits_on, part.offered_until)
    change.apply(part, batch.now)
    if old == (part.state, part.not_before, part.reason, part.waits_on, part.offered_until):
        # The part moved between the read that led to this change and the lock, so `apply` left it alone.
        return
    batch.touch_and_wake(part)
    if change.attempt_reason is not None:
        # The lost call may have used the response_code that the part leased.
        batch.burned.append(part.id)
        verdict = Verdict(Unknown(change.attempt_reason))
        lost = End(part.id, part.claim, part.incarnation or "", verdict, duration_ms=None, flagged=bool(part.flagged))
        batch.attempts[part.id, part.claim] = attempt_row(batch, lost, part.marked_at or batch.now)
        if job is not None:
            count_call(batch, lost, part.lane, job, first=first, late=False)
    if change.spec is not None:
        batch.specs.append({"id": part.id, "spec": change.spec})
    if change.receipt is not None:
        batch.receipts.append(receipt_row(batch, part.id, change.call or claim, change.receipt))
    if change.then is not None:
        change.then(connection, batch.now)


def _write(
    connection: Connection, now_sql: str, batch: Batch, jobs: dict[str, JobFacts], items: int
) -> tuple[list[Happened], list[LaneEvent]]:
    """Writes all rows that the batch collected; returns the events to report and the steps of lanes."""
    followed = _follow_jobs(connection, batch, jobs)
    writes = Writes(dialect_of(connection))
    writes.update(tables.parts, ("id",), part_rows(batch.touched.values()))
    writes.update(tables.jobs, ("id",), job_rows(followed.moved))
    writes.insert(tables.bodies, batch.bodies, conflict="replace")
    writes.insert(tables.attempts, list(batch.attempts.values()), conflict="replace")
    writes.insert(tables.receipts, batch.receipts, conflict="ignore")
    writes.insert(tables.failures, batch.failures, conflict="ignore")
    writes.insert(tables.waits, _waits_begun(batch), conflict="replace")
    writes.insert(tables.events, _ends(batch, followed.changed))
    # Replaced: what is being indexed meanwhile is indexed once more.
    writes.insert(tables.unindexed, _to_index(batch, followed.jobs.values()), conflict="replace")
    writes.insert(tables.counts, count_rows(batch, followed.jobs, items))
    writes.flush(connection)
    insert_rows(connection, tables.parts, batch.added)
    if batch.task_ids:
        note_task_ids(connection, batch.task_ids)
    update_rows(connection, tables.parts, ("id",), batch.specs)
    # The next part of an order is woken by the transaction that ends the one before it: between two transactions a
    # crash would lose the wake-up.
    if batch.orders:
        batch.orders.close(now_sql)
    # After the jobs' rows: a follow-up parks under the lock of that row, so it is parked before this commit and woken
    # here, or it reads what was written above.
    if followed.awaited:
        wake_dependants(connection, followed.awaited, now_sql)
    # In the order of the answers: sorted by outcome, any few failures of a batch would count as failures in a row.
    steps = move_lanes(connection, batch.now, batch.lane_changes, batch.policy.lanes)
    if batch.burned:
        codes.burn_leases(connection, batch.burned)
    return _tell(connection, batch, followed.jobs, followed.changed), steps


def _ends(batch: Batch, changed: Mapping[str, JobFacts]) -> list[dict[str, Any]]:
    """An event for each job whose end an application hook is registered for."""
    ends = batch.hooked_ends
    ended = [job for job in changed.values() if job.state in {*ends.get(ANY_ACCOUNT, ()), *ends.get(job.account, ())}]
    return [
        event_row(uuid7().hex, EventKind.JOB_DONE, batch.now, job_id=job.id, job_state=int(job.state)) for job in ended
    ]


def _waits_begun(batch: Batch) -> list[dict[str, Any]]:
    """What queued parts wait for from now on, unless an answer said so, whose attempt tells it."""
    answered = {part for part, _ in batch.attempts}
    waits = [
        (part.id, part.reason)
        for part in batch.touched.values()
        if part.state is PartState.QUEUED and part.reason and part.reason != batch.reasons.get(part.id)
    ]
    waits += [(row["id"], row["reason"]) for row in batch.added]
    return wait_rows((wait for wait in waits if wait[0] not in answered), batch.now) if waits else []


def _to_index(batch: Batch, jobs: Iterable[JobFacts]) -> list[dict[str, Any]]:
    """The jobs of which nothing is open any more, also those that only got a late answer's msgid."""
    note = uuid7().hex
    # In order, as everything that locks several of these rows.
    return [{"job_id": id, "note": note} for id in sorted(job.id for job in jobs if not job.counters["n_open"])]


@dataclass(frozen=True, slots=True)
class _Followed:
    """The jobs after their parts moved."""

    jobs: dict[str, JobFacts]
    moved: list[JobFacts]
    changed: dict[str, JobFacts]
    """The jobs whose state changed."""
    awaited: list[str]


def _follow_jobs(connection: Connection, batch: Batch, jobs: dict[str, JobFacts]) -> _Followed:
    """Moves the jobs' counters by the states of the parts that moved; a mark leaves its job as it is."""
    # The jobs of marks that ended their part instead (expired, held). They are locked late: should two writers wait for
    # each other here, the database makes one of them try again.
    late = batch.jobs_to_check - jobs.keys()
    jobs = {id: jobs[id] for id in batch.jobs_to_check & jobs.keys()} | (lock_jobs(connection, late) if late else {})
    moved = [part for part in batch.touched.values() if _moves_job(batch.before[part.id], part.state)]
    for part in moved:
        jobs[part.job_id].move(batch.before[part.id], part.state)
    changed = {job.id: job for job in jobs.values() if job.follow(batch.now)}
    awaited = [job.id for job in jobs.values() if job.awaited]
    for job_id in awaited:
        jobs[job_id].awaited = False
    rows = [jobs[job_id] for job_id in sorted({part.job_id for part in moved} | set(awaited) | batch.grown_jobs)]
    return _Followed(jobs, rows, changed, awaited)


def _moves_job(old: PartState, new: PartState) -> bool:
    # Queued and sending parts share one counter, `n_open`.
    return old is not new and not {old, new} <= OPEN_STATES


def _tell(
    connection: Connection, batch: Batch, jobs: dict[str, JobFacts], changed: dict[str, JobFacts]
) -> list[Happened]:
    """What is reported when all rows are written: the end of every job that ended, and why an open job waits."""
    parts = {part.job_id: part for part in batch.touched.values()}
    runtimes = {
        job_of(part): (row["ended_at"] - row["started_at"]) / SECOND for (part, _), row in batch.attempts.items()
    }

    def of(job: JobFacts, state: JobState | None, text: str, **more: Any) -> Happened:
        return Happened(job.id, job.kind, job.channel, account_of(parts[job.id].lane), state, text, **more)

    # A job that was in doubt and is tried again waits, too.
    waits = {job.id: parts[job.id].reason or "" for job in changed.values() if job.state is JobState.OPEN}
    waits |= {id: reason for id, reason in batch.waits_told.items() if jobs[id].state is JobState.OPEN}
    ends = [job for job in changed.values() if job.state is not JobState.OPEN]
    return [
        of(
            job,
            job.state,
            _final_text(connection, job, parts[job.id].reason or ""),
            is_first=_never_began(connection, batch, job),
            runtime_s=runtimes.get(job.id),
        )
        for job in ends
    ] + [of(jobs[id], None, reason) for id, reason in waits.items()]


def _never_began(connection: Connection, batch: Batch, job: JobFacts) -> bool:
    """True for a job that ended without a call of its first part; one in doubt has not ended."""
    if job.state is JobState.UNKNOWN:
        return False
    first = part_id(job.id, 0)
    if (part := batch.touched.get(first)) is not None:
        return part.first_marked_at is None
    query = "select first_marked_at from worker_parts where id = :id"
    return fetch(connection, query, {"id": first}) == [(None,)]


def _final_text(connection: Connection, job: JobFacts, reason: str) -> str:
    if job.state is JobState.PARTIAL:
        query = "select count(*) from worker_failures where part_id > :low and part_id < :high"
        refused = int(fetch(connection, query, part_range(job.id))[0][0])
        return f"partial {job.asked - refused}+{refused}"
    return f"{job.state.label} {reason}".strip()
