"""Inserts jobs and their parts. Reads a job's row, its first part's spec, and the owner of a dedupe key.

Producers share no row. So no producer waits for another, except for one with the same dedupe key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NotRequired, TypedDict

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import TextClause

from worker.domain.job import part_id
from worker.domain.stored import object_or_empty
from worker.outbox.engine.bulk import documents, ids_json, rows_json
from worker.outbox.engine.clock import now_in
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.error_text import is_taken_key
from worker.outbox.engine.sql import execute, mappings

ROWS_A_STATEMENT = 1_000
BYTES_A_STATEMENT = 4 * 1024 * 1024


class PartRow(TypedDict):
    """A part to insert. What it shares with its job is copied from the job's row."""

    id: str
    job_id: str
    n: int
    lane: str
    spec: NotRequired[str]
    """What the part sends, as JSON. Left out if that is all of the job's recipients."""
    order_id: NotRequired[str]
    """The part's order, if it has one."""


JobRow = dict[str, Any]
"""A job to insert, by the columns of its table. A value that is None is left out.

Beside them: `due_in` and `expires_in`, instants that count from the database's now; and `lane` and `order_id` of the
only part, for a job that is one part with all its recipients, as most are. It has no PartRow.
"""


def only_part(job: JobRow) -> PartRow:
    """Returns the only part of a job whose JobRow has a lane."""
    part: PartRow = {"id": part_id(job["id"], 0), "job_id": job["id"], "n": 0, "lane": job["lane"]}
    if "order_id" in job:
        part["order_id"] = job["order_id"]
    return part


_NOT_STORED = ("due_in", "expires_in", "lane", "order_id")
_PART = tuple(PartRow.__annotations__)
Shape = tuple[tuple[str, bool], ...]
"""The columns of some rows, with True for columns of numbers."""
_ON_CONFLICT = " on conflict (account, dedupe_key) where dedupe_key is not null do nothing"


Owners = Mapping[tuple[str, str], Mapping[str, Any]]
"""(account, dedupe key) -> the job that has the key."""


def owners_before_insert(connection: Connection, keys: Sequence[tuple[str, str]]) -> Owners:
    """Returns, only on MariaDB, the jobs that have these keys already, as far as this transaction sees."""
    # There an insert that meets a taken key locks its row until the caller's commit, and with it the gap before it, in
    # which other producers insert. So a key that is known to be taken is not tried.
    return visible_owners(connection, keys) if keys and dialect_of(connection).locks_gaps else {}


def insert_jobs(
    connection: Connection, jobs: Sequence[JobRow], parts: Sequence[PartRow], existing_owners: Owners
) -> dict[str, int]:
    """Inserts jobs and their parts. Leaves out jobs whose dedupe key another job has, and their parts.

    Returns job -> due_at of inserted jobs. On some databases that is empty.
    """
    dialect, now = dialect_of(connection), now_in(connection)
    # One statement for jobs and parts, for one job as for a thousand.
    if dialect.combines_writes:
        return _insert_together(connection, now, jobs, parts)
    parts = [*parts, *(only_part(job) for job in jobs if "lane" in job)]
    if dialect.has_round_trips:
        _insert_one_after_the_other(
            connection, now, [job for job in jobs if _key_of(job) not in existing_owners], parts
        )
    else:
        # Prepared statements row by row are faster on SQLite than opening a document.
        shape = _shape(jobs)
        connection.execute(_one_job(now, shape), [{**dict.fromkeys(dict(shape)), **job} for job in jobs])
        connection.execute(_ONE_PART, [{**_NO_PART, **part} for part in parts])
    return {}


_NO_PART: dict[str, Any] = dict.fromkeys(_PART)


def _shape(jobs: Sequence[JobRow]) -> Shape:
    together: dict[str, Any] = {}
    for job in jobs:
        together.update(job)
    return tuple((name, isinstance(together[name], int)) for name in sorted(together))


