"""Finds the jobs of a filter of which something may still be sent, and cancels jobs.

Without ids it reads the parts that are queued, in flight or in doubt, each by an index, and then their jobs. The cost
does not depend on other parts and jobs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.domain.job import part_id
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState, PartState
from worker.outbox.control.matching import MatchingJob, jobs_of, part_conditions, part_ids
from worker.outbox.engine.bulk import batched, ids_json, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch, iterate
from worker.outbox.jobs.rows import COUNTER_NAMES

_Q, _S, _U = int(PartState.QUEUED), int(PartState.SENDING), int(PartState.UNKNOWN)
JOBS_BATCH_SIZE = 5_000
"""How many parts' jobs are read with one statement."""
_TO_BE_SENT = (f"state = {_Q}", f"state = {_S}", f"state = {_U}")
"""Includes parts that are held in doubt. A late answer may still say that they have to be sent again."""
_IN_FLIGHT = (f"state = {_S}",)
_GOES_ON = f"state in ({int(JobState.OPEN)}, {int(JobState.UNKNOWN)})"
HAS_ENDED = f" and not j.{_GOES_ON}"
"""The condition on jobs of which nothing is sent any more."""


def open_parts(connection: Connection, filter: JobFilter) -> Iterator[tuple[MatchingJob, PartState]]:
    """Yields job and state of each part of the filter that may still be sent."""
    return _parts_in(connection, filter, _TO_BE_SENT, without_default_kinds(filter))


def waiting_parts(connection: Connection, filter: JobFilter) -> Iterator[MatchingJob]:
    """Yields the job of each queued part of the filter, without cancelled jobs."""
    more = f"{without_default_kinds(filter)} and j.cancelled_at is null"
    return (job for job, _ in _parts_in(connection, filter, _TO_BE_SENT[:1], more))


def count_in_flight(connection: Connection, filter: JobFilter | None) -> int:
    """Counts the parts of the filter, or of all jobs for None, that have a call in flight."""
    if filter is None:
        return int(fetch(connection, f"select count(*) from worker_parts where {_IN_FLIGHT[0]}")[0][0])
    return sum(1 for _ in _parts_in(connection, filter, _IN_FLIGHT, ""))


def _parts_in(
    connection: Connection, filter: JobFilter, states: Sequence[str], more: str
) -> Iterator[tuple[MatchingJob, PartState]]:
    dialect = dialect_of(connection)
    conditions, values = part_conditions(filter)
    if filter.ids is None:
        # One select for each index: for a single condition MariaDB would read every part of the table.
        source = f"worker_parts p{dialect.force_index('worker_parts_due_by_state')} where "
        queries = [" and ".join([f"select job_id, state from {source}{state}", *conditions]) for state in states]
    else:
        values["ids"] = ids_json(part_ids(connection, filter))
        query = f"select job_id, state from {dialect.by_ids('worker_parts', alias='p')}"
        queries = [" and ".join([query, f"({' or '.join(states)})", *conditions])]
    parts = iterate(connection, " union all ".join(queries), values)
    # The jobs are read afterwards by id. While statistics are young, a join would read all jobs.
    for few in batched(parts, JOBS_BATCH_SIZE):
        found = jobs_of(connection, filter, {job for job, _ in few}, more)
        jobs = {job.id: job for job in found}
        yield from ((jobs[job], PartState(state)) for job, state in few if job in jobs)


def without_default_kinds(filter: JobFilter) -> str:
    """Returns the condition that excludes recalls, uploads and tracks if the filter has neither ids nor a kind."""
    return " and j.kind not in ('recall', 'upload', 'track')" if filter.ids is None and filter.kind is None else ""


def mark_cancelled(connection: Connection, now_sql: str, ids: Sequence[str]) -> int:
    """Marks jobs as cancelled, so that nothing more of them is sent. Returns how many were not cancelled before."""
    dialect = dialect_of(connection)
    # Locked in the order of the workers' commits, so that they cannot deadlock.
    rows_by_id(connection, "id", "worker_jobs", ids, only=dialect.lock_in_order())
    update = dialect.update_by_ids("worker_jobs", f"cancelled_at = {now_sql}")
    update += f" and cancelled_at is null and {_GOES_ON}"
    return execute(connection, update, {"ids": ids_json(ids)}).rowcount


def open_jobs(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Returns those of the jobs of which something may still be sent, in their order."""
    open_ids = {row[0] for row in rows_by_id(connection, "id", "worker_jobs", ids, only=f"and {_GOES_ON}")}
    return [id for id in ids if id in open_ids]


def due_jobs(connection: Connection, now_sql: str, ids: Collection[str]) -> list[str]:
    """Returns those of the jobs that are due."""
    return [row[0] for row in rows_by_id(connection, "id", "worker_jobs", ids, only=f"and due_at <= {now_sql}")]


@dataclass(frozen=True, slots=True)
class JobSize:
    """A job and its number of parts."""

    id: str
    channel: str
    kind: str
    cancelled_at: int | None
    parts: int

    def part_ids(self) -> list[str]:
        """Returns the ids of its parts. They are numbered from 0, also those that were added later."""
        return [part_id(self.id, n) for n in range(self.parts)]


def job_sizes(connection: Connection, ids: Sequence[str]) -> dict[str, JobSize]:
    """Returns job id -> job, for jobs that exist."""
    columns = f"id, channel, kind, cancelled_at, {' + '.join(COUNTER_NAMES)}"
    return {row[0]: JobSize(*row) for row in rows_by_id(connection, columns, "worker_jobs", ids)}


@dataclass(frozen=True, slots=True)
class PartStatus:
    """The status of a part."""

    id: str
    state: PartState
    in_doubt: bool
    """Whether one of its calls has no readable answer."""
    goes_on: bool
    """Whether it changes by itself. False if it has ended or is held for a person."""


def part_statuses(connection: Connection, ids: Sequence[str]) -> list[PartStatus]:
    """Returns the statuses of those of the parts that exist."""
    rows = rows_by_id(connection, "id, state, doubts, not_before", "worker_parts", ids)
    return [PartStatus(id, PartState(state), doubts > 0, at is not None) for id, state, doubts, at in rows]
