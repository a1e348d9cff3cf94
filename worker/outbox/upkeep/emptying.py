"""Takes text and recipients out of jobs that have ended; ids, receipts and counts stay."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.domain.content.erasure import ERASED, Erasure, of_all
from worker.domain.content.recipient import same_person
from worker.domain.job import job_of, part_id
from worker.domain.job_terms import hour_of, term
from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, ids_json, insert_rows, rows_by_id, update_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import execute, fetch, mappings
from worker.outbox.jobs.blobs import delete_unnamed, files_of, locked_blobs, uploads_of
from worker.outbox.jobs.order_queue import parts_in_orders
from worker.outbox.jobs.rows import COUNTER_NAMES
from worker.outbox.upkeep.purge import BatchResult

_OF_JOB = ("message", "recipients", "tags", "dedupe_key", "order_key", "warnings")
_OF_PARTS = ((tables.attempts, ("reason", "errmsg")), (tables.receipts, ("warning", "extra")))
_DOCUMENTS = frozenset({"message", "recipients", "tags", "warnings", "spec", "extra", "asked"})
_IDS = ("recipient_key", "recipient", "member")


def _left(erasure: Erasure, column: Any, value: Any) -> Any:
    """A column's value without those who are taken out, in the column's length."""
    if value is None:
        return None
    left = erasure.document(value) if column.name in _DOCUMENTS else erasure.in_texts(value)
    return left[: getattr(column.type, "length", None)]


def lock_ended(connection: Connection, ids: Collection[str]) -> list[dict[str, Any]]:
    """Locks those of these jobs of which nothing is open, in doubt, or first in an order.

    Without those that a job is about which still goes on: it would write what it reads of persons.
    """
    dialect = dialect_of(connection)
    columns = f"id, account, {', '.join(_OF_JOB)}, {' + '.join(COUNTER_NAMES)} as parts"
    source = f"{dialect.chosen('worker_jobs')} and n_open = 0 and n_unknown = 0"
    rows = mappings(connection, f"select {columns} from {source}{dialect.in_order()}", _ids(ids))
    followed = {row[0] for row in _about(connection, "target_job_id", ids, "and n_open + n_unknown > 0")}
    first = _first_in_order(connection, rows)
    return [row for row in rows if row["id"] not in followed | first]


def _about(connection: Connection, column: str, ids: Collection[str], only: str = "") -> list[tuple[Any, ...]]:
    """A column of the jobs that are about these."""
    index = "worker_jobs_target"
    return rows_by_id(connection, column, "worker_jobs", ids, "target_job_id", only=only, index=index)


def _first_in_order(connection: Connection, jobs: Sequence[Mapping[str, Any]]) -> set[str]:
    return {job_of(part) for part in parts_in_orders(connection, [part for job in jobs for part in _parts_of(job)])}


def _parts_of(job: Mapping[str, Any]) -> list[str]:
    return [part_id(job["id"], n) for n in range(job["parts"])]


def targets_of(connection: Connection, ids: Collection[str]) -> list[str]:
    """The jobs that these are about."""
    rows = rows_by_id(connection, "target_job_id", "worker_jobs", ids, only="and target_job_id is not null")
    return sorted({row[0] for row in rows})


def jobs_naming(connection: Connection, person: str) -> set[str]:
    """The jobs whose results name a person: refused, confirmed, pressed, also where none of the recipients is it.

    Reads these tables whole.
    """
    columns = (
        ("worker_failures", "recipient"),
        *(("worker_confirmations", name) for name in ("member", "recipient")),
        ("worker_response_codes", "person"),
    )
    who, parts = same_person(person), list[tuple[Any, ...]]()
    for table, column in columns:
        # Not by SQL's lower(): it differs from database to database, and none knows of widths.
        names = fetch(connection, f"select distinct {column} from {table} where {column} is not null")
        for name in (row[0] for row in names if same_person(row[0]) == who):
            parts += fetch(connection, f"select part_id from {table} where {column} = :name", {"name": name})
    return {job_of(row[0]) for row in parts}


def followers_of(connection: Connection, ids: Collection[str]) -> list[str]:
    """The jobs that are about these."""
    return [row[0] for row in _about(connection, "id", ids)]


def take_out(connection: Connection, job: Mapping[str, Any], erasure: Erasure, *, empties: bool) -> None:
    """Takes persons out of the rows of one locked job; `empties`: also its text and its files."""
    changed: dict[str, str | None] = {name: _left(erasure, tables.jobs.c[name], job[name]) for name in _OF_JOB}
    if changed["dedupe_key"] != job["dedupe_key"]:
        # Unique for an account: two keys may differ by what is taken out alone.
        changed["dedupe_key"] = f"{ERASED}{job['id']}"
    if empties:
        changed |= {"message": "{}", "warnings": None}
        _forget_files(connection, job["id"], erasure)
    update_rows(connection, tables.jobs, ("id",), [{"id": job["id"], **changed}])
    parts = _parts_of(job)
    _forget_task_ids(connection, job["account"], parts, erasure)
    _take_out_of(connection, tables.parts, ("id",), ("spec", "reason"), parts, erasure)
    for table, columns in _OF_PARTS:
        _take_out_of(connection, table, ("part_id", "claim"), columns, parts, erasure)
    for table in (tables.failures, tables.confirmations):
        _replace(connection, table, parts, erasure)
    for name in ("worker_bodies", "worker_waits"):
        delete_by_id(connection, name, parts, "part_id")
    _take_out_of_codes(connection, parts, erasure)
    # The index holds hashes of what was taken out.
    insert_rows(connection, tables.unindexed, [{"job_id": job["id"], "note": uuid7().hex}], conflict="replace")


def _forget_files(connection: Connection, job: str, erasure: Erasure) -> None:
    """Deletes the files that no other job names, and what the uploads of this one say of them."""
    files = files_of(connection, [job])
    uploads = uploads_of(connection, files)
    alone = [one["id"] for one in uploads if one["is_alone"]]
    delete_by_id(connection, "worker_blob_uses", [job, *alone], "job_id")
    says = [
        {"id": one["id"], "message": "{}" if one["is_alone"] else erasure.document(one["message"])} for one in uploads
    ]
    update_rows(connection, tables.jobs, ("id",), says)
    # What a replay has just locked stays.
    held = locked_blobs(connection, files) if files else set[str]()
    delete_unnamed(connection, [file for file in files if file not in held])


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
    _write_left(connection, table, keys, mappings(connection, query, _ids(parts)), erasure)


def _write_left(
    connection: Connection, table: Any, keys: Sequence[str], rows: Sequence[dict[str, Any]], erasure: Erasure
) -> None:
    changed = [
        {name: value if name in keys else _left(erasure, table.c[name], value) for name, value in row.items()}
        for row in rows
    ]
    update_rows(connection, table, keys, _different(rows, changed))


def _different(rows: Sequence[dict[str, Any]], changed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the changed rows that differ from the row in the same place."""
    return [new for old, new in zip(rows, changed, strict=True) if old != new]


