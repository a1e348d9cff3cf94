"""The group commit: one transaction that marks parts, ends calls and makes other changes for many senders.

Every database takes the same steps. Lock and read the parts in id order, then the jobs of all items but marks. Decide
in Python which changes still apply. Write the rows. If the answer to a commit was lost, the commit is repeated; it
finds its own claims in the rows and confirms them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.domain import settle
from worker.domain.callbacks.hook import ALL_ENDS, ANY_ACCOUNT, Ends, EventKind
from worker.domain.job import job_of, part_id, part_range
from worker.domain.outcome import Accepted, Held, Outcome, Partial, Unknown, Verdict
from worker.domain.pacing.lane import LaneEvent, account_of
from worker.domain.settle import PartFacts, Policy
from worker.domain.state import FINAL_STATES, OPEN_STATES, JobState, PartState
from worker.outbox import tables
from worker.outbox.commit.commands import CallEnd, Change, CommitResult, Deferral, Item, JobUpdate, Mark, Tries
from worker.outbox.commit.deferral import defer_recipients
from worker.outbox.commit.marks import apply_marks
from worker.outbox.commit.record_answer import (
    attempt_row,
    complete_receipt,
    count_call,
    count_rows,
    is_first_call,
    may_be_swallowed,
    receipt_row,
    record_answer,
    warn_of_swallowed,
    with_warning,
)
from worker.outbox.engine.bulk import Writes, insert_rows, update_rows
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs import codes, order_queue
from worker.outbox.jobs.codes import may_belong_to_other_part, store_task_ids
from worker.outbox.jobs.events import event_row, jobs_with_unknown_event
from worker.outbox.jobs.rows import (
    CommitBatch,
    JobFacts,
    job_rows,
    lock_jobs,
    lock_parts_now,
    part_rows,
    wake_dependants,
)
from worker.outbox.lanes.lanes import change_lanes_at
from worker.outbox.lanes.processes import all_hooks
from worker.outbox.lanes.waits import wait_rows


def commit(
    database: Database,
    items: Sequence[Item],
    policy: Policy,
    tries: Tries | None = None,
    *,
    has_hooks: bool = False,
) -> CommitResult:
    """Carries the items out in one transaction, which is retried when the database asks for it.

    A caller that commits the same items again passes the same `tries`. If a hook of any worker process runs for the end
    of a job, its event is written. `has_hooks` decides that while no worker process has started yet.
    """
    tries = tries or Tries()

    def work(connection: Connection) -> CommitResult:
        done = _carry_out(connection, database.now, items, policy, tries.written, has_hooks=has_hooks)
        # Collected before the commit: if its answer is lost, the next try finds the rows written and reports nothing.
        tries.written.update(done.calls, done.deferred)
        tries.job_updates.update(dict.fromkeys(done.job_updates))
        return done

    return database.run(work, pipelined=True)


def _carry_out(
    connection: Connection,
    now_sql: str,
    items: Sequence[Item],
    policy: Policy,
    written: Collection[Item],
    *,
    has_hooks: bool,
) -> CommitResult:
    # A mark does not change its job's counters, so it does not wait for the lock of the job's row.
    job_ids = {job_of(item.part_id) for item in items if not isinstance(item, Mark)}
    # The clock is read after the locks are granted. Otherwise a call's deadline could have passed before it begins.
    locked = lock_parts_now(connection, {item.part_id for item in items}, now_sql, job_ids)
    parts, now, jobs = locked.parts, locked.now, locked.jobs
    before = {part.id: part.state for part in parts.values()}
    reasons = {part.id: part.reason for part in parts.values()}
    batch = CommitBatch(now, policy, parts, before, reasons=reasons)
    batch.some_paused, batch.hooks, batch.has_hooks = locked.some_paused, locked.hooks, has_hooks
    if any(part.order_id for part in parts.values()):
        # Orders stay locked until the commit. So two marks of one order cannot overtake each other, and the relay
        # cannot put a part to sleep while the part before it ends.
        batch.orders = order_queue.OrderQueue(connection, parts)
    result = CommitResult()
    for item in items:
        if isinstance(item, Mark):
            continue
        part, job = parts.get(item.part_id), jobs.get(job_of(item.part_id))
        match item:
            case CallEnd():
                _end_call(connection, batch, item, part, job)
            case Change():
                _change(connection, batch, item, part, job)
            case Deferral():
                if defer_recipients(connection, batch, item, part, job, was_written=item in written):
                    result.deferred.add(item)
        if part is not None and job is not None and job.cancelled:
            _cancel_queued(batch, part, may_search=not isinstance(item, CallEnd) or item.is_search)
    # Marks come after the ends of the same batch, so that a sender's answer is never recorded after its next mark.
    result.calls = apply_marks(connection, batch, items, written)
    result.job_updates, result.lane_events = _write(connection, now_sql, batch, jobs, len(items))
    return result


def _end_call(
    connection: Connection, batch: CommitBatch, end: CallEnd, part: PartFacts | None, job: JobFacts | None
) -> None:
    if part is None:
        return
    is_own_claim = part.claim == end.claim and part.incarnation == end.incarnation
    is_sending = is_own_claim and part.state is PartState.SENDING
    end = _verified(connection, batch, end, part)
    started_at, late_attempt, first = part.marked_at or batch.now, None, None
    if is_sending:
        first = part.marked_at if is_first_call(part) else None
        outcome, due_at = end.verdict.outcome, job.due_at if job else None
        settle.end_attempt(part, outcome, batch.now, end.delay_s, batch.policy, end.failures_in_a_row, due_at=due_at)
    else:
        existing = _existing_attempt(connection, batch, end)
        if existing is not None and _settles_doubt(end, existing):
            has_newer_call = part.state is PartState.SENDING
            settle.late_answer(part, end.verdict.outcome, batch.now)
            if has_newer_call and part.state is not PartState.SENDING:
                # Recovery does not look at a part that has ended: should the process of the newer call die, its
                # response_code would stay leased.
                batch.burned.append(part.id)
            started_at, late_attempt = existing["started_at"], existing
        elif existing is not None or not is_own_claim:
            # This commit is a repeat, or the same answer came twice.
            return
        else:
            # A late answer to an older attempt ended the part while this call was in flight. Record this one too.
            settle.end_call_of_ended(part, end.verdict.outcome)
    if end.nothing_sent or end.verdict.unseen:
        settle.forget_call(part, was_repeat=is_sending and part.doubts > 0)
    batch.touch_and_wake(part)
    record_answer(connection, batch, end, part, started_at)
    if job is not None:
        count_call(batch, end, part.lane, job, first=first, late=late_attempt is not None)
    if late_attempt is not None:
        complete_receipt(connection, end)
        is_refused = not isinstance(end.verdict.outcome, Accepted | Partial | Unknown)
        if is_refused and not end.nothing_sent and not end.verdict.unseen:
            batch.refused_late.append((end.part_id, end.claim))
        # The timeline still shows that the attempt was in doubt, when and why.
        attempt = batch.attempts[end.part_id, end.claim]
        attempt |= {name: late_attempt[name] for name in _DOUBT_COLUMNS}
        if attempt["http_status"] is None:
            # A pressed card ends the doubt without an HTTP answer. A proxy's 502 that was read before stays.
            attempt["http_status"] = late_attempt["http_status"]


def _cancel_queued(batch: CommitBatch, part: PartFacts, *, may_search: bool) -> None:
    """Cancels a queued part of a cancelled job, also if its call has just ended.

    A part in doubt stays queued if `may_search`: its next call sends nothing.
    """
    if part.state is PartState.QUEUED and not (part.doubts and may_search):
        settle.cancel(part, settle.CANCELLED)
        batch.touch_and_wake(part)


def _verified(connection: Connection, batch: CommitBatch, end: CallEnd, part: PartFacts) -> CallEnd:
    """Returns the end, held or in doubt instead of accepted if the vendor's answer does not prove it.

    A part that has ended stays so: then the receipt warns.
    """
    outcome: Outcome = end.verdict.outcome
    if not isinstance(outcome, Accepted | Partial):
        return end
    task_id = outcome.receipt.task_id
    # Checked after the answer: every part that the vendor may have accepted under this task_id was marked before.
    if task_id is not None and may_belong_to_other_part(connection, end.effects.accounts, task_id, end.part_id):
        outcome = Held("in doubt: the vendor knows its task_id, but another part may have used it too")
    elif not (end.flagged and may_be_swallowed(connection, batch, end.part_id, end.claim)):
        return end
    elif part.state in FINAL_STATES:
        warning = with_warning(outcome.receipt.warning, settle.SWALLOWED)
        outcome = replace(outcome, receipt=replace(outcome.receipt, warning=warning))
    else:
        outcome = Unknown(settle.SWALLOWED)
    return replace(end, verdict=replace(end.verdict, outcome=outcome))


def _settles_doubt(end: CallEnd, existing: Mapping[str, Any]) -> bool:
    """Tells a late answer to an attempt in doubt from the end that caused the doubt, which a repeated commit brings."""
    if not isinstance(end.verdict.outcome, Unknown):
        return bool(existing["doubtful"])
    # The process counted as dead when its answer came. No other row has the recipients that the answer names.
    return bool(existing["doubtful"] and end.verdict.outcome.refusals and existing["duration_ms"] is None)


_DOUBT_COLUMNS = ("outcome", "reason", "duration_ms", "ended_at")
_ATTEMPT_COLUMNS = ("doubtful", "started_at", "http_status", *_DOUBT_COLUMNS)


def _existing_attempt(connection: Connection, batch: CommitBatch, end: CallEnd) -> dict[str, Any] | None:
    """Reads the attempt's row. A late answer counts only while that row is in doubt."""
    in_batch = batch.attempts.get((end.part_id, end.claim))
    if in_batch is not None:
        return in_batch
    query = f"select {', '.join(_ATTEMPT_COLUMNS)} from worker_attempts where part_id = :part and claim = :claim"
    rows = fetch(connection, query, {"part": end.part_id, "claim": end.claim})
    return dict(zip(_ATTEMPT_COLUMNS, rows[0], strict=True)) if rows else None


