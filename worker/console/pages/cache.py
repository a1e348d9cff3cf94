"""Keeps values between two requests of a process, for each outbox: costly readings, running commands, previews.

A value that is too costly to be read for each page is read in a thread, kept for a while, and shown with its age.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import Connection

from worker.console.page import Site
from worker.console.running.background import Background
from worker.control.selection import MAX_LISTED
from worker.outbox.control.mailings import TaggedJobs
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.upkeep.gauges import Queue
from worker.outbox.upkeep.rates import CallRates
from worker.reporting.failure_reasons import FailureReport
from worker.reporting.forecast import AccountForecast
from worker.reporting.mailing import MailingReport
from worker.reporting.problems import OutboxReading

T = TypeVar("T")
log = structlog.get_logger()

RELOAD_WAIT_S = 0.05
"""Seconds that a page waits for a new reading of a value that it could show as it is."""
IDLE_FACTOR = 4
"""A value is kept for at least so many times as long as its reading took, so slow readings do not load the database."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """A value and when it was read."""

    value: T
    read_at: datetime
    """By the database's clock, when the reading began."""
    age_s: float = 0.0
    """Seconds since then."""
    is_last: bool = False
    """Whether a newer reading failed, so that this is how things were."""


def read(site: Site, gather: Callable[[Connection, str], T]) -> Reading[T]:
    """Reads a value from the outbox; `gather` gets a connection and the SQL of its clock."""
    now = site.database.now
    with site.reading() as connection:
        began_at = instant(read_now(connection, now))
        return Reading(gather(connection, now), began_at)


class CachedReading(Generic[T]):
    """The newest reading of one value, for all pages of a process. Thread-safe."""

    def __init__(self, max_age_s: float, first_wait_s: float, monotonic: Callable[[], float] = time.monotonic):
        """`max_age_s`: how old the value may be; `first_wait_s`: how long the first page waits for it."""
        self._max_age_s, self._first_wait_s, self._monotonic = max_age_s, first_wait_s, monotonic
        self._guard = threading.Lock()
        self._latest: Reading[T] | None = None
        self._began_at = self._expires_at = self._misleads_at = float("-inf")
        self._reader: threading.Thread | None = None
        self._failed = False

    def latest(self, reload: Callable[[], Reading[T]], wait_s: float | None = None) -> Reading[T] | None:
        """Returns the newest reading, and starts another one if it is too old.

        None while the first one is under way, or one after a reading that is so old that it would mislead.

        `wait_s`: how long to wait for a reading that is under way. By default that is a moment; longer for the first
        reading, and if the last one is so old that it would mislead.
        """
        with self._guard:
            if self._monotonic() >= self._expires_at and self._reader is None:
                self._reader = threading.Thread(
                    target=self._reload, args=(reload,), name="console-reading", daemon=True
                )
                self._reader.start()
            reader = self._reader
            is_stale = self._monotonic() > self._misleads_at
        if reader is not None:
            reader.join(wait_s if wait_s is not None else self._first_wait_s if is_stale else RELOAD_WAIT_S)
        with self._guard:
            latest, now, failed = self._latest, self._monotonic(), self._failed
            age_s, misleads = now - self._began_at, now > self._misleads_at and not failed
        return None if latest is None or misleads else replace(latest, age_s=age_s, is_last=failed)

    def _reload(self, reload: Callable[[], Reading[T]]) -> None:
        began = self._monotonic()
        try:
            reading: Reading[T] | None = reload()
        except Exception as error:  # noqa: BLE001  the outer loop of a thread: a database may be away for a while
            log.warning("console_reading_failed", error=type(error).__name__)
            reading = None
        ended = self._monotonic()
        with self._guard:
            kept_s = max(self._max_age_s, IDLE_FACTOR * (ended - began))
            if reading is not None:
                self._latest, self._began_at, self._misleads_at = reading, began, ended + STALE_FACTOR * kept_s
            self._failed = reading is None
            self._expires_at = ended + kept_s
            self._reader = None


STALE_FACTOR = 4
"""A value that is so many times older than it may be is not shown until it has been read again."""
MAX_NAMES = 200
"""Largest number of names in a cache; the least recently used one is evicted first."""
MAX_IDS = 300_000
"""Largest number of ids kept from previews, some 30 MB; the oldest preview is evicted first."""


