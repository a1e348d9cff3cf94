"""Pauses: rows that say of which jobs no call begins, and the parts that are parked on them.

The group commit asks for every mark whether its job is paused, so no call begins once a pause is committed. A part that
is refused is parked on the pause and costs nothing until that ends. Lanes that are paused whole are not even offered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection

from worker.domain.pause import Pause
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.clock import instant
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch, run

STANDS = "exists (select 1 from worker_pauses where ended_at is null)"
"""The expression that is true while anything is paused."""
KEPT_US = 3_600 * 1_000_000
"""How long a pause that has ended is kept, in microseconds: a mark that still saw it may park a part later."""
TOGETHER = 1_000
"""Parts that are woken in one transaction."""

_COLUMNS = "id, began_at, person, why, account, channel, kind, tag, job_id"
_JOB = "j.id, j.account, j.channel, j.kind, j.tags"


def standing_pauses(connection: Connection, jobs: Collection[str] | None = None) -> list[Pause]:
    """The pauses that have not ended, the oldest first; with `jobs` only those of these jobs, and those of many."""
    # Two selects: those of single jobs may be many, and are found by the index.
    general = f"select {_COLUMNS} from worker_pauses where ended_at is null and job_id is null"
    rows = fetch(connection, general)
    if jobs is None:
        rows += fetch(connection, f"select {_COLUMNS} from worker_pauses where ended_at is null and job_id is not null")
    elif jobs:
        source = dialect_of(connection).chosen("worker_pauses", "job_id", index="worker_pauses_job")
        rows += fetch(connection, f"select {_COLUMNS} from {source} and ended_at is null", {"ids": ids_json(jobs)})
    # The ids sort by time.
    return sorted((Pause(row[0], instant(row[1]), *row[2:]) for row in rows), key=lambda pause: pause.id)


def paused_among(connection: Connection, parts: Iterable[str], *, whole_lanes: bool = False) -> dict[str, str]:
    """The parts among these whose job is paused, and the id of a pause of each.

    `whole_lanes`: only by pauses that hold for all parts of a part's lane.
    """
    dialect = dialect_of(connection)
    source = dialect.chosen("worker_parts", alias="p", joins=f"{dialect.join('worker_jobs j')} on j.id = p.job_id")
    rows = fetch(connection, f"select p.id, {_JOB} from {source}", {"ids": ids_json(parts)})
    jobs = {part: dict(zip(("id", "account", "channel", "kind", "tags"), job, strict=True)) for part, *job in rows}
    pauses = standing_pauses(connection, () if whole_lanes else {job["id"] for job in jobs.values()})
    pauses = [pause for pause in pauses if pause.holds_lanes() or not whole_lanes]
    found = ((part, next((pause.id for pause in pauses if pause.covers(job)), None)) for part, job in jobs.items())
    return {part: pause for part, pause in found if pause is not None}


def begin(connection: Connection, now_sql: str, pauses: Iterable[Mapping[str, str | None]]) -> None:
    """Writes the rows of pauses that begin now."""
    now = fetch(connection, f"select {now_sql}")[0][0]
    insert_rows(connection, tables.pauses, [{**pause, "began_at": now} for pause in pauses])


def end(connection: Connection, now_sql: str, ids: Collection[str]) -> int:
    """Ends these pauses; how many had not ended. Recovery wakes what is parked on them."""
    update = dialect_of(connection).update_chosen("worker_pauses", f"ended_at = {now_sql}")
    return execute(connection, f"{update} and ended_at is null", {"ids": ids_json(ids)}).rowcount


def ended(connection: Connection) -> list[str]:
    """The pauses that have ended, and are kept for parts that may still be parked on them."""
    return [row[0] for row in fetch(connection, "select id from worker_pauses where ended_at is not null order by id")]


def wake(connection: Connection, now_sql: str, pause: str) -> int:
    """Makes some of the parts that are parked on a pause due; how many."""
    dialect = dialect_of(connection)
    parked = dialect.chosen("worker_parts", "waits_on", index="worker_parts_waiting")
    query = f"select worker_parts.id from {parked} and state = 0 limit {TOGETHER}"
    ids = [row[0] for row in fetch(connection, query, {"ids": ids_json([pause])})]
    if ids:
        sets = f"waits_on = null, not_before = {now_sql}, offered_until = null, reason = null"
        update = f"{dialect.update_chosen('worker_parts', sets)} and waits_on = :pause and state = 0"
        run(connection, update, {"ids": ids_json(sorted(ids)), "pause": pause})
    return len(ids)


def forget(connection: Connection, now_sql: str) -> None:
    """Deletes pauses that ended long ago."""
    run(connection, f"delete from worker_pauses where ended_at < {now_sql} - {KEPT_US}")