def _change(
    connection: Connection, batch: CommitBatch, change: Change, part: PartFacts | None, job: JobFacts | None
) -> None:
    if part is None:
        return
    claim, first = part.claim, part.marked_at if is_first_call(part) else None
    old = (part.state, part.not_before, part.reason, part.waits_on, part.offered_until)
    change.apply(part, batch.now)
    if old == (part.state, part.not_before, part.reason, part.waits_on, part.offered_until):
        # The part changed between the read that led to this change and the lock, so `apply` did nothing.
        return
    batch.touch_and_wake(part)
    if change.attempt_reason is not None:
        # The unanswered call may have used the response_code that the part leased.
        batch.burned.append(part.id)
        verdict = Verdict(Unknown(change.attempt_reason))
        unanswered = CallEnd(
            part.id, part.claim, part.incarnation or "", verdict, duration_ms=None, flagged=bool(part.flagged)
        )
        batch.attempts[part.id, part.claim] = attempt_row(batch, unanswered, part.marked_at or batch.now)
        # What is held after a backup was restored is no call of this installation.
        if job is not None and change.attempt_reason != settle.FENCED:
            count_call(batch, unanswered, part.lane, job, first=first, late=False)
    if change.spec is not None:
        batch.specs.append({"id": part.id, "spec": change.spec})
    if change.receipt is not None:
        batch.receipts.append(receipt_row(batch, part.id, change.receipt_claim or claim, change.receipt))
    if change.on_changed is not None:
        change.on_changed(connection, batch.now)


