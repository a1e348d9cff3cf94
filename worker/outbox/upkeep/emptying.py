"""Takes text and recipients out of jobs that have ended; ids, receipts and counts stay."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.domain.content.erasure import Erasure, of_all
from worker.domain.job import part_id
from worker.domain.job_terms import hour_of, term
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows, update_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import execute, fetch, mappings, run
from worker.outbox.jobs.blobs import delete_unnamed, files_of, uploads_alone
from worker.outbox.jobs.rows import COUNTER_NAMES
from worker.outbox.upkeep.purge import BatchResult

_OF_JOB = ("message", "recipients", "tags", "dedupe_key", "order_key", "warnings")
_OF_PARTS = ((tables.attempts, ("reason", "errmsg")), (tables.receipts, ("warning", "extra")))
_DOCUMENTS = frozenset({"message", "recipients", "tags", "warnings", "spec", "extra", "asked"})
_IDS = ("recipient_key", "recipient", "member")


def _left(erasure: Erasure, column: str, value: Any) -> Any:
    """A column's value without those who are taken out."""
    if value is None:
        return None
    return erasure.document(value) if column in _DOCUMENTS else erasure.in_texts(value)


def lock_ended(connection: Connection, ids: Collection[str]) -> list[dict[str, Any]]:
    """Locks those of these jobs of which nothing is open or in doubt, and that still have their text."""
    dialect = dialect_of(connection)
    columns = f"id, account, {', '.join(_OF_JOB)}, {' + '.join(COUNTER_NAMES)} as parts"
    source = f"{dialect.chosen('worker_jobs')} and n_open = 0 and n_unknown = 0"
    return mappings(connection, f"select {columns} from {source}{dialect.in_order()}", {"ids": ids_json(ids)})


def followers_of(connection: Connection, ids: Collection[str]) -> list[str]:
    """The jobs that are about these."""
    source = dialect_of(connection).chosen("worker_jobs", "target_job_id", index="worker_jobs_target")
    return [row[0] for row in fetch(connection, f"select id from {source}", _ids(ids))]


def take_out(connection: Connection, job: Mapping[str, Any], erasure: Erasure, *, empties: bool) -> None:
    """Takes persons out of the rows of one locked job; `empties`: also its text and its files."""
    changed: dict[str, str | None] = {name: _left(erasure, name, job[name]) for name in _OF_JOB}
    if empties:
        changed |= {"message": "{}", "warnings": None}
        _forget_files(connection, job["id"])
    update_rows(connection, tables.jobs, ("id",), [{"id": job["id"], **changed}])
    parts = [part_id(job["id"], n) for n in range(job["parts"])]
    _forget_task_ids(connection, job["account"], parts, erasure)
    _take_out_of(connection, tables.parts, ("id",), ("spec", "reason"), parts, erasure)
    for table, columns in _OF_PARTS:
        _take_out_of(connection, table, ("part_id", "claim"), columns, parts, erasure)
    for table in (tables.failures, tables.confirmations):
        _replace(connection, table, parts, erasure)
    _delete(connection, "worker_bodies", parts)
    _take_out_of_codes(connection, parts, erasure)
    # The index holds hashes of what was taken out.
    insert_rows(connection, tables.unindexed, [{"job_id": job["id"], "note": uuid7().hex}], conflict="replace")


def _forget_files(connection: Connection, job: str) -> None:
    """Deletes the files that no other send names, and with them what their uploads say."""
    files = files_of(connection, [job])
    uploads = uploads_alone(connection, files, job)
    run(connection, dialect_of(connection).delete_chosen("worker_blob_uses", "job_id"), _ids([job, *uploads]))
    update_rows(connection, tables.jobs, ("id",), [{"id": one, "message": "{}"} for one in uploads])
    delete_unnamed(connection, files)


def _take_out_of(
    connection: Connection,
    table: Any,
    keys: Sequence[str],
    columns: Sequence[str],
    parts: Sequence[str],
    erasure: Erasure,
) -> None:
    source = dialect_of(connection).chosen(table.name, keys[0])
    query = f"select {', '.join((*keys, *columns))} from {source}"
    rows = mappings(connection, query, _ids(parts))
    changed = [
        {name: value if name in keys else _left(erasure, name, value) for name, value in row.items()} for row in rows
    ]
    update_rows(connection, table, keys, [new for old, new in zip(rows, changed, strict=True) if old != new])


def _replace(connection: Connection, table: Any, parts: Sequence[str], erasure: Erasure) -> None:
    """The same for rows whose keys name persons."""
    columns = ", ".join(column.name for column in table.columns)
    source = dialect_of(connection).chosen(table.name, "part_id")
    rows = mappings(connection, f"select {columns} from {source}", _ids(parts))
    changed = [{name: erasure.id(value) if name in _IDS else value for name, value in row.items()} for row in rows]
    if changed != rows:
        _delete(connection, table.name, parts)
        insert_rows(connection, table, changed)


