"""What a group commit reports: jobs that ended, and jobs that wait."""

from __future__ import annotations

from sqlalchemy import Connection

from worker.domain.job import part_range
from worker.domain.state import JobState
from worker.outbox.commit.batch import Batch
from worker.outbox.commit.commands import Happened
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.rows import JobFacts


def tell(
    connection: Connection, batch: Batch, jobs: dict[str, JobFacts], changed: dict[str, JobFacts]
) -> list[Happened]:
    """The end of every job that ended, and why an open job waits; called when all rows are written."""
    reasons = {part.job_id: part.reason or "" for part in batch.touched.values()}
    out = [
        Happened(job.id, job.kind, job.channel, job.state, _final_text(connection, job, reasons[job.id]))
        for job in changed.values()
        if job.state is not JobState.OPEN
    ]
    out += [
        Happened(job_id, jobs[job_id].kind, jobs[job_id].channel, None, reason)
        for job_id, reason in batch.said.items()
        if jobs[job_id].state is JobState.OPEN
    ]
    return out


def _final_text(connection: Connection, job: JobFacts, reason: str) -> str:
    if job.state is JobState.PARTIAL:
        refused = _count_failures(connection, job.id)
        return f"partial {job.asked - refused}+{refused}"
    return f"{job.state.label} {reason}".strip()


def _count_failures(connection: Connection, job_id: str) -> int:
    rows = fetch(
        connection,
        "select count(*) from worker_failures where part_id > :low and part_id < :high",
        part_range(job_id),
    )
    return int(rows[0][0])
