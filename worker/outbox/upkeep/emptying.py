"""Erases texts and persons from jobs that have ended, and from what belongs to no job.

Ids, receipts and counts stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.domain.content.erasure import ERASED, Erasure, of_all
from worker.domain.content.recipient import same_person
from worker.domain.job import job_of, part_id
from worker.domain.job_terms import hour_of, term
from worker.domain.stored import object_or_empty
from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, ids_json, insert_rows, rows_by_id, update_rows
from worker.outbox.engine.clock import SKEW_US
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import execute, fetch, mappings
from worker.outbox.jobs.blobs import delete_unnamed, files_of, locked_blobs, uploads_of
from worker.outbox.jobs.order_queue import parts_in_orders
from worker.outbox.jobs.rows import COUNTER_NAMES
from worker.outbox.upkeep.purge import BatchResult

_JOB_COLUMNS = ("message", "recipients", "tags", "dedupe_key", "order_key", "warnings")
_PART_TABLES = ((tables.attempts, ("reason", "errmsg")), (tables.receipts, ("warning", "extra")))
_JSON_COLUMNS = frozenset({"message", "recipients", "tags", "warnings", "spec", "extra", "asked"})
_PERSON_COLUMNS = ("recipient_key", "recipient", "member")


def _erased(erasure: Erasure, column: Any, value: Any) -> Any:
    """Returns a column's value without the erased persons, cut to the column's length."""
    if value is None:
        return None
    erased = erasure.document(value) if column.name in _JSON_COLUMNS else erasure.in_texts(value)
    return erased[: getattr(column.type, "length", None)]


def lock_erasable(connection: Connection, ids: Collection[str]) -> list[dict[str, Any]]:
    """Locks and returns those of these jobs that may be erased: nothing of them is open, in doubt or first in an order.

    Leaves out a job with an open follow-up, which may copy persons from it into its own rows.
    """
    dialect = dialect_of(connection)
    columns = f"id, account, {', '.join(_JOB_COLUMNS)}, {' + '.join(COUNTER_NAMES)} as parts"
    source = f"{dialect.by_ids('worker_jobs')} and n_open = 0 and n_unknown = 0"
    rows = mappings(connection, f"select {columns} from {source}{dialect.lock_in_order()}", _ids(ids))
    followed = {row[0] for row in _followers(connection, "target_job_id", ids, "and n_open + n_unknown > 0")}
    first = _first_in_order(connection, rows)
    return [row for row in rows if row["id"] not in followed | first]


def _followers(connection: Connection, column: str, ids: Collection[str], only: str = "") -> list[tuple[Any, ...]]:
    """Returns one column of the follow-ups of these jobs."""
    index = "worker_jobs_target"
    return rows_by_id(connection, column, "worker_jobs", ids, "target_job_id", only=only, index=index)


def _first_in_order(connection: Connection, jobs: Sequence[Mapping[str, Any]]) -> set[str]:
    """Returns those of the jobs that keep later jobs of their order waiting."""
    return {job_of(part) for part in parts_in_orders(connection, [part for job in jobs for part in _parts_of(job)])}


def _parts_of(job: Mapping[str, Any]) -> list[str]:
    return [part_id(job["id"], n) for n in range(job["parts"])]


def targets_of(connection: Connection, ids: Collection[str]) -> list[str]:
    """Returns the jobs that these follow-ups are about."""
    rows = rows_by_id(connection, "target_job_id", "worker_jobs", ids, only="and target_job_id is not null")
    return sorted({row[0] for row in rows})


def jobs_naming(connection: Connection, person: str) -> set[str]:
    """Returns the jobs whose results name a person: as refused, confirmed, or having pressed a button.

    The person need not be one of the job's recipients. Reads the tables of results from end to end.
    """
    columns = (
        ("worker_failures", "recipient"),
        *(("worker_confirmations", name) for name in ("member", "recipient")),
        ("worker_response_codes", "person"),
    )
    normalized, parts = same_person(person), list[tuple[Any, ...]]()
    for table, column in columns:
        # Not by SQL's lower(): it differs between databases, and none of them folds the width of characters.
        names = fetch(connection, f"select distinct {column} from {table} where {column} is not null")
        for name in (row[0] for row in names if same_person(row[0]) == normalized):
            parts += fetch(connection, f"select part_id from {table} where {column} = :name", {"name": name})
    return {job_of(row[0]) for row in parts}


def followers_of(connection: Connection, ids: Collection[str]) -> list[str]:
    """Returns the follow-ups of these jobs."""
    return [row[0] for row in _followers(connection, "id", ids)]


def erase_from_job(connection: Connection, job: Mapping[str, Any], erasure: Erasure, *, with_text: bool) -> None:
    """Erases persons from all rows of a job that `lock_erasable` returned; `with_text`: also its message and files."""
    changed: dict[str, str | None] = {name: _erased(erasure, tables.jobs.c[name], job[name]) for name in _JOB_COLUMNS}
    if changed["dedupe_key"] != job["dedupe_key"]:
        # The key is unique in its account, but two keys may be equal after the erasure.
        changed["dedupe_key"] = f"{ERASED}{job['id']}"
    if with_text:
        changed |= {"message": "{}", "warnings": None}
        _delete_files(connection, job["id"], erasure)
    update_rows(connection, tables.jobs, ("id",), [{"id": job["id"], **changed}])
    parts = _parts_of(job)
    _delete_task_ids(connection, job["account"], parts, erasure)
    _erase_columns(connection, tables.parts, ("id",), ("spec", "reason"), parts, erasure)
    for table, columns in _PART_TABLES:
        _erase_columns(connection, table, ("part_id", "claim"), columns, parts, erasure)
    for table in (tables.failures, tables.confirmations):
        _erase_keyed_rows(connection, table, parts, erasure)
    for name in ("worker_bodies", "worker_waits"):
        delete_by_id(connection, name, parts, "part_id")
    _erase_from_codes(connection, parts, erasure)
    # The index holds hashes of what was erased, so the job is indexed again.
    insert_rows(connection, tables.unindexed, [{"job_id": job["id"], "note": uuid7().hex}], conflict="replace")


def _delete_files(connection: Connection, job: str, erasure: Erasure) -> None:
    """Deletes the job's files that no other job uses, and erases the messages of their uploads.

    An upload whose file other jobs still use keeps its message, without the erased persons.
    """
    files = files_of(connection, [job])
    uploads = uploads_of(connection, files)
    unshared = [upload["id"] for upload in uploads if upload["is_alone"]]
    delete_by_id(connection, "worker_blob_uses", [job, *unshared], "job_id")
    messages = [
        {"id": upload["id"], "message": "{}" if upload["is_alone"] else erasure.document(upload["message"])}
        for upload in uploads
    ]
    update_rows(connection, tables.jobs, ("id",), messages)
    # A file that an uncommitted producer has locked stays, and goes with this job if the producer rolls back.
    locked = locked_blobs(connection, files) if files else set[str]()
    insert_rows(connection, tables.blob_uses, [{"job_id": job, "blob_id": file} for file in sorted(locked)])
    delete_unnamed(connection, [file for file in files if file not in locked])


def _erase_columns(
    connection: Connection,
    table: Any,
    keys: Sequence[str],
    columns: Sequence[str],
    parts: Sequence[str],
    erasure: Erasure,
) -> None:
    """Erases persons from these columns, in the table's rows of these parts."""
    source = dialect_of(connection).by_ids(table.name, keys[0])
    query = f"select {', '.join((*keys, *columns))} from {source}"
    _update_erased(connection, table, keys, mappings(connection, query, _ids(parts)), erasure)