def _forget_task_ids(connection: Connection, account: str, parts: Sequence[str], erasure: Erasure) -> None:
    """Deletes the caller's own task_ids that hold what is taken out: a press of such a card is then none of ours."""
    source = dialect_of(connection).chosen("worker_parts")
    rows = fetch(connection, f"select id, spec from {source} and spec like '%task_id%'", _ids(parts))
    for part, spec in rows:
        task_id = json.loads(spec).get("task_id")
        if task_id and erasure.in_texts(task_id) != task_id:
            given = {"account": account, "task_id": task_id, "part": part}
            query = "delete from worker_task_ids where account = :account and task_id = :task_id and part_id = :part"
            execute(connection, query, given)


def _take_out_of_codes(connection: Connection, parts: Sequence[str], erasure: Erasure) -> None:
    source = dialect_of(connection).chosen("worker_response_codes", "part_id", index="worker_response_codes_part")
    rows = mappings(connection, f"select id, person from {source} and person is not null", _ids(parts))
    changed = [{"id": row["id"], "person": erasure.id(row["person"])} for row in rows]
    update_rows(connection, tables.response_codes, ("id",), [one for one in changed if one not in rows])


def _delete(connection: Connection, table: str, parts: Sequence[str]) -> None:
    run(connection, dialect_of(connection).delete_chosen(table, "part_id"), _ids(parts))


def _ids(ids: Collection[str]) -> dict[str, str]:
    return {"ids": ids_json(ids)}


# -- by age -----------------------------------------------------------------------------------------------------------


JOBS = 50
"""Jobs in one transaction."""
HOURS = 1_000
"""Hours without a job that are passed over in one turn."""
_DONE = "emptied_to"
_HOUR = 3_600_000_000


def empty_old(database: Database, before: int, after: str) -> BatchResult:
    """Takes text and recipients out of jobs that ended before an instant; `deleted` counts jobs.

    It goes by the hours in which jobs ended, which the index knows, and notes how far it came: no job is looked at
    twice, unless it ended once more. One that is in doubt is left until a person has decided.
    """
    return database.run(lambda connection: _empty_batch(connection, before, after))


def _empty_batch(connection: Connection, before: int, after: str) -> BatchResult:
    hour, key = _hour_to_do(connection), lane_key(connection)
    query = "select job_id from worker_terms where term = :term and job_id > :after order by job_id limit :most"
    for _ in range(HOURS):
        if hour is None or hour + _HOUR > before:
            return BatchResult(0, None)
        given = {"term": term(key, "ended", hour_of(hour)), "after": after, "most": JOBS}
        ids = [row[0] for row in fetch(connection, query, given)]
        if ids:
            jobs = [job for job in lock_ended(connection, ids) if job["message"] != "{}"]
            for job in jobs:
                take_out(connection, job, of_all(job["recipients"], job["message"]), empties=True)
            return BatchResult(len(jobs), ids[-1])
        done = {"name": _DONE, "value": str(hour)}
        insert_rows(connection, tables.site, [done], conflict="replace")
        hour, after = hour + _HOUR, ""
    return BatchResult(0, "")


def _hour_to_do(connection: Connection) -> int | None:
    """The begin of the first hour that is not done, in microseconds; None: there are no jobs."""
    done = fetch(connection, "select value from worker_site where name = :name", {"name": _DONE})
    if done:
        return int(done[0][0]) + _HOUR
    # An id begins with the milliseconds of its making.
    oldest = fetch(connection, "select id from worker_jobs order by id limit 1")
    return int(oldest[0][0][:12], 16) * 1_000 // _HOUR * _HOUR if oldest else None


# -- what belongs to no job -------------------------------------------------------------------------------------------


PAGE = 500


def inbound_page(connection: Connection, after: str) -> list[dict[str, Any]]:
    """Callbacks, by their ids: who caused them, and what came."""
    query = "select id, person, payload from worker_inbound where id > :after order by id limit :limit"
    return mappings(connection, query, {"after": after, "limit": PAGE})


def empty_inbound(connection: Connection, ids: Collection[str]) -> None:
    """Takes the person and everything that came out of these callbacks."""
    update = dialect_of(connection).update_chosen("worker_inbound", "person = '', payload = '{}'")
    run(connection, update, _ids(ids))


def forget_chats(connection: Connection, person: str) -> int:
    """Deletes the single chats of a person, as callbacks reported them; how many."""
    rows = fetch(connection, "select account, chat_id, person from worker_chats where chat_type = 'single'")
    gone = [(account, chat) for account, chat, owner in rows if person in (chat.casefold(), (owner or "").casefold())]
    for account, chat in gone:
        given = {"account": account, "chat": chat}
        execute(connection, "delete from worker_chats where account = :account and chat_id = :chat", given)
    return len(gone)


def take_out_of_audit(connection: Connection, erasure: Erasure) -> int:
    """Takes a person out of what commands were asked, and out of reasons; how many rows changed."""
    count = 0
    for table, columns in ((tables.audit, ("asked", "why")), (tables.pauses, ("why",))):
        rows = mappings(connection, f"select id, {', '.join(columns)} from {table.name}")
        changed = [{"id": row["id"], **{name: _left(erasure, name, row[name]) for name in columns}} for row in rows]
        changed = [one for one in changed if one not in rows]
        update_rows(connection, table, ("id",), changed)
        count += len(changed)
    return count
