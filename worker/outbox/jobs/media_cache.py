"""The media cache: the media_id of each file, the upload job that fetches it, and the start of new uploads.

A send that finds a valid media_id locks nothing. A send that has to wait, or begins an upload, locks the job of the
row's upload first and the row second, as the group commit does that ends an upload.
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
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, run
from worker.outbox.jobs.blobs import note_uses
from worker.outbox.jobs.follow_ups import lock_job_row


@dataclass(frozen=True, slots=True)
class CachedFile:
    """The state of one file in one scope at the vendor."""

    job_id: str
    media_id: str | None
    valid_until: int | None
    open: bool
    """True when the newest upload job may still give a media_id without a person's help."""
    look_again_at: int
    """The instant, in microseconds, at which a waiting send checks again if it was not woken before."""
    after_send: bool
    """True when the upload job was made after the send that asks: for it, or for another send at that time."""
    reason: str | None
    """Why that upload ended without a media_id."""
    fetched: Mapping[str, Any] | None
    """The copy (blob, size, sha256) that the upload made of the file behind its URL; None without one."""


def valid_media(connection: Connection, row_id: str, send_job_id: str, until: str) -> tuple[str, bool] | None:
    """The media_id that is valid beyond an instant (an SQL expression), or None; takes no lock.

    The second value says whether its upload was made after the send that asks.
    """
    query = (
        "select m.media_id, u.created_at >= s.created_at from worker_media m"
        " left join worker_jobs u on u.id = m.job_id left join worker_jobs s on s.id = :send"
        f" where m.id = :id and m.media_id is not null and m.valid_until > {until}"
    )
    row = execute(connection, query, {"id": row_id, "send": send_job_id}).first()
    return None if row is None else (row[0], bool(row[1]))


def lock_cached(connection: Connection, row: Mapping[str, Any], send_job_id: str, now: int) -> CachedFile | None:
    """Locks the upload of a file and its row, which is made (without an upload) for the first send that needs it.

    None: another upload was begun meanwhile; the caller asks again in a new transaction.
    """
    # Read without a lock, because the upload's job has to be locked before the row.
    found = execute(connection, "select job_id from worker_media where id = :id", {"id": row["id"]}).scalar()
    if found is None:
        fresh = {**row, "job_id": "", "media_id": None, "valid_until": None, "created_at": now}
        insert_rows(connection, tables.media, [fresh], conflict="ignore")
    is_kept = bool(found) and lock_job_row(connection, str(found))
    locked = f"select job_id, media_id, valid_until from worker_media where id = :id{dialect_of(connection).lock}"
    current = execute(connection, locked, {"id": row["id"]}).first()
    # The row names another upload by now, whose job must not be locked after the row.
    if current is None or current[0] != (found or ""):
        return None
    # There is no upload yet, or retention has deleted its job.
    if not is_kept:
        return CachedFile("", None, None, False, FOREVER, False, None, None)
    uploading = (
        "select p.state, p.not_before, p.reason, u.created_at >= s.created_at, p.spec, u.cancelled_at"
        " from worker_parts p join worker_jobs u on u.id = p.job_id join worker_jobs s on s.id = :send where p.id = :id"
    )
    values = {"send": send_job_id, "id": part_id(current[0], 0)}
    state, not_before, reason, after_send, spec, cancelled_at = execute(connection, uploading, values).one()
    if cancelled_at is not None and current[1] is None and state not in OPEN_STATES:
        # It was cancelled for itself, not for the sends that wait for it; held in doubt, it does no harm.
        return CachedFile("", None, None, False, FOREVER, False, None, None)
    acts = state == PartState.UNKNOWN and not_before is not None
    return CachedFile(
        current[0],
        current[1],
        current[2],
        acts or state in (PartState.QUEUED, PartState.SENDING),
        max(not_before, now) + SECOND if acts else FOREVER,
        bool(after_send),
        reason,
        json.loads(spec).get("fetched"),
    )


def add_upload(connection: Connection, media_row_id: str, job: Mapping[str, Any], part: Mapping[str, Any]) -> None:
    """Inserts an upload job for the send that needs it, which has locked the file's row."""
    insert_rows(connection, tables.jobs, [job])
    insert_rows(connection, tables.parts, [part])
    note_uses(connection, [(job["id"], file["blob"]) for file in json.loads(job["message"])["files"].values()])
    update = "update worker_media set job_id = :job, media_id = null, valid_until = null where id = :id"
    execute(connection, update, {"job": job["id"], "id": media_row_id})


def keep_media(connection: Connection, upload_job_id: str, media_id: str, valid_until: int) -> None:
    """Stores the media_id of an upload for every send of its file, if it is the newest upload of the file."""
    update = "update worker_media set media_id = :media, valid_until = :until where job_id = :job"
    run(connection, update, {"media": media_id, "until": valid_until, "job": upload_job_id})


def invalidate_media(connection: Connection, invalidated: Sequence[tuple[str, str]]) -> None:
    """Ends media_ids that the vendor does not know any more, so that the next send uploads the file again."""
    # Matched by the media_id: a newer one in the row stays valid.
    update = "update worker_media set valid_until = 0 where id = :id and media_id = :media"
    for row_id, media_id in invalidated:
        run(connection, update, {"id": row_id, "media": media_id})
