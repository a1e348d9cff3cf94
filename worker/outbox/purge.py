"""What is over and old goes, in small batches; every look goes on where the one before ended.

Ids are made by time, so the oldest rows stand first in every primary key, and a look through a table is over at the
first batch that holds nothing old. Nothing that can still move goes: no open job, none that a follow-up waits for,
no attempt in doubt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from worker.domain.job import part_range
from worker.domain.state import PartState
from worker.outbox.bulk import chosen, delete_chosen, ids_json
from worker.outbox.database import Database
from worker.outbox.sql import fetch

JOBS = 100
ROWS = 500


@dataclass(frozen=True, slots=True)
class Look:
    """One batch of a look through a table."""

    deleted: int
    after: str | None
    """Where the next batch begins; null: nothing old is behind it."""


def purge_jobs(database: Database, before: int, after: str) -> Look:
    """Jobs that ended before an instant, with everything of theirs, files first; `deleted` counts jobs."""
    rows = _page(database, _JOBS, after, JOBS)
    old = [row[0] for row in rows if row[2] is not None and row[2] < before]
    free = _free(database, old, before) if old else []
    if free:
        _delete_files(database, free)
        database.run(lambda connection: _delete_jobs(connection, free))
    return Look(len(free), _after(rows, before, JOBS))


def purge_bodies(database: Database, before: int, after: str) -> Look:
    """Frozen bytes of parts that have ended; of one in doubt only when it is held, for then it is not repeated."""
    rows = _page(database, _BODIES, after, ROWS)
    ended = f"p.state in ({_ENDED}) or (p.state = {int(PartState.UNKNOWN)} and p.not_before is null)"
    return Look(_delete_ended(database, "worker_bodies", rows, before, ended), _after(rows, before, ROWS))


def purge_attempts(database: Database, before: int, after: str) -> Look:
    """Attempts of parts that have ended without doubt; `deleted` counts parts."""
    rows = _page(database, _ATTEMPTS, after, ROWS)
    return Look(
        _delete_ended(database, "worker_attempts", rows, before, f"p.state in ({_ENDED})"), _after(rows, before, ROWS)
    )


def purge_callbacks(database: Database, before: int, after: str) -> Look:
    """What vendors told us, unless its hook has yet to run; with the event it made."""

    def delete(connection: Connection) -> Look:
        rows = fetch(connection, _CALLBACKS, {"before": before, "limit": ROWS})
        for table, ids in (("worker_inbound", [row[0] for row in rows]), ("worker_events", [row[1] for row in rows])):
            _delete(connection, table, ids)
        return Look(len(rows), "" if len(rows) == ROWS else None)

    return database.run(delete)


def purge_windows(database: Database, before: int, after: str) -> Look:
    """Windows of the duplicate check that are over. Their ids are hashes: a look goes through all of them."""
    rows = _page(database, _WINDOWS, after, ROWS)
    over = [row[0] for row in rows if row[1] < before]
    statement = f"{delete_chosen(database.dialect, 'worker_duplicates')} and until < :before"
    if over:
        values = {"ids": ids_json(over), "before": before}
        database.run(lambda connection: connection.execute(text(statement), values))
    return Look(len(over), rows[-1][0] if len(rows) == ROWS else None)


def purge_processes(database: Database, before: int, after: str) -> Look:
    """Processes that ended and left nothing marked."""

    def delete(connection: Connection) -> Look:
        rows = fetch(connection, _PROCESSES, {"before": before, "limit": ROWS})
        _delete(connection, "worker_processes", [row[0] for row in rows])
        return Look(len(rows), "" if len(rows) == ROWS else None)

    return database.run(delete)


_ENDED = ", ".join(
    str(int(state)) for state in PartState if state not in (PartState.QUEUED, PartState.SENDING, PartState.UNKNOWN)
)
_JOBS = "select id, created_at, finished_at from worker_jobs where id > :after order by id limit :limit"
_BODIES = "select part_id, frozen_at from worker_bodies where part_id > :after order by part_id limit :limit"
_ATTEMPTS = (
    "select part_id, max(ended_at) from worker_attempts where part_id > :after"
    " group by part_id order by part_id limit :limit"
)
_WINDOWS = "select id, until from worker_duplicates where id > :after order by id limit :limit"
_CALLBACKS = (
    "select i.id, i.stored_by from worker_inbound i left join worker_events e on e.id = i.stored_by"
    " where i.received_at < :before and (e.id is null or e.ended_at is not null) order by i.received_at limit :limit"
)
_PROCESSES = (
    "select p.id from worker_processes p where p.ended_at < :before and not exists"
    " (select 1 from worker_parts s where s.state = 1 and s.incarnation = p.id) limit :limit"
)
_NOT_NEEDED = (
    " and j.n_open = 0 and j.finished_at < :before"
    " and not exists (select 1 from worker_jobs f where f.target_job_id = j.id and f.n_open > 0)"
    # A replay's task_ids are numbered by the replays that are there: the newest goes first.
    " and not exists (select 1 from worker_jobs r where r.replay_of = coalesce(j.replay_of, j.id) and r.id > j.id)"
    " and not exists (select 1 from worker_events e where e.job_id = j.id and e.ended_at is null)"
)
_WAITS_TO_REPEAT = (
    "select count(*) from worker_parts where id > :low and id < :high"
    f" and state = {int(PartState.UNKNOWN)} and not_before is not null"
)


def _page(database: Database, query: str, after: str, limit: int) -> list[tuple[Any, ...]]:
    with database.reading() as connection:
        return fetch(connection, query, {"after": after, "limit": limit})


def _after(rows: Sequence[tuple[Any, ...]], before: int, limit: int) -> str | None:
    """Rows are in the order of their making; the second column is when."""
    return rows[-1][0] if len(rows) == limit and any(row[1] < before for row in rows) else None


def _free(database: Database, ids: Sequence[str], before: int) -> list[str]:
    """Those of the jobs that nothing needs any more."""
    source = chosen(database.dialect, "worker_jobs", alias="j")
    with database.reading() as connection:
        values = {"ids": ids_json(ids), "before": before}
        rows = fetch(connection, f"select j.id, j.n_unknown from {source}{_NOT_NEEDED}", values)
        return [
            row[0]
            for row in rows
            if not row[1] or not connection.execute(text(_WAITS_TO_REPEAT), part_range(row[0])).scalar()
        ]


def _delete_ended(database: Database, table: str, rows: Sequence[tuple[Any, ...]], before: int, ended: str) -> int:
    """Deletes the old rows whose part has ended; an ended part never moves again."""
    old = [row[0] for row in rows if row[1] < before]
    if not old:
        return 0
    source = chosen(database.dialect, "worker_parts", alias="p")

    def delete(connection: Connection) -> int:
        ids = [row[0] for row in fetch(connection, f"select p.id from {source} and ({ended})", {"ids": ids_json(old)})]
        _delete(connection, table, ids, "part_id")
        return len(ids)

    return database.run(delete)


def _delete(connection: Connection, table: str, ids: Sequence[str], key: str = "id") -> None:
    if ids:
        connection.execute(text(delete_chosen(connection.dialect.name, table, key)), {"ids": ids_json(ids)})


def _delete_files(database: Database, jobs: Sequence[str]) -> None:
    """Files that only these jobs name, one a transaction. A job whose file went and that did not go yet is no loss: its
    replay is refused, and the next look takes it.
    """
    source = chosen(database.dialect, "worker_blob_uses", "job_id")
    with database.reading() as connection:
        rows = fetch(connection, f"select distinct blob_id from {source}", {"ids": ids_json(jobs)})
    for (blob,) in rows:
        database.run(lambda connection, blob=blob: _delete_file(connection, blob, jobs))  # type: ignore[misc]


def _delete_file(connection: Connection, blob: str, jobs: Sequence[str]) -> None:
    users = fetch(connection, "select job_id from worker_blob_uses where blob_id = :blob", {"blob": blob})
    if {row[0] for row in users} <= set(jobs):
        _delete(connection, "worker_blob_chunks", [blob], "blob_id")
        _delete(connection, "worker_blobs", [blob])


_OF_PARTS = ("attempts", "receipts", "failures", "bodies", "response_codes")


def _delete_jobs(connection: Connection, ids: Sequence[str]) -> None:
    ranges = [part_range(job) for job in ids]
    _delete_task_ids(connection, ids)
    for table in _OF_PARTS:
        connection.execute(text(f"delete from worker_{table} where part_id > :low and part_id < :high"), ranges)
    connection.execute(text("delete from worker_parts where id > :low and id < :high"), ranges)
    connection.execute(text("delete from worker_events where job_id = :id"), [{"id": job} for job in ids])
    _delete(connection, "worker_blob_uses", ids, "job_id")
    _delete(connection, "worker_jobs", ids)


def _delete_task_ids(connection: Connection, ids: Sequence[str]) -> None:
    """The table is ordered by task_id, which only the part knows."""
    query = (
        "select p.id, p.spec, j.account from worker_parts p join worker_jobs j on j.id = p.job_id"
        " where p.id > :low and p.id < :high and p.spec like :named"
    )
    rows = [row for job in ids for row in fetch(connection, query, {**part_range(job), "named": '%"task_id"%'})]
    named = [
        {"account": account, "task_id": task_id, "part_id": part}
        for part, spec, account in rows
        if (task_id := json.loads(spec).get("task_id"))
    ]
    if named:
        connection.execute(text(_TASK_ID), named)


_TASK_ID = "delete from worker_task_ids where account = :account and task_id = :task_id and part_id = :part_id"
