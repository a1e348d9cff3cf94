"""Resolves files behind a URL: fetches each of them once, before the upload, and stores a copy in the outbox.

The part is put off while its file is fetched, so that no other process fetches it as well. The copy and the part's plan
are written in one transaction, and nothing before. If the process dies in between, the part becomes due again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection

from worker.channels.base import Channel
from worker.delivery.resolver import Resolved
from worker.delivery.resolver.download import Downloads, Fetched, NotFetched, Stopped, TryLater
from worker.domain import settle
from worker.domain.account import Account
from worker.domain.content.message import INLINE
from worker.domain.job import Draft, JobKind
from worker.domain.outcome import Rejected, Retry
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.blobs import find_blob, insert_blob, store_uses, stored_blobs
from worker.outbox.jobs.loading import JobPart
from worker.outbox.jobs.rows import save_parts
from worker.outbox.jobs.target_job import lock_part, plan_parts

log = structlog.get_logger()

Entry = Mapping[str, Any]
"""A file in a message's document."""

MARGIN_S = 30.0
"""Seconds after a fetch's deadline until another process may begin. Resolving a name has time limits of its own."""
BUSY_S = 1.0
"""Seconds that a part waits while this process already fetches as many files as it may."""


class UrlFiles:
    """Fetches files behind URLs and stores them in the outbox."""

    def __init__(
        self,
        database: Database,
        change: Callable[[Sequence[Change]], None],
        fetching: Downloads,
        *,
        deadline_s: float,
        max_fetches: int,
        new_id: Callable[[], str],
        monotonic: Callable[[], float],
        record_duration: Callable[[str, float], None],
    ):
        self._database, self._change, self._downloads = database, change, fetching
        self._lease_us = int((deadline_s + MARGIN_S) * settle.SECOND)
        self._slots = threading.BoundedSemaphore(max_fetches)
        self._new_id, self._monotonic, self._record_duration = new_id, monotonic, record_duration

    def local_copy(self, part: JobPart, file: Entry, channel: Channel, account: Account) -> Entry | Resolved:
        """Returns the file's entry in the outbox. Fetches a file behind a URL, unless the part's spec names a copy."""
        if "url" not in file:
            return file
        copy: Entry | None = part.spec.get("fetched")
        if copy is not None and self._exists(copy["blob"]):
            return copy
        if not self._slots.acquire(blocking=False):
            self._change([Change(part.id, _wait_for_a_slot)])
            return None
        try:
            until = self._claim(part)
            return None if until is None else self._fetch(part, until, file, channel, account)
        finally:
            self._slots.release()

    def _fetch(self, part: JobPart, until: int, file: Entry, channel: Channel, account: Account) -> Entry | Resolved:
        began = self._monotonic()
        fetch = self._downloads.fetch(file["url"], channel.upload_limit(account, file["upload_type"]))
        duration = self._monotonic() - began
        self._record_duration(part.lane, duration)
        _log(part, fetch, duration)
        match fetch:
            case NotFetched(reason=reason):
                return Rejected(f"the file behind its URL {reason}")
            case TryLater(reason=reason):
                return Retry(f"the file behind its URL could not be fetched: {reason}")
            case Stopped():
                self._release(part, until)
                return None
            case Fetched():
                try:
                    return self._check_and_store(part, file, fetch, channel, account)
                finally:
                    fetch.close()

    def _check_and_store(
        self, part: JobPart, file: Entry, fetched: Fetched, channel: Channel, account: Account
    ) -> Entry | Resolved:
        """Refuses a file that the vendor would refuse. Else stores the copy and the plan in one transaction."""
        entry = {"size": fetched.size, "sha256": fetched.sha256}
        described = {"upload_type": file["upload_type"], "name": file["name"], **entry}
        document = {"type": INLINE if file["upload_type"] == INLINE else "upload", "files": {"media": described}}
        problems = channel.check(Draft(JobKind.UPLOAD, account, document))
        if problems:
            return Rejected(f"the file behind its URL does not fit: {'; '.join(map(str, problems))}")
        spec = self._database.run(lambda connection: self._store(connection, part, fetched, entry))
        if spec is None:
            return None
        part.spec = spec
        copy: Entry = spec["fetched"]
        return copy

    def _store(
        self, connection: Connection, part: JobPart, fetched: Fetched, entry: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Stores the copy and returns the part's new spec, or None if another sender has changed the part."""
        own = lock_part(connection, part.id, part.claim)
        if own is None:
            return None
        facts, spec = own
        blob_id = find_blob(connection, fetched.sha256, fetched.size)
        if blob_id is None:
            blob_id, chunks = self._new_id(), fetched.chunks()
            insert_blob(connection, blob_id, **entry, chunks=chunks)
        # Another part of the job may have fetched the same content: a picture to several groups is in each call.
        store_uses(connection, [(part.job_id, blob_id)], conflict="ignore")
        # In the part's spec, so that a process that gets the part later finds the copy and does not fetch it again.
        spec = {**spec, "fetched": {**entry, "blob": blob_id}}
        plan_parts(connection, facts, [spec], [facts.lane])
        now = read_now(connection, self._database.now)
        settle.wait_until(facts, now, "its file was fetched")
        save_parts(connection, [facts])
        return spec

    def _claim(self, part: JobPart) -> int | None:
        """Puts the part off until the fetch must have ended, and returns that instant.

        Returns None if another process fetches the file.
        """
        until: int | None = None

        def claim(row: PartFacts, now: int) -> None:
            # This may run twice: after a deadlock, when another process may have been faster, or after the answer to
            # the commit was lost, when the part is as this function has written it.
            nonlocal until
            if row.claim == part.claim and _is_due(row, now):
                until = now + self._lease_us
                settle.wait_until(row, until, "its file is being fetched")
            elif row.claim != part.claim or row.not_before != until:
                until = None

        self._change([Change(part.id, claim)])
        return until

    def _release(self, part: JobPart, until: int) -> None:
        """Makes the part due at once after its fetch was broken off, so that another process may begin."""

        def release(row: PartFacts, now: int) -> None:
            if row.state is PartState.QUEUED and row.claim == part.claim and row.not_before == until:
                settle.wait_until(row, now, "the process that fetched its file ended")

        self._change([Change(part.id, release)])

    def _exists(self, blob_id: str) -> bool:
        with self._database.reading() as connection:
            return bool(stored_blobs(connection, [blob_id]))


def _is_due(part: PartFacts, now: int) -> bool:
    """Returns True for a queued part whose file no process is fetching."""
    return part.state is PartState.QUEUED and (part.not_before or 0) <= now


def _wait_for_a_slot(part: PartFacts, now: int) -> None:
    if _is_due(part, now):
        settle.wait_until(part, now + int(BUSY_S * settle.SECOND), "other files are being fetched")


def _log(part: JobPart, fetch: Fetched | NotFetched | TryLater | Stopped, duration_s: float) -> None:
    """Logs a fetch in one line, without its URL, which may hold a secret."""
    log.info(
        "fetch",
        job=part.job_id,
        part=part.id,
        account=part.account,
        outcome=type(fetch).__name__.lower(),
        reason=getattr(fetch, "reason", None),
        duration=round(duration_s, 4),
    )
