"""Files in the outbox. They are stored in pieces of 1 MiB in the caller's transaction, and read piece by piece.

A rollback leaves nothing behind. Workers on other hosts can read the files. Neither side needs memory for a whole file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from sqlalchemy import Connection

from worker.domain.errors import FileGone
from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, ids_json, insert_rows, rows_by_id
from worker.outbox.engine.clock import micros, now_in
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch

REUSED_WITHIN_S = 3 * 86_400
"""Seconds for which a stored copy is reused.

Housekeeping deletes a copy with its last job, which is at least four days old by then. So no producer finds a copy that
it is about to delete.
"""


def find_blob(connection: Connection, sha256: str, size: int) -> str | None:
    """Returns a recent copy of the same content that this transaction can see, or None.

    Locks the copy, as `lock_blobs` does, because an erasure may delete even the youngest. It then leaves this one.
    """
    query = (
        "select id from worker_blobs where sha256 = :sha256 and size = :size"
        f" and created_at > {now_in(connection)} - {micros(REUSED_WITHIN_S)} order by created_at desc limit 1"
    )
    found = {str(row[0]) for row in fetch(connection, query, {"sha256": sha256, "size": size})}
    # Locked by its id: on MariaDB a locking read by the hash would lock the gap beside it, too.
    return next(iter(_lock(connection, found)), None)


def insert_blob(connection: Connection, blob_id: str, *, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
    """Stores a file with one statement for each piece."""
    values = f"(:id, :sha256, :size, {now_in(connection)})"
    insert = f"insert into worker_blobs (id, sha256, size, created_at) values {values}"
    execute(connection, insert, {"id": blob_id, "sha256": sha256, "size": size})
    as_digits = dialect_of(connection).sends_bytes_as_hex
    data = "unhex(:data)" if as_digits else ":data"
    for n, chunk in enumerate(chunks):
        row = {"id": blob_id, "n": n, "data": chunk.hex() if as_digits else chunk}
        execute(connection, f"insert into worker_blob_chunks (blob_id, n, data) values (:id, :n, {data})", row)


def delete_blobs(connection: Connection, ids: Sequence[str]) -> None:
    """Deletes files with their pieces."""
    delete_by_id(connection, "worker_blob_chunks", ids, "blob_id")
    delete_by_id(connection, "worker_blobs", ids)


def store_uses(
    connection: Connection, uses: Iterable[tuple[str, str | None]], *, conflict: Literal["error", "ignore"] = "error"
) -> None:
    """Stores which jobs use which files, as pairs of job id and blob id, or None for a file yet to be fetched.

    `conflict` says what to do if a use is stored already, as in `insert_rows`.
    """
    pairs = {(job, blob) for job, blob in uses if blob is not None}
    rows = [{"job_id": job, "blob_id": blob} for job, blob in sorted(pairs)]
    insert_rows(connection, tables.blob_uses, rows, conflict=conflict)


def stored_blobs(connection: Connection, ids: Iterable[str], lock: str = "") -> set[str]:
    """Returns those of the files that are still stored."""
    return {str(row[0]) for row in rows_by_id(connection, "id", "worker_blobs", ids, only=lock)}


def lock_blobs(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Returns those of the files that are still stored. Locks them, so that they stay until the caller's commit."""
    # Read first without a lock. On MariaDB a locking read of a deleted row locks the gap where it was.
    return _lock(connection, stored_blobs(connection, ids))


def _lock(connection: Connection, found: set[str]) -> set[str]:
    """Locks files that were just found, and returns those that are there still."""
    dialect = dialect_of(connection)
    if not found or dialect.has_one_writer:
        return found
    # A shared lock, so that several producers can have it. Housekeeping skips files that it cannot lock.
    return stored_blobs(connection, found, dialect.shared_lock)


def locked_blobs(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Returns those of the files that a producer has locked, to use them again. Locks the other files."""
    dialect = dialect_of(connection)
    if dialect.has_one_writer:
        return set()
    free = stored_blobs(connection, ids, dialect.lock_in_order() + dialect.skip_locked)
    return stored_blobs(connection, ids) - free


def blob_chunks(database: Database, blob_id: str) -> Iterator[bytes]:
    """Yields the content piece by piece. No transaction is open between the pieces, while a vendor is called."""
    n = 0
    while (chunk := _chunk(database, blob_id, n)) is not None:
        yield chunk
        # Freed before the next piece is read, so that only one piece is in memory.
        chunk = None
        n += 1
    if n == 0:
        with database.reading() as connection:
            if not stored_blobs(connection, [blob_id]):
                raise FileGone("the file is no longer stored; enqueue it again")


def _chunk(database: Database, blob_id: str, n: int) -> bytes | None:
    query = "select data from worker_blob_chunks where blob_id = :id and n = :n"
    with database.reading() as connection:
        data = execute(connection, query, {"id": blob_id, "n": n}).scalar()
    return None if data is None else bytes(data)


def files_of(connection: Connection, jobs: Iterable[str]) -> list[str]:
    """Returns the files that these jobs use."""
    return [str(row[0]) for row in rows_by_id(connection, "distinct blob_id", "worker_blob_uses", jobs, "job_id")]


def delete_unnamed(connection: Connection, blobs: Sequence[str]) -> None:
    """Deletes those of the files that no job uses any more."""
    rows = rows_by_id(connection, "blob_id", "worker_blob_uses", blobs, "blob_id", index="worker_blob_uses_blob")
    named = {row[0] for row in rows}
    delete_blobs(connection, [blob for blob in blobs if blob not in named])


def uploads_of(connection: Connection, blobs: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the ended uploads of these files: id, message, and `is_alone` if only one send uses the file."""
    if not blobs:
        return []
    joined = f"{dialect_of(connection).join('worker_jobs j')} on j.id = u.job_id"
    source = dialect_of(connection).by_ids(
        "worker_blob_uses", "blob_id", alias="u", joins=joined, index="worker_blob_uses_blob"
    )
    cached = "exists (select 1 from worker_media m where m.job_id = j.id)"
    columns = f"u.blob_id, j.id, j.kind, j.n_open + j.n_unknown, case when {cached} then 1 else 0 end, j.message"
    rows = execute(connection, f"select {columns} from {source}", {"ids": ids_json(blobs)})
    sends: dict[str, int] = {}
    for blob, _, kind, open_parts, is_cached, _ in rows:
        sends[blob] = sends.get(blob, 0) + int(kind != "upload" or open_parts > 0 or not is_cached)
    return [
        {"id": id, "message": message, "is_alone": bool(is_cached) and sends[blob] <= 1}
        for blob, id, kind, open_parts, is_cached, message in rows
        if kind == "upload" and not open_parts
    ]
