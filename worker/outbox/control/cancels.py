"""Finds the jobs of a filter of which something may still be sent, and cancels jobs.

Without ids it reads the parts that are queued, in flight or in doubt, each by an index, and then their jobs. The cost
does not depend on other parts and jobs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.domain.job import job_of, part_id
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState, PartState
from worker.outbox.control.matching import MatchingJob, jobs_of, part_conditions, part_ids
from worker.outbox.engine.bulk import batched, ids_json, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch, iterate, run
from worker.outbox.jobs.reading import IS_CORRECTION
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


def mark_cancelled(connection: Connection, now_sql: str, ids: Collection[str]) -> list[str]:
    """Marks jobs as cancelled: once this commits, no call of theirs begins. Returns those not cancelled before."""
    dialect, sizes = dialect_of(connection), job_sizes(connection, ids)
    # Parts and then jobs are locked, each in the order of the workers' commits, so that they cannot deadlock.
    parts = [part for job in sizes.values() for part in job.part_ids()]
    queued = rows_by_id(connection, "id", "worker_parts", parts, only=f"and {_TO_BE_SENT[0]}{dialect.lock_in_order()}")
    only = f"and cancelled_at is null and {_GOES_ON}{dialect.lock_in_order()}"
    marked = [row[0] for row in rows_by_id(connection, "id", "worker_jobs", ids, only=only)]
    if any(job.parts > sizes[id].parts for id, job in job_sizes(connection, marked).items()):
        return mark_cancelled(connection, now_sql, ids)  # parts were added to a job before it was locked
    run(connection, dialect.update_by_ids("worker_jobs", f"cancelled_at = {now_sql}"), {"ids": ids_json(marked)})
    # The claim changes, as after a mark whose call sent nothing. So a sender that has read the part cannot mark it.
    is_marked = {*marked}
    parts = [row[0] for row in queued if job_of(row[0]) in is_marked]
    taken = dialect.update_by_ids("worker_parts", "claim = claim + 1, unheard = unheard + 1")
    run(connection, taken, {"ids": ids_json(parts)})
    return marked


def open_jobs(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Returns those of the jobs of which something may still be sent, in their order."""
    open_ids = {row[0] for row in rows_by_id(connection, "id", "worker_jobs", ids, only=f"and {_GOES_ON}")}
    return [id for id in ids if id in open_ids]


def count_corrections(connection: Connection, ids: Collection[str]) -> int:
    """Counts the jobs that are messages in place of others."""
    only = f"and target_job_id is not null and {IS_CORRECTION}"
    return int(rows_by_id(connection, "count(*)", "worker_jobs", ids, only=only)[0][0])


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


def job_sizes(connection: Connection, ids: Collection[str]) -> dict[str, JobSize]:
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