def insert_batches(rows: Iterable[tuple[JobRow, Sequence[PartRow]]]) -> Iterator[tuple[list[JobRow], list[PartRow]]]:
    """Yields jobs with their parts in batches of limited rows and bytes, one for each statement, to save memory."""
    jobs: list[JobRow] = []
    parts: list[PartRow] = []
    size = 0
    for job, job_parts in rows:
        jobs.append(job)
        parts += job_parts
        size += len(job["message"]) + 2 * len(job["recipients"])
        if len(jobs) + len(parts) >= ROWS_A_STATEMENT or size >= BYTES_A_STATEMENT:
            yield jobs, parts
            jobs, parts, size = [], [], 0
    if jobs:
        yield jobs, parts


def owners(connection: Connection, keys: Sequence[tuple[str, str]]) -> Owners:
    """Returns the jobs with these (account, dedupe key), with id, state and content hash. Read it after the insert."""
    # Without a lock, because workers that record results would wait for the caller's commit.
    visible = visible_owners(connection, keys)
    unseen = [key for key in keys if key not in visible]
    # On MariaDB under REPEATABLE READ only a locking read sees a holder that was committed after the caller's snapshot.
    dialect = dialect_of(connection)
    if unseen and dialect.has_unseen_conflicts:
        return {**visible, **visible_owners(connection, unseen, dialect.shared_lock)}
    return visible


def visible_owners(connection: Connection, keys: Sequence[tuple[str, str]], lock: str = "") -> Owners:
    """Returns the jobs with these keys that this transaction sees; with a lock, also jobs committed meanwhile."""
    query = _owners(dialect_of(connection), lock)
    rows = mappings(connection, query, {"keys": rows_json({"a": a, "k": k} for a, k in keys)})
    return {(row["account"], row["dedupe_key"]): row for row in rows}


def delete_jobs(connection: Connection, ids: Sequence[str], parts: Sequence[str]) -> None:
    """Deletes jobs that this call has inserted. The caller's transaction is open, so no other one has seen them."""
    dialect = dialect_of(connection)
    for table, row_ids in (("worker_parts", parts), ("worker_jobs", ids)):
        # Under REPEATABLE READ a delete of a row that does not exist locks the gap that all inserts need. And a
        # producer's role may not delete, which it need not where nothing was inserted.
        if row_ids := _present(connection, table, row_ids):
            execute(connection, dialect.delete_by_ids(table), {"ids": ids_json(row_ids)})


def _present(connection: Connection, table: str, ids: Iterable[str]) -> list[str]:
    """Returns those of the ids whose rows the transaction can see. Takes no lock."""
    query = f"select id from {dialect_of(connection).by_ids(table)}"
    return [row[0] for row in execute(connection, query, {"ids": ids_json(ids)})]


