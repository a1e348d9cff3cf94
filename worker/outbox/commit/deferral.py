"""Moves some of a part's recipients to a new part of the same job that is due later.

Allowed only for a part that no recipient can have received, because none of its calls has sent a byte.
"""

from __future__ import annotations

from sqlalchemy import Connection

from worker.domain import settle
from worker.domain.job import JobKind, part_range
from worker.domain.pacing.limit import used_up_reason
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.commands import Deferral
from worker.outbox.engine.sql import fetch, run
from worker.outbox.jobs.rows import CommitBatch, JobFacts
from worker.outbox.jobs.target_job import new_part


def defer_recipients(
    connection: Connection,
    batch: CommitBatch,
    item: Deferral,
    part: PartFacts | None,
    job: JobFacts | None,
    *,
    was_written: bool,
) -> bool:
    """Moves the recipients. Returns False if the part has changed or may not be split. Part and job are locked.

    `was_written`: an earlier try of this commit has moved them, but its answer may have been lost.
    """
    if part is None or job is None or job.cancelled:
        return False
    if was_written and part.claim == item.claim + 1 and _was_deferred(connection, part, item):
        return True
    if part.claim != item.claim or not _may_defer(connection, batch, part):
        return False
    _add_deferred_part(connection, batch, item, part, job)
    if part.claim:
        # An earlier mark, whose call sent nothing, stored the body for all recipients. No repeat may send that body.
        run(connection, "delete from worker_bodies where part_id = :id", {"id": part.id})
    settle.split(part)
    batch.touch_and_wake(part)
    batch.specs.append({"id": part.id, "spec": item.spec})
    return True


def _was_deferred(connection: Connection, part: PartFacts, item: Deferral) -> bool:
    rows = fetch(connection, "select spec from worker_parts where id = :id", {"id": part.id})
    return part.state is PartState.QUEUED and rows == [(item.spec,)]


def _may_defer(connection: Connection, batch: CommitBatch, part: PartFacts) -> bool:
    if part.state is not PartState.QUEUED or part.waits_on is not None or part.doubts or settle.calls_maybe_sent(part):
        return False
    # An ordered part has one position in its order for all of its recipients.
    if part.order_id is not None:
        return False
    if part.expires_at is not None and batch.now >= part.expires_at:
        return False
    return not _is_being_recalled(connection, part.job_id)


def _is_being_recalled(connection: Connection, job_id: str) -> bool:
    """Returns whether a recall of the job exists. It stops the parts it finds and would miss a part added later.

    The recall of an original also stops the replays that exist by then.
    """
    of_job = "select 1 from worker_jobs where target_job_id = :job and kind = :kind"
    of_original = (
        "select 1 from worker_jobs j join worker_jobs r on r.target_job_id = j.replay_of"
        " where j.id = :job and r.kind = :kind and r.created_at >= j.created_at"
    )
    recall = f"{of_job} union all {of_original} limit 1"
    return bool(fetch(connection, recall, {"job": job_id, "kind": str(JobKind.RECALL)}))


def _add_deferred_part(
    connection: Connection, batch: CommitBatch, item: Deferral, part: PartFacts, job: JobFacts
) -> None:
    query = (
        "select p.priority, j.account, (select max(n) from worker_parts where id > :low and id < :high)"
        " from worker_parts p join worker_jobs j on j.id = p.job_id where p.id = :id"
    )
    [(priority, account, last)] = fetch(connection, query, {"id": part.id, **part_range(part.job_id)})
    # Parts that this batch has added are not in the table yet.
    n = last + 1 + sum(row["job_id"] == part.job_id for row in batch.added_parts)
    due_at, reason = batch.now + item.delay_us, used_up_reason(item.limit_name)[:300]
    row = new_part(part.job_id, n, part.lane, priority=priority, not_before=due_at, spec=item.deferred_spec)
    batch.added_parts.append(row | {"expires_at": part.expires_at, "reason": reason, "limit_name": item.limit_name})
    if item.task_id is not None:
        batch.task_ids.append({"account": account, "task_id": item.task_id, "part_id": row["id"]})
    job.counters["n_open"] += 1
    batch.grown_jobs.add(job.id)