def _replace(connection: Connection, table: Any, parts: Sequence[str], erasure: Erasure) -> None:
    """The same for rows whose keys name persons."""
    columns = ", ".join(column.name for column in table.columns)
    source = dialect_of(connection).chosen(table.name, "part_id")
    rows = mappings(connection, f"select {columns} from {source}", _ids(parts))
    changed = [{name: erasure.id(value) if name in _IDS else value for name, value in row.items()} for row in rows]
    if changed != rows:
        keys = [column.name for column in table.primary_key.columns]
        # Of rows that only case or width told apart one is left.
        merged = {tuple(row[name] for name in keys): row for row in changed}
        delete_by_id(connection, table.name, parts, "part_id")
        insert_rows(connection, table, list(merged.values()))


def _forget_task_ids(connection: Connection, account: str, parts: Sequence[str], erasure: Erasure) -> None:
    """Deletes the caller's own task_ids that hold what is taken out: a press of such a card is then none of ours."""
    for part, spec in rows_by_id(connection, "id, spec", "worker_parts", parts, only="and spec like '%task_id%'"):
        task_id = json.loads(spec).get("task_id")
        if task_id and erasure.in_texts(task_id) != task_id:
            given = {"account": account, "task_id": task_id, "part": part}
            query = "delete from worker_task_ids where account = :account and task_id = :task_id and part_id = :part"
            execute(connection, query, given)


