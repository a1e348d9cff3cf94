"""Jobs whose messages may be taken back, by a filter."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from worker.domain.job import Kind
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState
from worker.outbox.control.candidates import candidates
from worker.outbox.control.matching import FoundJob, created_jobs, jobs_of

_SENT = " and j.n_accepted + j.n_partial + j.n_open + j.n_unknown > 0"
_RECALLED = (
    f"select 1 from worker_jobs r where r.target_job_id = j.id and r.kind = '{Kind.RECALL}'"
    f" and r.state in ({int(JobState.OPEN)}, {int(JobState.ACCEPTED)})"
)
_TO_RECALL = f"{_SENT} and not exists ({_RECALLED})"


def sent_jobs(connection: Connection, wanted: JobFilter, now: int) -> Iterator[FoundJob]:
    """The jobs of which something was or may be sent, and of which no recall is under way or was accepted.

    Of a filter that names no ended jobs those that were created since `created_from`.
    """
    if not wanted.names_ended:
        yield from created_jobs(connection, wanted, _TO_RECALL)
        return
    for ids in candidates(connection, wanted, now, is_open_too=True):
        yield from jobs_of(connection, wanted, ids, _TO_RECALL)
