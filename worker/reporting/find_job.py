"""Finds the rows of a job by the id that a caller gives; an id or a job that does not exist is an error.

A value that cannot be an id is refused before any SQL: the database's error would end the caller's transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, TypeVar

import uuid_utils
from sqlalchemy import Connection

from worker.domain.errors import CheckFailed, JobNotFound, Problem
from worker.outbox.jobs import jobs
from worker.outbox.jobs.reading import JobRows, ReportRows, job_rows, report_rows

T = TypeVar("T")

JobId = str | uuid.UUID
"""A job's id: the text that JobRef and the reports hold, or a UUID, also as its text with hyphens."""


def id_of(job_id: object) -> str:
    """A job's id as it is stored; CheckFailed for what is neither a text nor a UUID."""
    if isinstance(job_id, uuid.UUID | uuid_utils.UUID):
        return job_id.hex
    if not isinstance(job_id, str):
        found = type(job_id).__name__
        raise CheckFailed([Problem("job_id", f"is a {found}", "give a job's id, a text such as job.id, or a UUID")])
    try:
        return uuid.UUID(job_id).hex
    except ValueError:
        return job_id  # no job has it


def rows_of(connection: Connection, job_id: JobId) -> JobRows:
    """All rows of a job; JobNotFound when there is none."""
    return _there(job_rows(connection, id_of(job_id)), job_id)


def report_rows_of(connection: Connection, job_id: JobId) -> ReportRows:
    """The rows of a job's report; JobNotFound when there is none."""
    return _there(report_rows(connection, id_of(job_id)), job_id)


def row_of(connection: Connection, job_id: JobId) -> Mapping[str, Any]:
    """A job's own row; JobNotFound when there is none."""
    return _there(jobs.read_job(connection, id_of(job_id)), job_id)


def _there(found: T | None, job_id: JobId) -> T:
    if found is None:
        raise JobNotFound(f"no job {str(job_id)!r}; was its transaction committed?", job=id_of(job_id))
    return found
