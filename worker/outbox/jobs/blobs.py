"""Files in the outbox: stored in pieces of 1 MiB inside the caller's transaction, read back piece by piece.

A rollback leaves nothing, workers on other hosts can read them, and memory stays flat for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from sqlalchemy import Connection, text
from sqlalchemy.sql.elements import TextClause

from worker.domain.errors import FileGone
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.clock import SqlClock, micros, now_in
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of

REUSED_WITHIN_S = 3 * 86_400
"""Seconds for which a stored copy is reused. Housekeeping deletes a copy with its last job, which is at least four days
old then, so no producer can have found one that is about to be deleted.
"""


@lru_cache(maxsize=8)
def _find(now: str) -> TextClause:
    return text(
        "select id from worker_blobs where sha256 = :sha256 and size = :size"
        f" and created_at > {now} - {micros(REUSED_WITHIN_S)} order by created_at desc limit 1"
    )


@lru_cache(maxsize=8)
def _insert(now: str) -> TextClause:
    return text(f"insert into worker_blobs (id, sha256, size, created_at) values (:id, :sha256, :size, {now})")


_INSERT_CHUNK = "insert into worker_blob_chunks (blob_id, n, data) values (:id, :n, {data})"
_INSERT_BYTES, _INSERT_DIGITS = (text(_INSERT_CHUNK.format(data=data)) for data in (":data", "unhex(:data)"))
_READ_CHUNK = text("select data from worker_blob_chunks where blob_id = :id and n = :n")


def find_blob(connection: Connection, clock: SqlClock, sha256: str, size: int) -> str | None:
    """A recent copy of the same content that this transaction can see; None: store one. Takes no lock."""
    found = connection.execute(_find(now_in(connection, clock)), {"sha256": sha256, "size": size}).scalar()
    return None if found is None else str(found)


def insert_blob(
    connection: Connection, clock: SqlClock, blob_id: str, *, sha256: str, size: int, chunks: Iterable[bytes]
) -> None:
    """Stores a file, with one statement for each piece of it."""
    now = now_in(connection, clock)
    connection.execute(_insert(now), {"id": blob_id, "sha256": sha256, "size": size})
    as_digits = dialect_of(connection).bytes_as_digits
    for n, chunk in enumerate(chunks):
        row = {"id": blob_id, "n": n, "data": chunk.hex() if as_digits else chunk}
        connection.execute(_INSERT_DIGITS if as_digits else _INSERT_BYTES, row)


def delete_blobs(connection: Connection, ids: Sequence[str]) -> None:
    """Deletes files with their pieces."""
    for table, key in (("worker_blob_chunks", "blob_id"), ("worker_blobs", "id")):
        connection.execute(text(dialect_of(connection).delete_chosen(table, key)), {"ids": ids_json(ids)})


def note_uses(connection: Connection, uses: Iterable[tuple[str, str | None]]) -> None:
    """Stores which jobs name which files, as pairs of a new job's id and a blob's; None: a file to be fetched."""
    stored = {(job, blob) for job, blob in uses if blob is not None}
    rows = [{"job_id": job, "blob_id": blob} for job, blob in sorted(stored)]
    if rows:
        insert_rows(connection, tables.blob_uses, rows)


def stored_blobs(connection: Connection, ids: Sequence[str]) -> set[str]:
    """The ids of files that are still stored."""
    among = dialect_of(connection).chosen("worker_blobs")
    rows = connection.execute(text(f"select id from {among}"), {"ids": ids_json(ids)})
    return {str(row[0]) for row in rows}


def keep_blobs(connection: Connection, ids: Sequence[str]) -> set[str]:
    """The ids of files that are still stored; these are locked, and so kept, until the caller's commit."""
    # Read first without a lock: on MariaDB a locking read of a row that is gone locks the gap where it was.
    there = stored_blobs(connection, ids)
    dialect = dialect_of(connection)
    if not there or dialect.has_one_writer:
        return there
    # A shared lock, for several producers at once; housekeeping, which alone locks these rows, skips such files.
    query = f"select id from {dialect.chosen('worker_blobs')}{dialect.shared_lock}"
    return {str(row[0]) for row in connection.execute(text(query), {"ids": ids_json(there)})}


def held_blobs(connection: Connection, ids: Sequence[str]) -> set[str]:
    """The ids of files that a producer has locked with `keep_blobs`; this transaction locks the others."""
    dialect = dialect_of(connection)
    if dialect.has_one_writer:
        return set()
    query = f"select id from {dialect.chosen('worker_blobs')}{dialect.in_order()}{dialect.skip_locked}"
    free = connection.execute(text(query), {"ids": ids_json(ids)})
    return stored_blobs(connection, ids) - {str(row[0]) for row in free}


def blob_chunks(database: Database, blob_id: str) -> Iterator[bytes]:
    """The content piece by piece, each read on its own: no transaction is open while a vendor is called."""
    n = 0
    while (chunk := _chunk(database, blob_id, n)) is not None:
        yield chunk
        # Freed before the next one is read, so that only one piece is in memory.
        chunk = None
        n += 1
    if n == 0 and not _is_there(database, blob_id):
        raise FileGone("the file is no longer stored; enqueue it again")


def _chunk(database: Database, blob_id: str, n: int) -> bytes | None:
    with database.reading() as connection:
        data = connection.execute(_READ_CHUNK, {"id": blob_id, "n": n}).scalar()
    return None if data is None else bytes(data)


def _is_there(database: Database, blob_id: str) -> bool:
    with database.reading() as connection:
        return bool(stored_blobs(connection, [blob_id]))