def _write(
    connection: Connection, now_sql: str, batch: CommitBatch, jobs: dict[str, JobFacts], items: int
) -> tuple[list[JobUpdate], list[LaneEvent]]:
    """Writes all rows that the batch has collected. Returns the job updates to report and the lanes' events."""
    jobs, rows, changed, awaited = _update_jobs(connection, batch, jobs)
    writes = Writes(dialect_of(connection))
    writes.update(tables.parts, ("id",), part_rows(batch.touched.values()))
    writes.update(tables.jobs, ("id",), job_rows(rows))
    writes.insert(tables.bodies, batch.bodies, conflict="replace")
    writes.insert(tables.attempts, list(batch.attempts.values()), conflict="replace")
    writes.insert(tables.receipts, batch.receipts, conflict="ignore")
    writes.insert(tables.failures, batch.failures, conflict="ignore")
    writes.insert(tables.waits, _new_waits(batch), conflict="replace")
    writes.insert(tables.events, _end_events(connection, batch, changed))
    # Replacing the row has a job that is being indexed right now indexed once more.
    writes.insert(tables.unindexed, _unindexed_rows(batch, jobs.values()), conflict="replace")
    writes.insert(tables.counts, count_rows(batch, jobs, items))
    writes.flush(connection)
    insert_rows(connection, tables.parts, batch.added_parts)
    # After the receipts: the repeat may be accepted in this very batch.
    for part, claim in batch.refused_late:
        warn_of_swallowed(connection, batch, part, claim)
    if batch.task_ids:
        store_task_ids(connection, batch.task_ids)
    update_rows(connection, tables.parts, ("id",), batch.specs)
    # The transaction that ends a part wakes the next part of its order. A crash between two transactions would lose
    # the wake-up.
    if batch.orders:
        batch.orders.close(now_sql)
    # After the jobs' rows: a follow-up starts to wait under the lock of the job's row. So either it waits already and
    # is woken here, or it reads what was written above.
    if awaited:
        wake_dependants(connection, awaited, now_sql)
    if batch.burned:
        codes.burn_leases(connection, batch.burned)
    # In the order of the answers. Sorted by outcome, a batch with a few failures would count as failures in a row.
    lane_events = change_lanes_at(connection, batch.now, batch.lane_changes, batch.policy.lanes)
    return _job_updates(connection, batch, jobs, changed), lane_events


