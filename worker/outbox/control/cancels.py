"""Jobs of which something may still be sent, by a filter, and the mark of a cancelled job.

Without ids it reads the parts that are queued, in the air, or in doubt, each by their index, and their jobs: it costs
what these cost, however many others there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.domain.job import part_id
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState, PartState
from worker.outbox.control.matching import FoundJob, jobs_of, part_conditions, part_ids
from worker.outbox.engine.bulk import ids_json, in_lots, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import each, execute, fetch
from worker.outbox.jobs.rows import COUNTER_NAMES

_Q, _S, _U = int(PartState.QUEUED), int(PartState.SENDING), int(PartState.UNKNOWN)
JOBS_TOGETHER = 5_000
"""Parts whose jobs are read with one statement."""
_TO_BE_SENT = (f"state = {_Q}", f"state = {_S}", f"state = {_U}")
"""Also what is held in doubt: an answer that comes after all may say "again later"."""
_IN_THE_AIR = (f"state = {_S}",)
_GOES_ON = f"state in ({int(JobState.OPEN)}, {int(JobState.UNKNOWN)})"
HAS_ENDED = f" and not j.{_GOES_ON}"
"""The condition on jobs of which nothing may be sent any more."""


def open_parts(connection: Connection, wanted: JobFilter) -> Iterator[tuple[FoundJob, PartState]]:
    """The parts of a filter that may still be sent: of each its job and its state."""
    return _parts_in(connection, wanted, _TO_BE_SENT, left_out(wanted))


def waiting_parts(connection: Connection, wanted: JobFilter) -> Iterator[FoundJob]:
    """The queued parts of a filter: of each its job, but for jobs that are cancelled."""
    more = f"{left_out(wanted)} and j.cancelled_at is null"
    return (job for job, _ in _parts_in(connection, wanted, _TO_BE_SENT[:1], more))


def count_in_the_air(connection: Connection, wanted: JobFilter | None) -> int:
    """How many parts of a filter have their call in the air; None: of all jobs."""
    if wanted is None:
        return int(fetch(connection, f"select count(*) from worker_parts where {_IN_THE_AIR[0]}")[0][0])
    return sum(1 for _ in _parts_in(connection, wanted, _IN_THE_AIR, ""))


def _parts_in(
    connection: Connection, wanted: JobFilter, states: Sequence[str], more: str
) -> Iterator[tuple[FoundJob, PartState]]:
    dialect = dialect_of(connection)
    conditions, given = part_conditions(wanted)
    if wanted.ids is None:
        # One select for each index: for a single condition MariaDB would read every part of the table.
        source = f"worker_parts p{dialect.force_index('worker_parts_due_by_state')} where "
        queries = [" and ".join([f"select job_id, state from {source}{one}", *conditions]) for one in states]
    else:
        given["ids"] = ids_json(part_ids(connection, wanted))
        query = f"select job_id, state from {dialect.chosen('worker_parts', alias='p')}"
        queries = [" and ".join([query, f"({' or '.join(states)})", *conditions])]
    parts = each(connection, " union all ".join(queries), given)
    # The jobs afterwards, by their ids: while statistics are young a join would read all jobs there are.
    for few in in_lots(parts, JOBS_TOGETHER):
        found = jobs_of(connection, wanted, {job for job, _ in few}, more)
        jobs = {job.id: job for job in found}
        yield from ((jobs[job], PartState(state)) for job, state in few if job in jobs)


def left_out(wanted: JobFilter) -> str:
    """The condition that leaves recalls, uploads and tracks out of a filter which names neither ids nor a kind."""
    return " and j.kind not in ('recall', 'upload', 'track')" if wanted.ids is None and wanted.kind is None else ""


def mark_cancelled(connection: Connection, now_sql: str, ids: Sequence[str]) -> int:
    """Notes that nothing of these jobs is sent any more; how many of them had that to be said."""
    dialect = dialect_of(connection)
    # Locked in the order of the workers' commits, so that neither waits for the other.
    rows_by_id(connection, "id", "worker_jobs", ids, only=dialect.in_order())
    update = dialect.update_chosen("worker_jobs", f"cancelled_at = {now_sql}")
    update += f" and cancelled_at is null and {_GOES_ON}"
    return execute(connection, update, {"ids": ids_json(ids)}).rowcount


def open_jobs(connection: Connection, ids: Sequence[str]) -> list[str]:
    """The jobs among these of which something may still be sent, in their order."""
    found = {row[0] for row in rows_by_id(connection, "id", "worker_jobs", ids, only=f"and {_GOES_ON}")}
    return [id for id in ids if id in found]


def due_jobs(connection: Connection, now_sql: str, ids: Collection[str]) -> list[str]:
    """The jobs among these that are due by now."""
    return [row[0] for row in rows_by_id(connection, "id", "worker_jobs", ids, only=f"and due_at <= {now_sql}")]


@dataclass(frozen=True, slots=True)
class CountedJob:
    """A job, and how many parts it has."""

    id: str
    channel: str
    kind: str
    cancelled_at: int | None
    parts: int

    def part_ids(self) -> list[str]:
        """Its parts: they are numbered from 0, also those that were added later."""
        return [part_id(self.id, n) for n in range(self.parts)]


def counted_jobs(connection: Connection, ids: Sequence[str]) -> dict[str, CountedJob]:
    """Jobs by their ids, as far as they exist."""
    columns = f"id, channel, kind, cancelled_at, {' + '.join(COUNTER_NAMES)}"
    return {row[0]: CountedJob(*row) for row in rows_by_id(connection, columns, "worker_jobs", ids)}


@dataclass(frozen=True, slots=True)
class PartStanding:
    """How a part stands."""

    id: str
    state: PartState
    in_doubt: bool
    """A call of it has no readable answer."""
    goes_on: bool
    """It moves by itself; false: it has ended, or is held for a person."""


def part_standings(connection: Connection, ids: Sequence[str]) -> list[PartStanding]:
    """How these parts stand, as far as they exist."""
    rows = rows_by_id(connection, "id, state, doubts, not_before", "worker_parts", ids)
    return [PartStanding(id, PartState(state), doubts > 0, at is not None) for id, state, doubts, at in rows]