def _take_out_of_codes(connection: Connection, parts: Sequence[str], erasure: Erasure) -> None:
    source = dialect_of(connection).chosen("worker_response_codes", "part_id", index="worker_response_codes_part")
    rows = mappings(connection, f"select id, person from {source} and person is not null", _ids(parts))
    changed = [{"id": row["id"], "person": erasure.id(row["person"])} for row in rows]
    update_rows(connection, tables.response_codes, ("id",), _different(rows, changed))


def _ids(ids: Collection[str]) -> dict[str, str]:
    return {"ids": ids_json(ids)}


# -- by age -----------------------------------------------------------------------------------------------------------


JOBS = 50
"""Jobs in one transaction."""
HOURS = 1_000
"""Hours without a job that are passed over in one turn."""
_DONE = "emptied_to"
_KEPT = "kept"
_HOUR = 3_600_000_000


def empty_old(database: Database, before: int, after: str) -> BatchResult:
    """Takes text and recipients out of jobs that ended before an instant; `deleted` counts jobs.

    It goes by the hours in which jobs ended, which the index knows, and notes how far it came: no job is looked at
    twice, unless it ended once more. One that is in doubt is left until a person has decided, and one that is first in
    its order until it is out of the others' way.
    """
    return database.run(lambda connection: _empty_batch(connection, before, after))


def _empty_batch(connection: Connection, before: int, after: str) -> BatchResult:
    of, _, last = after.partition(":")
    if of == _KEPT:
        return _empty_kept(connection, last)
    if _is_behind(connection, before):
        # An hour may be passed only when the index knows all that ended in it.
        return BatchResult(0, f"{_KEPT}:")
    hour, key = _hour_to_do(connection), lane_key(connection)
    for _ in range(HOURS):
        if hour is None or hour + _HOUR > before:
            return BatchResult(0, f"{_KEPT}:")
        # Another process may have gone on with another hour.
        ids = _found(connection, term(key, "ended", hour_of(hour)), last if of == str(hour) else "")
        if ids:
            # A job that was followed when its own hour came is emptied with its last follower.
            both = sorted({*ids, *_old(connection, targets_of(connection, ids), before)})
            emptied = _empty(connection, both)
            _keep(connection, set(both) - emptied)
            return BatchResult(len(emptied), f"{hour}:{ids[-1]}")
        done = {"name": _DONE, "value": str(hour)}
        insert_rows(connection, tables.site, [done], conflict="replace")
        hour, of = hour + _HOUR, ""
    return BatchResult(0, "")


def _found(connection: Connection, term: str, after: str) -> list[str]:
    """The next jobs that the index names under a term."""
    query = "select job_id from worker_terms where term = :term and job_id > :after order by job_id limit :most"
    return [row[0] for row in fetch(connection, query, {"term": term, "after": after, "most": JOBS})]


def _empty(connection: Connection, ids: Collection[str]) -> set[str]:
    """Takes text and recipients out of those of these jobs that are over, and returns these."""
    jobs = [job for job in lock_ended(connection, ids) if job["message"] != "{}"]
    for job in jobs:
        take_out(connection, job, of_all(job["recipients"], job["message"]), empties=True)
    return {job["id"] for job in jobs}


