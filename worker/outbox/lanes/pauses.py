"""Pauses: rows that name jobs of which no call may begin. Also wakes the parts that waited for a pause to end.

The group commit checks for every mark whether its job is paused. So no call begins once a pause is committed. The relay
does not offer paused parts. A part that waits for a pause gets a `not_before` that is unique to the pause, and costs
nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from worker.domain.pacing.lane import account_of
from worker.domain.pause import Pause
from worker.domain.settle import FOREVER
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows, rows_by_id
from worker.outbox.engine.clock import instant
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch, read_now, run

ANY_ACTIVE = "exists (select 1 from worker_pauses where ended_at is null)"
"""The SQL expression that is true if any pause has not ended."""
BATCH_SIZE = 1_000
"""How many parts are woken in one transaction."""

_COLUMNS = "id, parked_until, began_at, person, why, account, channel, kind, tag, job_id"
_JOB = "p.lane, j.id, j.channel, j.kind, j.tags"


def active_pauses(connection: Connection, jobs: Collection[str] | None = None) -> list[Pause]:
    """Returns the pauses that have not ended, the oldest first. With `jobs`, leaves out pauses of other single jobs."""
    # Two selects, because there may be many pauses of single jobs, which an index finds.
    only = "" if jobs is None else " and job_id is null"
    rows = fetch(connection, f"select {_COLUMNS} from worker_pauses where ended_at is null{only}")
    if jobs:
        source = dialect_of(connection).by_ids("worker_pauses", "job_id", index="worker_pauses_job")
        rows += fetch(connection, f"select {_COLUMNS} from {source} and ended_at is null", {"ids": ids_json(jobs)})
    # Ids sort by time.
    return sorted((Pause(row[0], row[1], instant(row[2]), *row[3:]) for row in rows), key=lambda pause: pause.id)


def paused_parts(connection: Connection, parts: Iterable[str]) -> dict[str, Pause]:
    """Returns those of the parts whose job is paused, each with one of its pauses; the account is that which sends."""
    rows = with_jobs(connection, f"p.id, {_JOB}", parts)
    jobs = {
        part: {"account": account_of(lane), "id": id, "channel": channel, "kind": kind, "tags": tags}
        for part, lane, id, channel, kind, tags in rows
    }
    pauses = active_pauses(connection, {job["id"] for job in jobs.values()})
    pairs = ((part, next((pause for pause in pauses if pause.covers(job)), None)) for part, job in jobs.items())
    return {part: pause for part, pause in pairs if pause is not None}


def count_paused(connection: Connection, pauses: Iterable[Pause], limit: int) -> dict[str, int]:
    """Returns pause id -> how many queued parts have met it so far and wait for its end; counts to `limit` each."""
    queued = f"worker_parts{dialect_of(connection).by_partial_index('worker_parts_due')} where state = 0"
    query = f"select count(*) from (select 1 from {queued} and not_before = :until limit {limit}) part"
    return {pause.id: int(fetch(connection, query, {"until": pause.parked_until})[0][0]) for pause in pauses}


def with_jobs(connection: Connection, columns: str, parts: Iterable[str]) -> list[tuple[Any, ...]]:
    """Reads columns of parts (`p`) and of the jobs they belong to (`j`)."""
    dialect = dialect_of(connection)
    source = dialect.by_ids("worker_parts", alias="p", joins=f"{dialect.join('worker_jobs j')} on j.id = p.job_id")
    return fetch(connection, f"select {columns} from {source}", {"ids": ids_json(parts)})


def begin_pauses(connection: Connection, now_sql: str, scopes: Sequence[Mapping[str, Any]]) -> list[Pause]:
    """Inserts pauses that begin now."""
    now = read_now(connection, now_sql)
    # Each pause gets its own instant. If two had the same one, the end of one would wake parts of the other, which
    # would then be parked again.
    rows = [{**scope, "began_at": now, "parked_until": FOREVER + now + n} for n, scope in enumerate(scopes, start=1)]
    insert_rows(connection, tables.pauses, rows)
    return [Pause(**{**row, "began_at": instant(now)}) for row in rows]


def end_pauses(connection: Connection, now_sql: str, ids: Collection[str]) -> int:
    """Ends these pauses. Returns how many had not ended. Recovery wakes the parts that wait for them."""
    update = dialect_of(connection).update_by_ids("worker_pauses", f"ended_at = {now_sql}")
    return execute(connection, f"{update} and ended_at is null", {"ids": ids_json(ids)}).rowcount


def parked_on_ended(connection: Connection) -> list[str]:
    """Returns some of the parts that wait for pauses which have ended, the oldest of each pause first."""
    dialect = dialect_of(connection)
    # Reads pause by pause through the index by time. No other part has an instant that is so far away.
    join = dialect.join("worker_parts p", "worker_parts_due_by_state")
    query = (
        f"select p.id from worker_pauses z{join} on p.state = 0 and p.not_before = z.parked_until"
        f" where z.ended_at is not null order by p.not_before, p.id limit {BATCH_SIZE}"
    )
    return [row[0] for row in fetch(connection, query)]


def wake_parked(connection: Connection, parts: Collection[str]) -> None:
    """Makes parts that wait for a pause due at their job's `due_at` again."""
    dialect, due_at = dialect_of(connection), "(select j.due_at from worker_jobs j where j.id = worker_parts.job_id)"
    # Locked first: PostgreSQL would keep the `due_at` that it read before it waited for a command to reschedule.
    rows_by_id(connection, "id", "worker_parts", sorted(parts), only=dialect.lock_in_order())
    sets = f"not_before = {due_at}, offered_until = null, reason = null"
    update = f"{dialect.update_by_ids('worker_parts', sets)} and state = 0 and not_before > {FOREVER}"
    run(connection, update, {"ids": ids_json(sorted(parts))})
