"""Resolves attached files: finds the media_id of each file, or an upload job to wait for.

A media_id comes from the media cache. The bytes of an inline file, which is part of the message itself, are read for
each call and not cached.

The first send that needs a file adds its row in the cache and its upload job. One upload serves every send of the same
file, name and type in the same scope. A media_id is used for 2.5 of its 3 days, and replaced on 40007. The content of a
URL may change, so its upload serves only sends that were enqueued before it.

The accounts of a corp share their uploads. But an upload goes through a lane of the account that made it, which may be
paused, parked or gone. So an account waits for another one's upload only for a while, and then makes its own, which has
a row of its own in the cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from functools import partial
from typing import Any

from sqlalchemy import Connection

from worker.channels.base import Channel
from worker.delivery.resolver import Resolved
from worker.delivery.resolver.url_file import UrlFiles
from worker.domain.account import Account
from worker.domain.content.message import INLINE
from worker.domain.job import JobKind, Priority
from worker.domain.outcome import Rejected
from worker.domain.settle import FOREVER, SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.blobs import blob_chunks, lock_blobs
from worker.outbox.jobs.loading import JobPart
from worker.outbox.jobs.media_cache import CachedFile, add_upload, lock_cached, valid_media
from worker.outbox.jobs.target_job import lock_part, new_part, wait_for_target

MARGIN_US = 600 * SECOND
"""Microseconds of validity that a media_id must have left to be used: ten minutes."""
FOREIGN_UPLOAD_WAIT_US = 30 * SECOND
"""Microseconds for which a send waits for another account's upload that is not called."""


class _Next(Enum):
    """How the search for a file's media_id goes on."""

    AGAIN = auto()
    """Another send has started an upload of the file in between."""
    OWN_UPLOAD = auto()
    """Another account's upload has been waiting for its call for too long."""


class MediaResolver:
    """Finds the media_ids of attached files."""

    def __init__(
        self, database: Database, remote: UrlFiles, *, new_id: Callable[[], str], lane_of: Callable[[str, str], str]
    ):
        self._database, self._url_files, self._new_id, self._lane_of = database, remote, new_id, lane_of

    def upload(self, part: JobPart, channel: Channel, account: Account) -> Resolved:
        """Resolves an upload. The chunks of its file are read from the outbox one by one while the call sends them."""
        file = self._url_files.local_copy(part, part.message["files"]["media"], channel, account)
        if not isinstance(file, Mapping):
            return file
        part.facts = {"open": lambda: self._chunks(file["blob"])}
        return part

    def _chunks(self, blob_id: str) -> Iterator[bytes]:
        return blob_chunks(self._database, blob_id)

    def send_with_files(self, part: JobPart, channel: Channel, account: Account) -> Resolved:
        """Resolves a send with files: finds the media_id of each attached file, and reads the bytes of inline files.

        Inline files are small, because the vendor limits them to the size of a message.
        """
        media, inline = dict[str, str](), dict[str, bytes]()
        for path, file in part.message["files"].items():
            if file["upload_type"] == INLINE:
                copy = self._url_files.local_copy(part, file, channel, account)
                if not isinstance(copy, Mapping):
                    return copy
                inline[path] = b"".join(self._chunks(copy["blob"]))
                continue
            media_id = self._media_id(part, channel, account, file)
            if not isinstance(media_id, str):
                return media_id
            media[path] = media_id
        part.facts |= {"media": media, "inline": inline}
        return part

    def _media_id(self, part: JobPart, channel: Channel, account: Account, file: Mapping[str, Any]) -> str | Resolved:
        """Returns the media_id of one file, or lets the part wait for its upload, starting one if none is open."""
        shared, own = _cache_keys(channel, account, file)
        # Read without locks first: if the media_id exists, the sends of a file must not wait for each other.
        with self._database.reading() as connection:
            for key in (shared, own):
                valid = valid_media(connection, key["id"], part.job_id, f"{self._database.now} + {MARGIN_US}")
                if valid is not None and _may_serve(valid[1], file):
                    return valid[0]
        key = shared
        while True:
            media_id = self._database.run(
                partial(self._wait, part=part, channel=channel, account=account, file=file, key=key)
            )
            match media_id:
                case _Next.AGAIN:
                    pass
                case _Next.OWN_UPLOAD:
                    key = own
                case _:
                    return media_id

    def _wait(
        self,
        connection: Connection,
        part: JobPart,
        channel: Channel,
        account: Account,
        file: Mapping[str, Any],
        key: Mapping[str, Any],
    ) -> str | Resolved | _Next:
        now = read_now(connection, self._database.now)
        row = lock_cached(connection, key, part.job_id, now)
        if row is None:
            return _Next.AGAIN
        is_valid = row.valid_until is not None and row.valid_until > now + MARGIN_US
        if row.media_id and is_valid and _may_serve(row.after_send, file):
            return row.media_id
        # `after_send` compares times of the database's clock, not ids: the clocks of hosts differ, and a failed upload
        # could pass for an older one and be repeated for ever.
        if not row.open and row.media_id is None and row.after_send:
            return Rejected(f"its file could not be uploaded: {row.reason or 'the upload was refused'}")
        until = FOREVER
        if row.open:
            waits_until = FOREVER if row.account == account.name else row.moved_at + FOREIGN_UPLOAD_WAIT_US
            if waits_until <= now:
                return _Next.OWN_UPLOAD
            until = min(row.check_again_at, waits_until)
        own = lock_part(connection, part.id, part.claim)
        if own is None:
            return None
        upload_id = row.job_id
        if not row.open:
            source = _upload_source(connection, row, file)
            upload_id = self._start_upload(connection, channel, account, source, key, now, part.trace)
        wait_for_target(connection, own[0], upload_id, now, until, "waits for its file to be uploaded")
        return None

    def _start_upload(
        self,
        connection: Connection,
        channel: Channel,
        account: Account,
        file: Mapping[str, Any],
        key: Mapping[str, Any],
        now: int,
        trace: str | None,
    ) -> str:
        message = channel.upload_part(dict(file))
        job_id = self._new_id()
        job = _upload_job(job_id, account, message, now) | {"trace": trace}
        lane = self._lane_of(account.name, channel.lane(JobKind.UPLOAD, message, {}))
        part = new_part(job_id, 0, lane, priority=Priority.NORMAL, not_before=now, spec="{}")
        add_upload(connection, key["id"], job, part)
        return job_id

    def used_media(
        self, part: JobPart, channel: Channel, account: Account, media_ids: Mapping[str, str]
    ) -> tuple[tuple[str, str], ...]:
        """Returns the cache rows of a send's files, each with the media_id that this send used.

        `media_ids` maps the path in the body to the media_id. Where it maps to the URL of a permanent picture, there is
        none: its uploads are few, and a media_id that is gone is another.
        """
        files = part.message["files"]
        return tuple(
            (key["id"], media_id)
            for path, media_id in media_ids.items()
            if not media_id.startswith(("http://", "https://"))
            for key in _cache_keys(channel, account, files[path])
        )


