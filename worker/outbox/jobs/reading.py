"""Reads the rows of a job for people, applications and the command line. Takes no lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.sql.elements import TextClause

from worker.domain.job import part_range
from worker.domain.pacing.lane import lane_range
from worker.outbox.engine.bulk import ids_json
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.jobs.events import events_of_job

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class JobRows:
    """All rows of one job."""

    job: dict[str, Any]
    parts: Rows
    attempts: Rows
    receipts: Rows
    failures: Rows
    events: Rows
    followers: Rows
    """The jobs that are about this one: id, kind, state, created_at, finished_at."""
    replays: tuple[str, ...]
    """The replays of this job, oldest first; an original's include the replays of its replays."""


_JOB = text("select * from worker_jobs where id = :id")
_FOLLOWERS = text(
    "select id, kind, state, created_at, finished_at from worker_jobs where target_job_id = :id order by id"
)
_REPLAYS = text("select id from worker_jobs where replay_of = :id order by created_at, id")
_PARTS = text("select * from worker_parts where id > :low and id < :high order by n")


@lru_cache(maxsize=16)
def _of_parts(dialect: Dialect, table: str, order: str) -> TextClause:
    return text(f"select * from {dialect.chosen(table, 'part_id')}{dialect.sorted_by(order)}")


def job_rows(connection: Connection, job_id: str) -> JobRows | None:
    """A job with its parts, attempts, receipts and failures; None when there is no such job."""
    job = connection.execute(_JOB, {"id": job_id}).mappings().first()
    if job is None:
        return None
    parts = [dict(row) for row in connection.execute(_PARTS, part_range(job_id)).mappings()]
    return JobRows(
        dict(job),
        parts,
        _rows_of_parts(connection, "worker_attempts", "part_id, claim", parts),
        _rows_of_parts(connection, "worker_receipts", "part_id, claim", parts),
        _rows_of_parts(connection, "worker_failures", "part_id, kind, recipient_key", parts),
        events_of_job(connection, job_id),
        [dict(row) for row in connection.execute(_FOLLOWERS, {"id": job_id}).mappings()],
        tuple(connection.execute(_REPLAYS, {"id": job_id}).scalars()),
    )


@dataclass(frozen=True, slots=True)
class ReportRows:
    """The rows of a report, without the recipients and the message, which may be large."""

    job: dict[str, Any]
    parts: Rows
    attempts: Rows
    receipts: Rows
    replays: tuple[str, ...]
    """See `JobRows.replays`."""


def report_rows(connection: Connection, job_id: str) -> ReportRows | None:
    """A job with its parts, attempts and receipts; None when there is no such job."""
    job = connection.execute(_HEAD, {"id": job_id}).mappings().first()
    if job is None:
        return None
    parts = [dict(row) for row in connection.execute(_PART_HEADS, part_range(job_id)).mappings()]
    return ReportRows(
        dict(job),
        parts,
        _rows_of_parts(connection, "worker_attempts", "part_id, claim", parts),
        _rows_of_parts(connection, "worker_receipts", "part_id, claim", parts),
        tuple(connection.execute(_REPLAYS, {"id": job_id}).scalars()),
    )


def _rows_of_parts(connection: Connection, table: str, order: str, parts: Rows) -> Rows:
    ids = ids_json(part["id"] for part in parts)
    rows = connection.execute(_of_parts(dialect_of(connection), table, order), {"ids": ids})
    return [dict(row) for row in rows.mappings()]


def part_ids(connection: Connection, job_id: str) -> list[str]:
    """The ids of a job's parts, in order."""
    return [row["id"] for row in connection.execute(_PART_HEADS, part_range(job_id)).mappings()]


