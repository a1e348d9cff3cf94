"""Moves some of a part's recipients to a later part of the same open job, in one transaction with the job's counters.

Allowed only for a part that no recipient can have received: nothing of it ever left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from worker.domain import settle
from worker.domain.job import Kind, part_id, part_range
from worker.domain.pacing.limit import used_up
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.commands import Narrowing
from worker.outbox.engine.sql import fetch, run
from worker.outbox.jobs.follow_ups import new_part
from worker.outbox.jobs.rows import Batch, JobFacts


def narrow(connection: Connection, batch: Batch, item: Narrowing, part: PartFacts | None, job: JobFacts | None) -> None:
    """Carries a narrowing out, unless the part has changed or may not be split; part and job are locked."""
    if part is None or job is None or job.cancelled:
        return
    if item.was_tried and part.claim == item.claim + 1 and _stands(connection, part, item):
        # A repeat of the commit that carried it out.
        item.done = True
        return
    if part.claim != item.claim or not _may_be_taken_apart(connection, batch, part):
        return
    reason = used_up(item.limit_name)
    later = _NewPart(item.later_spec, batch.now + item.delay_us, reason, item.limit_name, item.task_id)
    _add_later(connection, batch, later, part, job)
    if part.claim:
        # A mark under which nothing left stored the body for all of its recipients; no repeat may send that.
        run(connection, "delete from worker_bodies where part_id = :id", {"id": part.id})
    settle.narrow(part)
    batch.touch_and_wake(part)
    batch.specs.append({"id": part.id, "spec": item.spec})
    item.was_tried = item.done = True


def _stands(connection: Connection, part: PartFacts, item: Narrowing) -> bool:
    rows = fetch(connection, "select spec from worker_parts where id = :id", {"id": part.id})
    return part.state is PartState.QUEUED and rows == [(item.spec,)]


def _may_be_taken_apart(connection: Connection, batch: Batch, part: PartFacts) -> bool:
    if part.state is not PartState.QUEUED or part.waits_on is not None or part.doubts or settle.may_have_left(part):
        return False
    # An ordered part has one place in its order for all of its recipients.
    if part.order_id is not None:
        return False
    if part.expires_at is not None and batch.now >= part.expires_at:
        return False
    return not _is_being_recalled(connection, part.job_id)


def _is_being_recalled(connection: Connection, job_id: str) -> bool:
    """Whether a recall of the job exists: it stops the parts it finds, and would miss one that is added later."""
    recall = "select 1 from worker_jobs where target_job_id = :job and kind = :kind limit 1"
    return bool(fetch(connection, recall, {"job": job_id, "kind": str(Kind.RECALL)}))


@dataclass(frozen=True, slots=True)
class _NewPart:
    """A new part of an open job."""

    spec: str = field(repr=False)
    due_at: int
    reason: str
    limit_name: str | None = None
    """The limit that it waits for; None: it is due at once."""
    task_id: str | None = None


def _add_later(connection: Connection, batch: Batch, later: _NewPart, part: PartFacts, job: JobFacts) -> None:
    query = (
        "select p.priority, j.account, (select max(n) from worker_parts where id > :low and id < :high)"
        " from worker_parts p join worker_jobs j on j.id = p.job_id where p.id = :id"
    )
    [(priority, account, last)] = fetch(connection, query, {"id": part.id, **part_range(part.job_id)})
    # Parts that this batch has added are not in the table yet.
    n = last + 1 + sum(row["job_id"] == part.job_id for row in batch.added)
    row = new_part(part.job_id, n, part.lane, priority=priority, not_before=later.due_at, spec=later.spec)
    more = {"expires_at": part.expires_at, "reason": later.reason[:300], "limit_name": later.limit_name}
    batch.added.append(row | more)
    if later.task_id is not None:
        named = {"account": account, "task_id": later.task_id, "part_id": part_id(part.job_id, n)}
        batch.task_ids.append(named)
    job.counters["n_open"] += 1
    batch.grown_jobs.add(job.id)