def _cache_keys(channel: Channel, account: Account, file: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the keys of a file: as all accounts of the scope share it, and as the account alone uploads it."""
    scope = channel.media_scope(account)
    return cache_key(scope, file), cache_key(f"{scope} {account.name}", file)


def cache_key(scope: str, file: Mapping[str, Any]) -> dict[str, str]:
    """Returns the key of a file in the media cache: its scope, its type, and a hash of both with content and name."""
    content = file["sha256"] if "url" not in file else f"url {hashlib.sha256(file['url'].encode()).hexdigest()}"
    text = "\x00".join((scope, file["upload_type"], content, file["name"]))
    return {
        "id": hashlib.sha256(text.encode()).hexdigest(),
        "scope": scope[:100],
        "upload_type": file["upload_type"],
    }


def _may_serve(after_send: bool, file: Mapping[str, Any]) -> bool:
    """Returns True if an upload may serve a send. An upload of a URL must be younger than the send."""
    # A send of a URL means the content at the time of the send, not that of two days ago.
    return "url" not in file or after_send


def _upload_source(connection: Connection, row: CachedFile, file: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the file to upload. If the vendor lost content that was fetched for this send, the copy serves again."""
    fetched = row.fetched if "url" in file and row.after_send else None
    # Locked, so that it stays until the upload has it: an erasure could delete it in between.
    if fetched is None or not lock_blobs(connection, [fetched["blob"]]):
        return dict(file)
    return {**{name: value for name, value in file.items() if name != "url"}, **fetched}


def _upload_job(job_id: str, account: Account, message: Mapping[str, Any], now: int) -> dict[str, Any]:
    return {
        "id": job_id,
        "kind": JobKind.UPLOAD.value,
        "channel": account.channel,
        "account": account.name,
        "message": json.dumps(message, ensure_ascii=False),
        "recipients": "{}",
        "asked": 0,
        "priority": 1,
        "due_at": now,
        "on_unknown": "default",
        "created_at": now,
        "state": 0,
        "awaited": False,
        "n_open": 1,
    } | dict.fromkeys(
        ("n_accepted", "n_partial", "n_rejected", "n_exhausted", "n_unknown", "n_expired", "n_cancelled"), 0
    )
