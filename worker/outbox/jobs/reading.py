"""Reads the rows of a job for people, applications and the command line. Takes no lock."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table

from worker.domain.job import FOLLOW_UPS, job_of, part_id, part_range
from worker.domain.pacing.lane import lane_range
from worker.domain.pacing.quiet import QUIET_HOURS
from worker.outbox import tables
from worker.outbox.engine.bulk import batched_by_size, ids_json, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, mappings
from worker.outbox.jobs.events import events_of_job
from worker.outbox.jobs.jobs import newest_replays
from worker.outbox.jobs.rows import COUNTER_NAMES
from worker.outbox.tables import columns_of

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ReportRows:
    """The rows of a report, without recipients and message, which may be large."""

    job: dict[str, Any]
    parts: Rows
    attempts: Rows
    receipts: Rows
    replays: tuple[str, ...]
    """The replays of this job, oldest first. Those of an original include the replays of its replays."""


@dataclass(frozen=True, slots=True)
class JobRows(ReportRows):
    """All rows of a job with all columns."""

    failures: Rows
    waits: Rows
    """The reasons for which its parts wait or have waited."""
    events: Rows
    followers: Rows
    """The jobs about this job: id, kind, state, created_at, finished_at."""


@dataclass(frozen=True, slots=True)
class RecipientRows:
    """The rows from which the status of each recipient of a job is computed."""

    job: dict[str, Any]
    parts: Rows
    failures: Rows


_FOLLOWERS = "select id, kind, state, created_at, finished_at from worker_jobs where target_job_id = :id order by id"
_WHOLE = columns_of(tables.jobs)
_WITHOUT_TEXTS = ", ".join(one.name for one in tables.jobs.columns if one.name not in ("message", "recipients"))
_WITHOUT_SPECS = ", ".join(one.name for one in tables.parts.columns if one.name != "spec")
_PART_COLUMNS = "id, state, reason, not_before, waits_on, lane"


_FOLLOW_UPS = ", ".join(f"'{kind}'" for kind in sorted(FOLLOW_UPS))
IS_CORRECTION = f"kind not in ({_FOLLOW_UPS})"
"""The condition on a job about another job that it is a corrected message, not a follow-up."""


def corrections_of(connection: Connection, jobs: Sequence[str]) -> list[str]:
    """Returns the corrections of these jobs and the replays of the corrections."""
    index, only = "worker_jobs_target", f"and {IS_CORRECTION}"
    rows = rows_by_id(connection, "id", "worker_jobs", jobs, "target_job_id", only=only, index=index)
    return sorted(row[0] for row in rows)


def read_job(connection: Connection, job_id: str, columns: str = _WHOLE) -> dict[str, Any] | None:
    """Returns columns of a job, also if this transaction has just inserted it, or None if there is none."""
    query = f"select {columns} from worker_jobs where id = :id"
    return next(iter(mappings(connection, query, {"id": job_id})), None)


def originals_of(connection: Connection, originals: Iterable[str]) -> dict[str, str]:
    """Returns job -> original, for these originals and all of their replays."""
    originals = list(originals)
    rows = rows_by_id(connection, "id, replay_of", "worker_jobs", originals, "replay_of", index="worker_jobs_replay")
    return {one: one for one in originals} | {row[0]: row[1] for row in rows}


def recall_targets(connection: Connection, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Returns job -> the columns that a recall of it needs."""
    columns = "id, kind, channel, account, payload, tenant, replay_of"
    query = f"select {columns} from {dialect_of(connection).by_ids('worker_jobs')}"
    return {row["id"]: row for row in mappings(connection, query, {"ids": ids_json(ids)})}


def job_and_replays(connection: Connection, original: str) -> list[Mapping[str, Any]]:
    """Returns ids and counters of an original and its replays, oldest first."""
    columns = f"id, created_at, {', '.join(COUNTER_NAMES)}"
    query = f"select {columns} from worker_jobs where"
    rows = mappings(connection, f"{query} id = :id union all {query} replay_of = :id", {"id": original})
    return sorted(rows, key=lambda row: (row["created_at"], row["id"]))


def has_unseen_replay(connection: Connection, original: str, seen: Collection[str]) -> bool:
    """Returns whether a job has a committed replay besides those that this transaction sees.

    On MariaDB at REPEATABLE READ the transaction sees what there was at its first read; a locking read sees the rest.
    """
    dialect = dialect_of(connection)
    if not dialect.has_unseen_conflicts:
        return False
    query = f"select id from worker_jobs where replay_of = :id{dialect.shared_lock}"
    return not {*execute(connection, query, {"id": original}).scalars()} <= {*seen}


