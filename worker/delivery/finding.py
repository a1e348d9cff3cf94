"""A job by its id, or the one sentence that says that there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection

from worker.domain.errors import JobNotFound
from worker.outbox import jobs
from worker.outbox.reading import JobRows, job_rows

T = TypeVar("T")


def rows_of(connection: Connection, job_id: str) -> JobRows:
    """Everything a job is made of; JobNotFound when there is none."""
    return _there(job_rows(connection, job_id), job_id)


def row_of(connection: Connection, job_id: str) -> Mapping[str, Any]:
    """A job's own row; JobNotFound when there is none."""
    return _there(jobs.read_job(connection, job_id), job_id)


def _there(found: T | None, job_id: str) -> T:
    if found is None:
        raise JobNotFound(f"no job {job_id!r}; was its transaction committed?", job=job_id)
    return found