def _end_events(connection: Connection, batch: CommitBatch, changed: Mapping[str, JobFacts]) -> list[dict[str, Any]]:
    """Returns an event for each job whose end has a hook in any worker process, also if this one has no such hook."""
    ended = [job for job in changed.values() if job.state is not JobState.OPEN]
    ends = _hooked_ends(connection, batch) if ended else {}
    ended = [job for job in ended if job.state in {*ends.get(ANY_ACCOUNT, ()), *ends.get(job.account, ())}]
    # A safe repeat opens an unknown job again. If its answer is lost too, the application knows already.
    unknown = [job.id for job in ended if job.state is JobState.UNKNOWN]
    again = jobs_with_unknown_event(connection, unknown) if unknown else set()
    return [
        event_row(uuid7().hex, EventKind.JOB_DONE, batch.now, job_id=job.id, job_state=int(job.state))
        for job in ended
        if job.id not in again
    ]


def _hooked_ends(connection: Connection, batch: CommitBatch) -> Ends:
    hooks = all_hooks(connection) if batch.hooks is None else batch.hooks
    if hooks is None:
        return ALL_ENDS if batch.has_hooks else {}
    return hooks.ends


def _new_waits(batch: CommitBatch) -> list[dict[str, Any]]:
    """Returns a row for each queued part that waits from now on, unless the row of its attempt has the reason."""
    answered = {part for part, _ in batch.attempts}
    waits = [
        (part.id, part.reason)
        for part in batch.touched.values()
        if part.state is PartState.QUEUED and part.reason and part.reason != batch.reasons.get(part.id)
    ]
    waits += [(row["id"], row["reason"]) for row in batch.added_parts]
    return wait_rows((wait for wait in waits if wait[0] not in answered), batch.now) if waits else []