def newest_replays(connection: Connection, originals: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Returns original -> its newest replay, with id and state, for jobs that have one."""
    source = dialect_of(connection).by_ids("worker_jobs", "replay_of", index="worker_jobs_replay")
    rows = mappings(connection, f"select replay_of, id, state, created_at from {source}", {"ids": ids_json(originals)})
    return {row["replay_of"]: row for row in sorted(rows, key=lambda row: (row["created_at"], row["id"]))}


def is_in_future(connection: Connection, at: int) -> bool:
    """Returns whether an instant is in the future by the database's clock."""
    query = f"select case when :at > {now_in(connection)} then 1 else 0 end"
    return bool(execute(connection, query, {"at": at}).scalar())


def first_spec(connection: Connection, job_id: str) -> Mapping[str, Any]:
    """Returns the spec of a job's first part: what it sends, and what was resolved for it."""
    document = execute(connection, "select spec from worker_parts where id = :id", {"id": part_id(job_id, 0)}).scalar()
    return object_or_empty(document)


# The source is the job's row, so that a job that was left out for its dedupe key gets no parts.
_PARTS_OF = (
    "insert into worker_parts (id, job_id, n, lane, priority, not_before, expires_at, spec, order_id)"
    " select {v}id, j.id, {v}n, {v}lane, j.priority, {greatest}(j.due_at, j.created_at), j.expires_at,"
    " coalesce({v}spec, j.recipients), {v}order_id"
)
_ONE_PART = text(_PARTS_OF.format(v=":", greatest="max") + " from worker_jobs j where j.id = :job_id")


def _insert_into_jobs(shape: Shape, source: str) -> str:
    """Returns the insert of jobs from a source that has the clock as `c.now` and the rows as `v`."""
    values = {name: f"v.{name}" for name, _ in shape}
    due = [*_instants(values, "due"), "c.now"]
    values["due_at"] = f"coalesce({', '.join(due)})" if due[1:] else due[0]
    if expires := _instants(values, "expires"):
        values["expires_at"] = f"coalesce({', '.join(expires)})" if expires[1:] else expires[0]
    columns = {name: value for name, value in values.items() if name not in _NOT_STORED}
    return (
        f"insert into worker_jobs ({', '.join(columns)}, created_at)"
        f" select {', '.join(columns.values())}, c.now from {source}"
    )


def _instants(names: Collection[str], what: str) -> list[str]:
    """Returns the SQL values for an instant of jobs: absolute, or counted from now."""
    forms = {f"{what}_at": f"v.{what}_at", f"{what}_in": f"c.now + v.{what}_in"}
    return [value for name, value in forms.items() if name in names]


def _jobs(dialect: Dialect, shape: Shape) -> str:
    return dialect.json_rows("jobs", {name: dialect.number if is_number else dialect.text for name, is_number in shape})


def _parts(dialect: Dialect, alias: str = "v", **types: str) -> str:
    return dialect.json_rows("parts", {**dict.fromkeys(_PART, dialect.text), "n": dialect.number, **types}, alias)


def _insert_together(
    connection: Connection, now: str, jobs: Sequence[JobRow], parts: Sequence[PartRow]
) -> dict[str, int]:
    """Inserts jobs and parts in one statement. Returns the jobs' due_at if one of them has a dedupe or order key."""
    shape = _shape(jobs)
    # RETURNING instead of a read: at SERIALIZABLE a read conflicts with every transaction that inserts beside it.
    returns_due_at = not {"dedupe_key", "order_key"}.isdisjoint(dict(shape))
    insert = _jobs_and_parts(dialect_of(connection), now, shape, bool(parts), returns_due_at)
    values = {"jobs": rows_json(jobs), "parts": rows_json(parts)} if parts else {"jobs": rows_json(jobs)}
    rows = execute(connection, insert, values)
    return {row[0]: row[1] for row in rows} if returns_due_at else {}


@lru_cache(maxsize=128)
def _jobs_and_parts(dialect: Dialect, now: str, shape: Shape, has_parts: bool, returns_due_at: bool) -> str:
    """Returns the insert of jobs and parts. `c` is materialized, so that all rows get the same instant."""
    names, sources = dict(shape), list[str]()
    opened = f"select {', '.join(names)} from {_jobs(dialect, shape)}"
    if "lane" in names:
        order = "order_id" if "order_id" in names else "null as order_id"
        only = f"select id || '-0' as id, id as job_id, 0 as n, lane, null as spec, {order} from v"
        sources.append(f"{only} where lane is not null")
    if has_parts:
        sources.append(f"select {', '.join(_PART)} from {_parts(dialect, 'p')}")
    into_parts = _PARTS_OF.format(v="p.", greatest="greatest")
    into_parts += f" from ({' union all '.join(sources)}) p join j on j.id = p.job_id"
    return (
        f"with c as materialized (select {now} as now), v as materialized ({opened}),"
        f" j as ({_insert_into_jobs(shape, 'c cross join v')}{_ON_CONFLICT}"
        " returning id, recipients, priority, due_at, created_at, expires_at)"
        + (f", i as ({into_parts}) select id, due_at from j" if returns_due_at else f" {into_parts}")
    )


@lru_cache(maxsize=128)
def _one_job(now: str, shape: Shape) -> TextClause:
    # SQLite's parser needs a WHERE between SELECT and ON CONFLICT.
    return text(_insert_into_jobs(shape, f"(select {now} as now) c where true").replace("v.", ":") + _ON_CONFLICT)


def _insert_one_after_the_other(
    connection: Connection, now: str, jobs: Sequence[JobRow], parts: Sequence[PartRow]
) -> None:
    """Inserts jobs, then parts only of the jobs that were inserted. Usually two statements."""
    dialect = dialect_of(connection)
    # Of jobs with one key only the first is tried: the others would meet its row, see `owners_before_insert`.
    first = {_key_of(job): job["id"] for job in reversed(jobs)}
    jobs = [job for job in jobs if "dedupe_key" not in job or first[_key_of(job)] == job["id"]]
    # Under REPEATABLE READ the search for a job that does not exist would lock the gap in which every producer inserts.
    there = {job["id"] for job in _insert_untaken(connection, now, jobs)}
    parts = [part for part in parts if part["job_id"] in there]
    for document in documents(dialect, parts):
        execute(connection, _all_parts(dialect), {"parts": document})


def _insert_untaken(connection: Connection, now: str, jobs: Sequence[JobRow]) -> list[JobRow]:
    """Inserts jobs, except those whose dedupe key another job has. Returns the inserted jobs."""
    # ON DUPLICATE KEY UPDATE would need the right to update jobs, and IGNORE would hide values that are too long. The
    # server takes back only the statement that met a key, so the jobs are halved until the one with the key is alone.
    # That is rare, because keys that were seen to be taken are not tried.
    if len(rows := documents(dialect_of(connection), jobs)) < 2:
        if not rows or _inserts(connection, now, jobs, rows[0]):
            return list(jobs)
        if len(jobs) == 1:
            return []
    # The first half first: producers with the same keys then take them in one order.
    middle = len(jobs) // 2
    return _insert_untaken(connection, now, jobs[:middle]) + _insert_untaken(connection, now, jobs[middle:])


def _inserts(connection: Connection, now: str, jobs: Sequence[JobRow], document: str) -> bool:
    """Inserts jobs with one statement. Returns False, with nothing inserted, if one of their dedupe keys is taken."""
    shape = _shape(jobs)
    try:
        execute(connection, _all_jobs(dialect_of(connection), now, shape), {"jobs": document})
    except (DBAPIError, connection.dialect.loaded_dbapi.Error) as error:
        if "dedupe_key" not in dict(shape) or not is_taken_key(error):
            raise
        return False
    return True


def _key_of(job: JobRow) -> tuple[str, str | None]:
    return job["account"], job.get("dedupe_key")


@lru_cache(maxsize=128)
def _all_jobs(dialect: Dialect, now: str, shape: Shape) -> str:
    # The limit keeps the clock from being merged into the outer query, which would read it again for every row.
    source = f"(select {now} as now limit 1) c cross join {_jobs(dialect, shape)}"
    return _insert_into_jobs(shape, source)


@lru_cache(maxsize=1)
def _all_parts(dialect: Dialect) -> str:
    joined = f"{_parts(dialect, job_id=dialect.key)}{dialect.join('worker_jobs j')} on j.id = v.job_id"
    return f"{_PARTS_OF.format(v='v.', greatest='greatest')} from {joined}"


@lru_cache(maxsize=8)
def _owners(dialect: Dialect, lock: str) -> str:
    source = dialect.json_keys("keys", ("a", "k")) + dialect.join("worker_jobs j", "worker_jobs_dedupe")
    return (
        "select j.id, j.account, j.dedupe_key, j.content_hash, j.state"
        f" from {source} on j.account = v.a and j.dedupe_key = v.k{lock}"
    )