class PreviewedIds:
    """The ids that recent previews showed, so that a command changes nothing that its preview did not. Thread-safe."""

    def __init__(self, max_ids: int = MAX_IDS):
        self._max_ids, self._guard = max_ids, threading.Lock()
        self._previews: dict[str, frozenset[str]] = {}
        self._size = 0

    def add(self, ids: Sequence[str]) -> str:
        """Adds the ids of a preview; returns the digest that its form carries."""
        digest = _digest(ids)
        with self._guard:
            self._drop(digest)
            self._previews[digest] = frozenset(ids)
            self._size += len(ids) + 1
            while self._size > self._max_ids:
                self._drop(next(iter(self._previews)))
        return digest

    def covers(self, digest: str, ids: Sequence[str]) -> bool:
        """Returns whether the preview with this digest showed all of these ids.

        If it was evicted or shown by another process: whether it showed exactly these ids.
        """
        with self._guard:
            preview = self._previews.get(digest)
        return preview.issuperset(ids) if preview is not None else digest == _digest(ids)

    def _drop(self, digest: str) -> None:
        if digest in self._previews:
            self._size -= len(self._previews.pop(digest)) + 1


class Refusals:
    """Why recent commands of this process refused jobs, of each command the first ones. Thread-safe."""

    def __init__(self, max_commands: int = MAX_NAMES, max_jobs: int = MAX_LISTED):
        self._max_commands, self._max_jobs, self._guard = max_commands, max_jobs, threading.Lock()
        self._by_audit: dict[str, Mapping[str, str]] = {}

    def add(self, audit: str, notes: Mapping[str, str]) -> None:
        """Adds the notes of a command, by job."""
        with self._guard:
            self._by_audit[audit] = dict(islice(notes.items(), self._max_jobs))
            if len(self._by_audit) > self._max_commands:
                del self._by_audit[next(iter(self._by_audit))]

    def of(self, audit: str) -> Mapping[str, str]:
        """Returns the notes of the command with this audit row; empty if another process ran it, or long ago."""
        return self._by_audit.get(audit, {})


def _digest(ids: Iterable[str]) -> str:
    return sha256("\n".join(sorted(ids)).encode()).hexdigest()


class CachedReadings(Generic[T]):
    """A cached reading for each name, of the names that were used last. Thread-safe."""

    def __init__(self, make: Callable[[], CachedReading[T]], max_names: int = MAX_NAMES):
        self._make, self._max_names, self._guard = make, max_names, threading.Lock()
        self._readings: dict[Hashable, CachedReading[T]] = {}

    def get(self, name: Hashable) -> CachedReading[T]:
        """Returns the cached reading of this name; makes it if there is none."""
        with self._guard:
            reading = self._readings[name] = self._readings.pop(name) if name in self._readings else self._make()
            if len(self._readings) > self._max_names:
                del self._readings[next(iter(self._readings))]
            return reading


QUEUE_S = 3.0
OUTBOX_S = 3.0
RATES_S = 5.0
FORECAST_S = 30.0
MAILING_S = 2.0
TAGS_S = 10.0
SEARCH_WAIT_S = 0.2


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PageCache:
    """Everything that a process keeps for the pages of one outbox."""

    queue: CachedReading[Queue] = field(default_factory=lambda: CachedReading(QUEUE_S, first_wait_s=5.0))
    outbox: CachedReading[OutboxReading] = field(default_factory=lambda: CachedReading(OUTBOX_S, first_wait_s=5.0))
    forecast: CachedReading[list[AccountForecast]] = field(
        default_factory=lambda: CachedReading(FORECAST_S, first_wait_s=3.0)
    )
    rates: CachedReading[CallRates] = field(default_factory=lambda: CachedReading(RATES_S, first_wait_s=5.0))
    mailings: CachedReadings[MailingReport] = field(
        default_factory=lambda: CachedReadings(lambda: CachedReading(MAILING_S, first_wait_s=5.0))
    )
    """By tag and account."""
    failures: CachedReadings[FailureReport] = field(
        default_factory=lambda: CachedReadings(lambda: CachedReading(TAGS_S, first_wait_s=SEARCH_WAIT_S))
    )
    """By what was searched for, as it was typed. Of millions of jobs it takes seconds, and the page asks again."""
    tags: CachedReading[list[TaggedJobs]] = field(default_factory=lambda: CachedReading(TAGS_S, first_wait_s=5.0))
    background: Background = field(default_factory=Background)
    immediate: Background = field(default_factory=Background)
    """The commands that are not long: a pause waits behind no replay."""
    previewed: PreviewedIds = field(default_factory=PreviewedIds)
    refusals: Refusals = field(default_factory=Refusals)


_guard = threading.Lock()
_caches: WeakKeyDictionary[Database, PageCache] = WeakKeyDictionary()


def cache_of(database: Database) -> PageCache:
    """Returns the cache of an outbox; it lives as long as its database object."""
    with _guard:
        return _caches.setdefault(database, PageCache())