def _update_erased(
    connection: Connection, table: Any, keys: Sequence[str], rows: Sequence[dict[str, Any]], erasure: Erasure
) -> None:
    """Erases persons from all columns of these rows but the keys, and updates the rows that change by it."""
    erased = [
        {name: value if name in keys else _erased(erasure, table.c[name], value) for name, value in row.items()}
        for row in rows
    ]
    update_rows(connection, table, keys, _changed(rows, erased))


def _changed(rows: Sequence[dict[str, Any]], erased: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the erased rows that differ from the original row at the same index."""
    return [new for old, new in zip(rows, erased, strict=True) if old != new]


def _erase_keyed_rows(connection: Connection, table: Any, parts: Sequence[str], erasure: Erasure) -> None:
    """Erases persons from the table's rows of these parts. For tables whose primary key contains a person."""
    columns = ", ".join(column.name for column in table.columns)
    source = dialect_of(connection).by_ids(table.name, "part_id")
    rows = mappings(connection, f"select {columns} from {source}", _ids(parts))
    erased = [
        {name: erasure.id(value) if name in _PERSON_COLUMNS else value for name, value in row.items()} for row in rows
    ]
    if erased != rows:
        keys = [column.name for column in table.primary_key.columns]
        # Rows whose persons differed only in case or width have the same key now: the last of them stays.
        merged = {tuple(row[name] for name in keys): row for row in erased}
        delete_by_id(connection, table.name, parts, "part_id")
        insert_rows(connection, table, list(merged.values()))


def _delete_task_ids(connection: Connection, account: str, parts: Sequence[str], erasure: Erasure) -> None:
    """Deletes the producer's own task_ids that contain what is erased. Presses of these cards then match no job."""
    for part, spec in rows_by_id(connection, "id, spec", "worker_parts", parts, only="and spec like '%task_id%'"):
        task_id = object_or_empty(spec).get("task_id")
        if isinstance(task_id, str) and erasure.in_texts(task_id) != task_id:
            params = {"account": account, "task_id": task_id, "part": part}
            query = "delete from worker_task_ids where account = :account and task_id = :task_id and part_id = :part"
            execute(connection, query, params)


def _erase_from_codes(connection: Connection, parts: Sequence[str], erasure: Erasure) -> None:
    source = dialect_of(connection).by_ids("worker_response_codes", "part_id", index="worker_response_codes_part")
    rows = mappings(connection, f"select id, person from {source} and person is not null", _ids(parts))
    erased = [{"id": row["id"], "person": erasure.id(row["person"])} for row in rows]
    update_rows(connection, tables.response_codes, ("id",), _changed(rows, erased))


def _ids(ids: Collection[str]) -> dict[str, str]:
    return {"ids": ids_json(ids)}


# -- by age -----------------------------------------------------------------------------------------------------------


JOBS = 50
"""Jobs in one transaction."""
HOURS = 1_000
"""The largest number of hours without a job that one batch skips."""
_DONE_UNTIL = "emptied_to"
"""The row of `worker_site` with the last hour that is done."""
_RETAINED = "kept"
"""The name of the term under which the index lists jobs that were first in an order when their hour came."""
_HOUR = 3_600_000_000


def empty_old_jobs(database: Database, before: int, after: str) -> BatchResult:
    """Erases texts and recipients from jobs that ended before an instant; `deleted` counts jobs.

    Goes through the hours in which jobs ended, which the index lists, and stores the last hour that is done. So no job
    is read twice, unless it ends again. A job in doubt is left until a person decides. A job that is first in its order
    is left until it no longer keeps other jobs waiting.
    """
    return database.run(lambda connection: _empty_batch(connection, before, after))


def _empty_batch(connection: Connection, before: int, after: str) -> BatchResult:
    """Empties one batch: first jobs of all hours, then the retained ones.

    `after` is "" at first, then "HOUR:LAST_JOB" or "kept:LAST_JOB".
    """
    step, _, last_job = after.partition(":")
    if step == _RETAINED:
        return _empty_retained(connection, last_job)
    if _is_index_behind(connection, before):
        # An hour is done only when all jobs that ended in it are indexed.
        return BatchResult(0, f"{_RETAINED}:")
    hour, key = _next_hour(connection), lane_key(connection)
    for _ in range(HOURS):
        if hour is None or hour + _HOUR > before:
            return BatchResult(0, f"{_RETAINED}:")
        # Another process may have finished the hour of `after`.
        ids = _jobs_with_term(connection, term(key, "ended", hour_of(hour)), last_job if step == str(hour) else "")
        if ids:
            # A job that had an open follow-up in its own hour is emptied together with its last follow-up. A job in
            # doubt that was decided lately is still listed under the hour before, until it is indexed again.
            with_targets = sorted(_ended_before(connection, {*ids, *targets_of(connection, ids)}, before))
            emptied = _empty(connection, with_targets)
            _retain(connection, set(with_targets) - emptied)
            return BatchResult(len(emptied), f"{hour}:{ids[-1]}")
        row = {"name": _DONE_UNTIL, "value": str(hour)}
        insert_rows(connection, tables.site, [row], conflict="replace")
        hour, step = hour + _HOUR, ""
    return BatchResult(0, "")


def _jobs_with_term(connection: Connection, term: str, after: str) -> list[str]:
    """Returns the next jobs that the index lists under a term."""
    query = "select job_id from worker_terms where term = :term and job_id > :after order by job_id limit :limit"
    return [row[0] for row in fetch(connection, query, {"term": term, "after": after, "limit": JOBS})]


def _empty(connection: Connection, ids: Collection[str]) -> set[str]:
    """Erases texts and recipients from those of these jobs that may be erased. Returns the jobs that it changed."""
    jobs = [job for job in lock_erasable(connection, ids) if job["message"] != "{}"]
    for job in jobs:
        erase_from_job(connection, job, of_all(job["recipients"], job["message"]), with_text=True)
    return {job["id"] for job in jobs}


def _retain(connection: Connection, ids: Collection[str]) -> None:
    """Lists in the index those of these jobs that were not emptied because they are first in an order."""
    columns = f"id, {' + '.join(COUNTER_NAMES)} as parts"
    rows = mappings(connection, f"select {columns} from {dialect_of(connection).by_ids('worker_jobs')}", _ids(ids))
    retained = _retained_term(connection)
    terms = [{"term": retained, "job_id": job} for job in sorted(_first_in_order(connection, rows))]
    insert_rows(connection, tables.terms, terms, conflict="ignore")


def _empty_retained(connection: Connection, after: str) -> BatchResult:
    """Empties jobs that were first in an order when their hour came. Indexing an emptied job deletes the term."""
    ids = _jobs_with_term(connection, _retained_term(connection), after)
    emptied = _empty(connection, ids)
    return BatchResult(len(emptied), f"{_RETAINED}:{ids[-1]}" if len(ids) == JOBS else None)


def _retained_term(connection: Connection) -> str:
    return term(lane_key(connection), _RETAINED, "")


def _is_index_behind(connection: Connection, before: int) -> bool:
    """Returns whether a job that ended before an instant still waits to be indexed."""
    joined = dialect_of(connection).join("worker_jobs j")
    query = f"select 1 from worker_unindexed u{joined} on j.id = u.job_id where j.finished_at < :before limit 1"
    return bool(fetch(connection, query, {"before": before}))


def _ended_before(connection: Connection, ids: Collection[str], before: int) -> list[str]:
    condition = "and finished_at < :before"
    return [row[0] for row in rows_by_id(connection, "id", "worker_jobs", ids, only=condition, before=before)]


def _next_hour(connection: Connection) -> int | None:
    """Returns the start of the first hour that is not done, in microseconds, or None if there are no jobs."""
    rows = fetch(connection, "select value from worker_site where name = :name", {"name": _DONE_UNTIL})
    if rows:
        return int(rows[0][0]) + _HOUR
    oldest = fetch(connection, "select id from worker_jobs order by id limit 1")
    # An id begins with the milliseconds of its producer's clock. If that is ahead, the job may end before this time.
    return (int(oldest[0][0][:12], 16) * 1_000 - SKEW_US) // _HOUR * _HOUR if oldest else None


# -- what belongs to no job -------------------------------------------------------------------------------------------


PAGE = 500


def inbound_page(connection: Connection, after: str) -> list[dict[str, Any]]:
    """Returns the next callbacks in the order of their ids, each with its person and its payload."""
    query = "select id, person, payload from worker_inbound where id > :after order by id limit :limit"
    return mappings(connection, query, {"after": after, "limit": PAGE})


def empty_callbacks(database: Database, before: int, after: str) -> BatchResult:
    """Erases person and payload of callbacks received before an instant. Their rows stay, to recognise repeats."""
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
    """Erases person and payload of these callbacks, except those that a hook has yet to run for. Returns how many."""
    update = dialect_of(connection).update_by_ids("worker_inbound", "person = '', payload = '{}'")
    waits = "select 1 from worker_events e where e.id = worker_inbound.stored_by and e.ended_at is null"
    return execute(connection, f"{update} and not exists ({waits})", _ids(ids)).rowcount


def delete_single_chats(connection: Connection, person: str) -> int:
    """Deletes a person's single chats, which callbacks reported. Returns how many.

    `person` is an id as `same_person` returns it.
    """
    rows = fetch(connection, "select account, chat_id, person from worker_chats where chat_type = 'single'")
    chats = [(account, chat) for account, chat, owner in rows if person in map(same_person, (chat, owner or ""))]
    for account, chat in chats:
        params = {"account": account, "chat": chat}
        execute(connection, "delete from worker_chats where account = :account and chat_id = :chat", params)
    return len(chats)


def erase_from_audit(database: Database, erasure: Erasure) -> None:
    """Erases persons from the arguments of commands in the audit, and from reasons there and of pauses.

    Each page is a transaction of its own.
    """
    for table, columns in ((tables.audit, "asked, why"), (tables.pauses, "why")):
        after: str | None = ""
        while after is not None:
            after = database.run(partial(_erase_page, table, columns, after, erasure))


def _erase_page(table: Any, columns: str, after: str, erasure: Erasure, connection: Connection) -> str | None:
    """Erases persons from the rows after an id. Returns the last id of the page, or None if it was the last page."""
    query = f"select id, {columns} from {table.name} where id > :after order by id limit {PAGE}"
    rows = mappings(connection, query, {"after": after})
    _update_erased(connection, table, ("id",), rows, erasure)
    return rows[-1]["id"] if len(rows) == PAGE else None