def job_rows(connection: Connection, job_id: str, numbers: range | None = None) -> JobRows | None:
    """Returns a job with its parts, attempts, receipts and failures, or None if there is no such job.

    `numbers`: only these parts, for a job may have thousands; and nothing of who is to get what: no message,
    recipients and specs, which may have megabytes.
    """
    if numbers is None:
        job_columns, part_columns = _WHOLE, columns_of(tables.parts)
    else:
        job_columns, part_columns = _WITHOUT_TEXTS, _WITHOUT_SPECS
    job = read_job(connection, job_id, job_columns)
    if job is None:
        return None
    parts = _parts(connection, job_id, part_columns, numbers)
    return JobRows(
        job=job,
        parts=parts,
        attempts=_rows_of_parts(connection, tables.attempts, "part_id, claim", parts),
        receipts=_rows_of_parts(connection, tables.receipts, "part_id, claim", parts),
        failures=_failures(connection, parts),
        waits=_rows_of_parts(connection, tables.waits, "part_id, began_at", parts),
        events=events_of_job(connection, job_id),
        followers=mappings(connection, _FOLLOWERS, {"id": job_id}),
        replays=replays_of(connection, job_id),
    )


RECIPIENT_COLUMNS = ", ".join(("id", "recipients", *COUNTER_NAMES))
"""The columns of a job from which the status of each recipient is computed."""


def recipient_rows(connection: Connection, ids: Iterable[str], columns: str = _WHOLE) -> dict[str, RecipientRows]:
    """Returns job -> its row, parts and failures, for jobs that exist. `columns` are those of the job's row."""
    query = f"select {columns} from {dialect_of(connection).by_ids('worker_jobs')}"
    jobs = mappings(connection, query, {"ids": ids_json(ids)})
    of_jobs = [part_id(job["id"], n) for job in jobs for n in range(sum(job[name] for name in COUNTER_NAMES))]
    parts = sorted(_rows_by_key(connection, tables.parts, "id", of_jobs), key=lambda part: (part["job_id"], part["n"]))
    rows = {job["id"]: RecipientRows(job, [], []) for job in jobs}
    for part in parts:
        rows[part["job_id"]].parts.append(part)
    for failure in _failures(connection, parts):
        rows[job_of(failure["part_id"])].failures.append(failure)
    return rows


def _rows_by_key(connection: Connection, table: Table, key: str, ids: Iterable[str], order: str = "") -> Rows:
    dialect = dialect_of(connection)
    query = f"select {columns_of(table)} from {dialect.by_ids(table.name, key)}"
    return mappings(connection, query + (dialect.order_by_ids(order) if order else ""), {"ids": ids_json(ids)})


def _failures(connection: Connection, parts: Rows) -> Rows:
    return _rows_of_parts(connection, tables.failures, "part_id, kind, recipient_key", parts)


def _parts(connection: Connection, job_id: str, columns: str, numbers: range | None) -> Rows:
    values: dict[str, Any] = {**part_range(job_id)}
    only = ""
    if numbers is not None:
        only, values = " and n >= :first and n < :end", values | {"first": numbers.start, "end": numbers.stop}
    query = f"select {columns} from worker_parts where id > :low and id < :high{only} order by n"
    return mappings(connection, query, values)


def report_rows(
    connection: Connection, job_id: str, columns: Sequence[str], numbers: range | None = None
) -> ReportRows | None:
    """Returns columns of a job with its parts (or some of them), attempts and receipts; None: no such job."""
    job = read_job(connection, job_id, ", ".join(columns))
    if job is None:
        return None
    parts = _parts(connection, job_id, _PART_COLUMNS, numbers)
    return ReportRows(
        job,
        parts,
        _rows_of_parts(connection, tables.attempts, "part_id, claim", parts),
        _rows_of_parts(connection, tables.receipts, "part_id, claim", parts),
        replays_of(connection, job_id),
    )


def _rows_of_parts(connection: Connection, table: Table, order: str, parts: Rows) -> Rows:
    return _rows_by_key(connection, table, "part_id", (part["id"] for part in parts), order)


def replays_of(connection: Connection, job_id: str) -> tuple[str, ...]:
    """Returns the replays of an original, oldest first."""
    query = "select id from worker_jobs where replay_of = :id order by created_at, id"
    return tuple(execute(connection, query, {"id": job_id}).scalars())


def part_ids(connection: Connection, job_id: str) -> list[str]:
    """Returns the ids of a job's parts, in order."""
    return [row["id"] for row in _parts(connection, job_id, "id", None)]