def parts_and_refused(connection: Connection, ids: Sequence[str]) -> tuple[Rows, set[tuple[str, str, str]]]:
    """The parts of these ids in the order given, and (part, kind, recipient in lower case) of refused recipients."""
    dialect, chosen_ids = dialect_of(connection), {"ids": ids_json(ids)}
    columns = "id, state, doubts, first_marked_at, spec"
    rows = connection.execute(text(f"select {columns} from {dialect.chosen('worker_parts')}"), chosen_ids)
    found = {row["id"]: dict(row) for row in rows.mappings()}
    refused = f"select part_id, kind, recipient_key from {dialect.chosen('worker_failures', 'part_id')}"
    named = {(part, kind, key) for part, kind, key in connection.execute(text(refused), chosen_ids)}
    return [found[one] for one in ids if one in found], named


def failures_page(connection: Connection, job_id: str, after: tuple[str, str, str], limit: int | None) -> Rows:
    """A job's failures after one of them (part, kind, recipient in lower case), in that order."""
    some = "" if limit is None else " limit :limit"
    query = text(
        "select * from worker_failures where part_id > :low and part_id < :high"
        " and (part_id > :part or (part_id = :part and (kind > :kind or (kind = :kind and recipient_key > :key))))"
        f" order by part_id, kind, recipient_key{some}"
    )
    values: dict[str, Any] = {**part_range(job_id), **dict(zip(("part", "kind", "key"), after, strict=True))}
    if limit is not None:
        values["limit"] = limit
    return [dict(row) for row in connection.execute(query, values).mappings()]


def job_state_row(connection: Connection, job_id: str) -> int | None:
    """A job's state alone, the cheapest query for a caller that waits; None: no such job."""
    state = connection.execute(_STATE, {"id": job_id}).scalar()
    return None if state is None else int(state)


_STATE = text("select state from worker_jobs where id = :id")
_LISTED = (
    "id, kind, channel, account, asked, priority, due_at, expires_at, dedupe_key, tags, target_job_id, replay_of,"
    " created_at, state, finished_at"
)


_HEAD = text(f"select {_LISTED}, warnings, n_open from worker_jobs where id = :id")
_PART_HEADS = text(
    "select id, state, reason, not_before, waits_on from worker_parts where id > :low and id < :high order by n"
)


def newest_jobs(
    connection: Connection,
    *,
    states: Sequence[int] | None,
    account: str | None,
    kind: str | None,
    before: str | None,
    limit: int,
) -> Rows:
    """Jobs, newest first (ids sort by time); `before` is the last id of the page before."""
    wanted = {"account": account, "kind": kind, "before": before}
    conditions = {"account": "account = :account", "kind": "kind = :kind", "before": "id < :before"}
    where = [conditions[name] for name, value in wanted.items() if value is not None]
    if states is not None:
        where.append(f"state in ({', '.join(str(int(state)) for state in states) or 'null'})")
    condition = f" where {' and '.join(where)}" if where else ""
    query = text(f"select {_LISTED} from worker_jobs{condition} order by id desc limit :limit")
    values = {name: value for name, value in wanted.items() if value is not None}
    return [dict(row) for row in connection.execute(query, {**values, "limit": limit}).mappings()]


# -- parts that wait for a limit --------------------------------------------------------------------------------------

_WAITING = "from worker_parts where state = 0 and lane > :low and lane < :high and limit_name is not null limit :most"


def waiting_by_limit(connection: Connection, account: str, most: int) -> dict[str, int]:
    """How many parts of an account wait for each limit, by its name; `most` parts are read."""
    query = f"select limit_name, count(*) from (select limit_name {_WAITING}) waiting group by limit_name"
    return {row[0]: int(row[1]) for row in connection.execute(text(query), {**lane_range(account), "most": most})}


def waiting_specs(connection: Connection, account: str, most: int) -> list[tuple[str, str]]:
    """The limit's name and the spec (JSON) of `most` parts of an account that wait for a limit."""
    rows = connection.execute(text(f"select limit_name, spec {_WAITING}"), {**lane_range(account), "most": most})
    return [(row[0], row[1]) for row in rows]