def _keep(connection: Connection, ids: Collection[str]) -> None:
    """Notes in the index which of these jobs stay as they are because they are first in an order."""
    columns = f"id, {' + '.join(COUNTER_NAMES)} as parts"
    rows = mappings(connection, f"select {columns} from {dialect_of(connection).chosen('worker_jobs')}", _ids(ids))
    kept = _kept_term(connection)
    terms = [{"term": kept, "job_id": job} for job in sorted(_first_in_order(connection, rows))]
    insert_rows(connection, tables.terms, terms, conflict="ignore")


def _empty_kept(connection: Connection, after: str) -> BatchResult:
    """Empties jobs that were first in an order when their hour came; the index forgets its note of an emptied one."""
    ids = _found(connection, _kept_term(connection), after)
    emptied = _empty(connection, ids)
    return BatchResult(len(emptied), f"{_KEPT}:{ids[-1]}" if len(ids) == JOBS else None)


def _kept_term(connection: Connection) -> str:
    return term(lane_key(connection), _KEPT, "")


def _is_behind(connection: Connection, before: int) -> bool:
    """Whether a job that ended before an instant still waits to be indexed."""
    joined = dialect_of(connection).join("worker_jobs j")
    query = f"select 1 from worker_unindexed u{joined} on j.id = u.job_id where j.finished_at < :before limit 1"
    return bool(fetch(connection, query, {"before": before}))


def _old(connection: Connection, ids: Collection[str], before: int) -> list[str]:
    old = "and finished_at < :before"
    return [row[0] for row in rows_by_id(connection, "id", "worker_jobs", ids, only=old, before=before)]


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


def empty_callbacks(database: Database, before: int, after: str) -> BatchResult:
    """Takes person and content out of callbacks that came before an instant; their rows still recognise repeats."""
    query = (
        "select i.id from worker_inbound i left join worker_events e on e.id = i.stored_by"
        " where i.received_at < :before and i.payload <> '{}' and (e.id is null or e.ended_at is not null)"
        " order by i.received_at limit :limit"
    )

    def batch(connection: Connection) -> BatchResult:
        ids = [row[0] for row in fetch(connection, query, {"before": before, "limit": PAGE})]
        if ids:
            empty_inbound(connection, ids)
        return BatchResult(0, "" if len(ids) == PAGE else None)

    return database.run(batch)


def empty_inbound(connection: Connection, ids: Collection[str]) -> int:
    """Takes the person and everything that came out of these callbacks; how many: not those a hook has yet to hear."""
    update = dialect_of(connection).update_chosen("worker_inbound", "person = '', payload = '{}'")
    waits = "select 1 from worker_events e where e.id = worker_inbound.stored_by and e.ended_at is null"
    return execute(connection, f"{update} and not exists ({waits})", _ids(ids)).rowcount


def forget_chats(connection: Connection, person: str) -> int:
    """Deletes the single chats of a person (see `same_person`), as callbacks reported them; how many."""
    rows = fetch(connection, "select account, chat_id, person from worker_chats where chat_type = 'single'")
    gone = [(account, chat) for account, chat, owner in rows if person in map(same_person, (chat, owner or ""))]
    for account, chat in gone:
        given = {"account": account, "chat": chat}
        execute(connection, "delete from worker_chats where account = :account and chat_id = :chat", given)
    return len(gone)


def take_out_of_audit(database: Database, erasure: Erasure) -> None:
    """Takes a person out of what commands were asked, and out of reasons; each page is a transaction of its own."""
    for table, columns in ((tables.audit, "asked, why"), (tables.pauses, "why")):
        after: str | None = ""
        while after is not None:
            after = database.run(partial(_take_out_of_page, table, columns, after, erasure))


def _take_out_of_page(table: Any, columns: str, after: str, erasure: Erasure, connection: Connection) -> str | None:
    query = f"select id, {columns} from {table.name} where id > :after order by id limit {PAGE}"
    rows = mappings(connection, query, {"after": after})
    _write_left(connection, table, ("id",), rows, erasure)
    return rows[-1]["id"] if len(rows) == PAGE else None