def _unindexed_rows(batch: CommitBatch, jobs: Iterable[JobFacts]) -> list[dict[str, Any]]:
    """Returns a row for each job without an open part, also if a late answer only added a msgid."""
    note = uuid7().hex
    # Sorted, as in every transaction that locks several of these rows.
    return [{"job_id": id, "note": note} for id in sorted(job.id for job in jobs if not job.counters["n_open"])]


def _update_jobs(
    connection: Connection, batch: CommitBatch, jobs: dict[str, JobFacts]
) -> tuple[dict[str, JobFacts], list[JobFacts], dict[str, JobFacts], list[str]]:
    """Updates the jobs' counters and states from the parts whose state changed. A mark does not change its job.

    Returns the jobs, those whose rows have to be written, those whose state changed, and those that a follow-up awaits.
    """
    # These jobs have a mark that ended its part instead (expired, held). They are locked late: if two writers wait for
    # each other here, the database makes one of them try again.
    late = batch.jobs_to_check - jobs.keys()
    jobs = {id: jobs[id] for id in batch.jobs_to_check & jobs.keys()} | (lock_jobs(connection, late) if late else {})
    moved = [part for part in batch.touched.values() if _changes_counters(batch.before[part.id], part.state)]
    for part in moved:
        jobs[part.job_id].move(batch.before[part.id], part.state)
    changed = {job.id: job for job in jobs.values() if job.follow(batch.now)}
    awaited = [job.id for job in jobs.values() if job.awaited]
    for job_id in awaited:
        jobs[job_id].awaited = False
    rows = [jobs[job_id] for job_id in sorted({part.job_id for part in moved} | set(awaited) | batch.grown_jobs)]
    return jobs, rows, changed, awaited


def _changes_counters(old: PartState, new: PartState) -> bool:
    # Queued and sending parts share one counter, `n_open`.
    return old is not new and not {old, new} <= OPEN_STATES


def _job_updates(
    connection: Connection, batch: CommitBatch, jobs: dict[str, JobFacts], changed: dict[str, JobFacts]
) -> list[JobUpdate]:
    """Returns what to report after the commit: the end of every job that ended, and why an open job waits."""
    parts = {part.job_id: part for part in batch.touched.values()}
    runtimes = {
        job_of(part): (row["ended_at"] - row["started_at"]) / SECOND for (part, _), row in batch.attempts.items()
    }

    def update_of(job: JobFacts, state: JobState | None, text: str, **more: Any) -> JobUpdate:
        return JobUpdate(job.id, job.kind, job.channel, account_of(parts[job.id].lane), state, text, **more)

    # A job that was in doubt and is tried again waits too.
    waits = {job.id: parts[job.id].reason or "" for job in changed.values() if job.state is JobState.OPEN}
    waits |= {id: reason for id, reason in batch.wait_reports.items() if jobs[id].state is JobState.OPEN}
    ends = [job for job in changed.values() if job.state is not JobState.OPEN]
    return [
        update_of(
            job,
            job.state,
            _final_text(connection, job, parts[job.id].reason or ""),
            is_first=_had_no_call(connection, batch, job),
            runtime_s=runtimes.get(job.id),
        )
        for job in ends
    ] + [update_of(jobs[id], None, reason, retries=parts[id].claim) for id, reason in waits.items()]


def _had_no_call(connection: Connection, batch: CommitBatch, job: JobFacts) -> bool:
    """Returns whether the job ended without a call of its first part. A job in doubt has not ended."""
    if job.state is JobState.UNKNOWN:
        return False
    first = part_id(job.id, 0)
    if (part := batch.touched.get(first)) is not None:
        return part.first_marked_at is None
    query = "select first_marked_at from worker_parts where id = :id"
    return fetch(connection, query, {"id": first}) == [(None,)]


def _final_text(connection: Connection, job: JobFacts, reason: str) -> str:
    if job.state is JobState.PARTIAL:
        # A recipient of several pieces of a text counts once. What is not refused need not have been sent.
        query = "select count(distinct recipient_key) from worker_failures where part_id > :low and part_id < :high"
        return f"partial, {fetch(connection, query, part_range(job.id))[0][0]} refused"
    return f"{job.state.label} {reason}".strip()
