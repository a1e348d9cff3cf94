"""The media cache: the media_id of each file and its upload job. Also starts new uploads.

A send that finds a valid media_id locks nothing. A send that has to wait, or starts an upload, first locks the job of
the current upload and then the row. The group commit that ends an upload locks in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from worker.domain.job import part_id
from worker.domain.settle import FOREVER, SECOND
from worker.domain.state import OPEN_STATES, PartState
from worker.domain.stored import object_or_empty
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, run
from worker.outbox.jobs.blobs import store_uses
from worker.outbox.jobs.target_job import lock_job_row


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A file in the cache, and its newest upload."""

    job_id: str
    media_id: str | None
    valid_until: int | None
    open: bool
    """Whether the newest upload may still give a media_id without a person's help."""
    check_again_at: int
    """When a waiting send checks again if nothing wakes it before, in microseconds."""
    account: str
    """The account that uploads it, or empty if there is no upload."""
    moved_at: int
    """When the upload was made or last called, in microseconds; now, while its call is in flight."""
    after_send: bool
    """Whether the upload job was made after the send, for this send or for another one at that time."""
    reason: str | None
    """Why the upload ended without a media_id."""
    fetched: Mapping[str, Any] | None
    """The copy (blob, size, sha256) that the upload made of the file at its URL, or None."""


_NO_UPLOAD = CachedFile("", None, None, False, FOREVER, "", 0, False, None, None)


def valid_media(connection: Connection, row_id: str, send_job_id: str, until: str) -> tuple[str, bool] | None:
    """Returns the media_id if it is valid until an instant (an SQL expression), else None. Takes no lock.

    The second value says whether its upload was made after the send.
    """
    query = (
        "select m.media_id, u.created_at >= s.created_at from worker_media m"
        " left join worker_jobs u on u.id = m.job_id left join worker_jobs s on s.id = :send"
        f" where m.id = :id and m.media_id is not null and m.valid_until > {until}"
    )
    row = execute(connection, query, {"id": row_id, "send": send_job_id}).first()
    return None if row is None else (row[0], bool(row[1]))


def lock_cached(connection: Connection, row: Mapping[str, Any], send_job_id: str, now: int) -> CachedFile | None:
    """Locks the upload of a file and its row. Inserts the row, without an upload, for the first send that needs it.

    Returns None if another upload was started meanwhile. Then the caller has to try again in a new transaction.
    """
    # Read without a lock, because the upload's job has to be locked before the row.
    job_id = execute(connection, "select job_id from worker_media where id = :id", {"id": row["id"]}).scalar()
    if job_id is None:
        fresh = {**row, "job_id": "", "media_id": None, "valid_until": None, "created_at": now}
        insert_rows(connection, tables.media, [fresh], conflict="ignore")
    has_job = bool(job_id) and lock_job_row(connection, str(job_id))
    locked = f"select job_id, media_id, valid_until from worker_media where id = :id{dialect_of(connection).lock}"
    current = execute(connection, locked, {"id": row["id"]}).first()
    # The row has another upload by now. Its job must not be locked after the row.
    if current is None or current[0] != (job_id or ""):
        return None
    # There is no upload yet, or retention has deleted its job.
    if not has_job:
        return _NO_UPLOAD
    uploading = (
        "select p.state, p.not_before, p.reason, u.created_at >= s.created_at, p.spec, u.cancelled_at, u.account,"
        " u.created_at, p.marked_at"
        " from worker_parts p join worker_jobs u on u.id = p.job_id join worker_jobs s on s.id = :send where p.id = :id"
    )
    values = {"send": send_job_id, "id": part_id(current[0], 0)}
    upload = execute(connection, uploading, values).one()
    state, not_before, reason, after_send, spec, cancelled_at, account, created_at, marked_at = upload
    is_cancelled = state == PartState.CANCELLED or (cancelled_at is not None and state not in OPEN_STATES)
    if is_cancelled and current[1] is None:
        # Only the upload was cancelled, by a person or its account's dry run, not the sends that wait for it. If it is
        # held in doubt, that does no harm.
        return _NO_UPLOAD
    will_act = state == PartState.UNKNOWN and not_before is not None
    return CachedFile(
        current[0],
        current[1],
        current[2],
        will_act or state in (PartState.QUEUED, PartState.SENDING),
        max(not_before, now) + SECOND if will_act else FOREVER,
        account,
        now if state == PartState.SENDING else max(created_at, marked_at or 0),
        bool(after_send),
        reason,
        object_or_empty(spec).get("fetched"),
    )


def add_upload(connection: Connection, media_row_id: str, job: Mapping[str, Any], part: Mapping[str, Any]) -> None:
    """Inserts an upload job for a send. The caller has locked the file's row."""
    insert_rows(connection, tables.jobs, [job])
    insert_rows(connection, tables.parts, [part])
    store_uses(connection, [(job["id"], file["blob"]) for file in json.loads(job["message"])["files"].values()])
    update = "update worker_media set job_id = :job, media_id = null, valid_until = null where id = :id"
    execute(connection, update, {"job": job["id"], "id": media_row_id})


def store_media(connection: Connection, upload_job_id: str, media_id: str, valid_until: int) -> None:
    """Stores the media_id of an upload for all sends of its file, if it is the newest upload of the file."""
    update = "update worker_media set media_id = :media, valid_until = :until where job_id = :job"
    run(connection, update, {"media": media_id, "until": valid_until, "job": upload_job_id})


def invalidate_media(connection: Connection, invalidated: Sequence[tuple[str, str]]) -> None:
    """Ends media_ids that the vendor no longer accepts, so that the next send uploads the file again."""
    # Compared by media_id, so that a newer one in the row stays valid.
    update = "update worker_media set valid_until = 0 where id = :id and media_id = :media"
    for row_id, media_id in invalidated:
        run(connection, update, {"id": row_id, "media": media_id})
