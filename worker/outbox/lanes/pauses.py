"""Pauses: rows that say of which jobs no call begins, and the waking of parts that are parked on them.

The group commit asks for every mark whether its job is paused, so no call begins once a pause is committed. The relay
offers nothing that is paused. A part that is parked has a `not_before` that is the pause's own, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from worker.domain.pause import Pause
from worker.domain.settle import FOREVER
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.clock import instant
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch, read_now, run

STANDS = "exists (select 1 from worker_pauses where ended_at is null)"
"""The expression that is true while anything is paused."""
TOGETHER = 1_000
"""Parts that are woken in one transaction."""

_COLUMNS = "id, parked_until, began_at, person, why, account, channel, kind, tag, job_id"
_JOB = "j.id, j.account, j.channel, j.kind, j.tags"


def standing_pauses(connection: Connection, jobs: Collection[str] | None = None) -> list[Pause]:
    """The pauses that have not ended, the oldest first; with `jobs` only those of these jobs, and those of many."""
    # Two selects: those of single jobs may be many, and are found by the index.
    only = "" if jobs is None else " and job_id is null"
    rows = fetch(connection, f"select {_COLUMNS} from worker_pauses where ended_at is null{only}")
    if jobs:
        source = dialect_of(connection).chosen("worker_pauses", "job_id", index="worker_pauses_job")
        rows += fetch(connection, f"select {_COLUMNS} from {source} and ended_at is null", {"ids": ids_json(jobs)})
    # The ids sort by time.
    return sorted((Pause(row[0], row[1], instant(row[2]), *row[3:]) for row in rows), key=lambda pause: pause.id)


def paused_among(connection: Connection, parts: Iterable[str]) -> dict[str, Pause]:
    """The parts among these whose job is paused, and a pause of each."""
    rows = with_jobs(connection, f"p.id, {_JOB}", parts)
    jobs = {part: dict(zip(("id", "account", "channel", "kind", "tags"), job, strict=True)) for part, *job in rows}
    pauses = standing_pauses(connection, {job["id"] for job in jobs.values()})
    found = ((part, next((pause for pause in pauses if pause.covers(job)), None)) for part, job in jobs.items())
    return {part: pause for part, pause in found if pause is not None}


def with_jobs(connection: Connection, columns: str, parts: Iterable[str]) -> list[tuple[Any, ...]]:
    """Columns of parts (`p`) and of the jobs they belong to (`j`)."""
    dialect = dialect_of(connection)
    source = dialect.chosen("worker_parts", alias="p", joins=f"{dialect.join('worker_jobs j')} on j.id = p.job_id")
    return fetch(connection, f"select {columns} from {source}", {"ids": ids_json(parts)})


def begin(connection: Connection, now_sql: str, scopes: Sequence[Mapping[str, Any]]) -> list[Pause]:
    """Writes the rows of pauses that begin now."""
    now = read_now(connection, now_sql)
    # Each has an instant of its own; of two that have the same one, the end of one wakes parts of the other, which are
    # then parked anew.
    rows = [{**scope, "began_at": now, "parked_until": FOREVER + now + n} for n, scope in enumerate(scopes, start=1)]
    insert_rows(connection, tables.pauses, rows)
    return [Pause(**{**row, "began_at": instant(now)}) for row in rows]


def end(connection: Connection, now_sql: str, ids: Collection[str]) -> int:
    """Ends these pauses; how many had not ended. Recovery wakes what is parked on them."""
    update = dialect_of(connection).update_chosen("worker_pauses", f"ended_at = {now_sql}")
    return execute(connection, f"{update} and ended_at is null", {"ids": ids_json(ids)}).rowcount


def parked_on_ended(connection: Connection) -> list[str]:
    """Some of the parts that are parked on pauses which have ended, the oldest of each first."""
    dialect = dialect_of(connection)
    # Pause by pause, through the index by time: nothing else is that far away.
    join = dialect.join("worker_parts p", "worker_parts_due_by_state")
    query = (
        f"select p.id from worker_pauses z{join} on p.state = 0 and p.not_before = z.parked_until"
        f" where z.ended_at is not null order by p.not_before, p.id limit {TOGETHER}"
    )
    return [row[0] for row in fetch(connection, query)]


def wake(connection: Connection, parts: Collection[str]) -> None:
    """Makes parts that are parked on a pause due as they were when they were enqueued."""
    due_at = "(select j.due_at from worker_jobs j where j.id = worker_parts.job_id)"
    sets = f"not_before = {due_at}, offered_until = null, reason = null"
    update = f"{dialect_of(connection).update_chosen('worker_parts', sets)} and state = 0 and not_before > {FOREVER}"
    run(connection, update, {"ids": ids_json(sorted(parts))})