def parts_and_refused(connection: Connection, ids: Sequence[str]) -> tuple[Rows, set[tuple[str, str, str]]]:
    """Returns these parts in the given order, and (part, kind, recipient in lower case) of refused recipients."""
    parts = f"select id, state, doubts, first_marked_at, spec from {dialect_of(connection).by_ids('worker_parts')}"
    by_id = {row["id"]: row for row in mappings(connection, parts, {"ids": ids_json(ids)})}
    refused = rows_by_id(connection, "part_id, kind, recipient_key", "worker_failures", ids, "part_id")
    return [by_id[id] for id in ids if id in by_id], {(part, kind, key) for part, kind, key in refused}


def failures_page(connection: Connection, job_id: str, after: tuple[str, str, str], limit: int | None) -> Rows:
    """Returns a job's failures after the position (part, kind, recipient in lower case), in that order."""
    query = (
        f"select {columns_of(tables.failures)} from worker_failures where part_id > :low and part_id < :high"
        " and (part_id > :part or (part_id = :part and (kind > :kind or (kind = :kind and recipient_key > :key))))"
        " order by part_id, kind, recipient_key"
    )
    values = {**part_range(job_id), **dict(zip(("part", "kind", "key"), after, strict=True))}
    if limit is None:
        return mappings(connection, query, values)
    return mappings(connection, f"{query} limit :limit", {**values, "limit": limit})


def job_state_row(connection: Connection, job_id: str) -> int | None:
    """Returns a job's state, by the cheapest query for a caller that waits, or None if there is no such job."""
    state = execute(connection, "select state from worker_jobs where id = :id", {"id": job_id}).scalar()
    return None if state is None else int(state)


def batches_by_bytes(connection: Connection, ids: Iterable[str], most: int) -> Iterator[list[str]]:
    """Returns jobs in batches whose messages and recipients have at most `most` bytes, or one larger job alone."""
    count, ids = dialect_of(connection).octet_length, sorted(ids)
    rows = rows_by_id(connection, f"id, {count}(message) + {count}(recipients)", "worker_jobs", ids)
    lengths: dict[str, int] = {row[0]: int(row[1]) for row in rows}
    return batched_by_size(ids, lambda id: lengths.get(id, 0), most)


MIN_ID_CHARACTERS = 8
"""The least characters of a job's id by which the job can be named."""


def find_jobs_by_name(connection: Connection, name: str, accounts: Iterable[str]) -> list[str]:
    """Returns at most two jobs whose id begins with the name, or that have it as dedupe key or task_id in an account.

    For a dedupe key it returns the newest replay of the job.
    """
    if re.fullmatch(f"[0-9a-f]{{{MIN_ID_CHARACTERS},32}}", name):
        query = "select id from worker_jobs where id >= :low and id <= :high order by id limit 2"
        bounds = {"low": name.ljust(32, "0"), "high": name.ljust(32, "f")}
        if ids := execute(connection, query, bounds).scalars():
            return list(ids)
    by_key = "select id from worker_jobs where account = :account and dedupe_key = :name"
    by_task = "select part_id from worker_task_ids where account = :account and task_id = :name"
    jobs_of_key, jobs_of_task = (
        [
            job_of(id)
            for account in accounts
            for id in execute(connection, query, {"account": account, "name": name}).scalars()
        ]
        for query in (by_key, by_task)
    )
    newest = newest_replays(connection, jobs_of_key) if jobs_of_key else {}
    return sorted({*(str(newest[job]["id"]) if job in newest else job for job in jobs_of_key), *jobs_of_task})[:2]


def jobs_waiting_for(connection: Connection, job_id: str) -> dict[str, int]:
    """Returns job -> when it stops waiting at the latest, for the jobs that wait for this job."""
    query = "select job_id, min(not_before) from worker_parts where waits_on = :job and state = 0 group by job_id"
    return {row[0]: int(row[1]) for row in execute(connection, query, {"job": job_id})}


def first_in_orders(connection: Connection, orders: Iterable[str]) -> dict[str, str]:
    """Returns order -> the part that has the turn, for orders with waiting parts."""
    query = "select part_id from worker_order_queue where order_id = :id order by place_at, job_id, n limit 1"
    first = {id: execute(connection, query, {"id": id}).scalar() for id in orders}
    return {id: part for id, part in first.items() if part is not None}


# -- parts that wait for a limit --------------------------------------------------------------------------------------

_WAITING = (
    "from worker_parts where state = 0 and lane > :low and lane < :high"
    f" and limit_name is not null and limit_name <> '{QUIET_HOURS}' limit :most"
)


def waiting_by_limit(connection: Connection, account: str, most: int) -> dict[str, int]:
    """Returns limit -> how many parts of an account wait for it. Reads at most `most` parts."""
    query = f"select limit_name, count(*) from (select limit_name {_WAITING}) waiting group by limit_name"
    return {row[0]: int(row[1]) for row in execute(connection, query, {**lane_range(account), "most": most})}
