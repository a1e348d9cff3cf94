"""Reads the rows of a job by an id that a caller gives, and raises an error if there is no such job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection

from worker.domain.errors import JobNotFound
from worker.domain.job import JobId, id_of
from worker.outbox.jobs.reading import JobRows, RecipientRows, job_rows, read_job, recipient_rows

T = TypeVar("T")


def rows_of(connection: Connection, job_id: JobId, numbers: range | None = None) -> JobRows:
    """Returns all rows of a job, or those of some of its parts. Raises JobNotFound if there is none."""
    return require_found(job_rows(connection, id_of(job_id), numbers), job_id)


def recipients_of(connection: Connection, job_id: JobId) -> RecipientRows:
    """Returns the rows with the results of a job's recipients. Raises JobNotFound if there is no such job."""
    return require_found(recipient_rows(connection, [id_of(job_id)]).get(id_of(job_id)), job_id)


def row_of(connection: Connection, job_id: JobId) -> Mapping[str, Any]:
    """Returns a job's own row. Raises JobNotFound if there is none."""
    return require_found(read_job(connection, id_of(job_id)), job_id)


def require_found(value: T | None, job_id: JobId) -> T:
    """Returns what was read of a job. Raises JobNotFound if that is None."""
    if value is None:
        raise JobNotFound(f"no job {str(job_id)!r}; was its transaction committed?", job=id_of(job_id))
    return value
