"""What the pages of a process keep between two requests, for each outbox: costly readings, commands, what was shown.

A value that costs too much to be read for each page is read by a thread, kept for a while, and told with its age.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import Connection

from worker.console.commands.background import Background
from worker.console.page import Site
from worker.outbox.control.mailings import TaggedJobs
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.upkeep.gauges import Queue
from worker.outbox.upkeep.rates import CallRates
from worker.reporting.forecast import AccountForecast
from worker.reporting.mailing import MailingReport
from worker.reporting.problems import OutboxReading

T = TypeVar("T")
log = structlog.get_logger()

WAIT_S = 0.05
"""How long a page waits for a value that is old."""
REST = 4
"""A value is read again when it has rested so many times as long as its reading took, or longer."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """A value as it was read."""

    value: T
    read_at: datetime
    """By the database's clock, when the reading began."""
    age_s: float = 0.0
    """How long ago that was."""


def read(site: Site, gather: Callable[[Connection, str], T]) -> Reading[T]:
    """Reads a value anew from the outbox; `gather` takes a connection and the SQL of its clock."""
    now = site.database.now
    with site.reading() as connection:
        began_at = instant(read_now(connection, now))
        return Reading(gather(connection, now), began_at)


class Kept(Generic[T]):
    """The newest reading of one value, for all pages of a process. Thread-safe."""

    def __init__(self, every_s: float, first_s: float, monotonic: Callable[[], float] = time.monotonic):
        """`every_s`: how old it may be; `first_s`: how long the first page waits for it."""
        self._every_s, self._first_s, self._monotonic = every_s, first_s, monotonic
        self._guard = threading.Lock()
        self._latest: Reading[T] | None = None
        self._began_at = self._old_at = float("-inf")
        self._reader: threading.Thread | None = None

    def latest(self, read: Callable[[], Reading[T]], wait_s: float | None = None) -> Reading[T] | None:
        """The newest reading; one that is old is read again meanwhile. None: it is being read for the first time.

        `wait_s`: how long to wait for a reading that is under way; None: a moment, and longer for the first one and
        where the last one is so old that it would mislead.
        """
        with self._guard:
            if self._monotonic() >= self._old_at and self._reader is None:
                self._reader = threading.Thread(target=self._turn, args=(read,), name="console-reading", daemon=True)
                self._reader.start()
            reader = self._reader
            is_stale = self._monotonic() - self._began_at > STALE * self._every_s
        if reader is not None:
            reader.join(wait_s if wait_s is not None else self._first_s if is_stale else WAIT_S)
        with self._guard:
            latest, age_s = self._latest, self._monotonic() - self._began_at
        return latest and replace(latest, age_s=age_s)

    def _turn(self, read: Callable[[], Reading[T]]) -> None:
        began = self._monotonic()
        try:
            found: Reading[T] | None = read()
        except Exception as error:  # noqa: BLE001  the outer loop of a thread: a database may be away for a while
            log.warning("console_reading_failed", error=type(error).__name__)
            found = None
        ended = self._monotonic()
        with self._guard:
            if found is not None:
                self._latest, self._began_at = found, began
            self._old_at = ended + max(self._every_s, REST * (ended - began))
            self._reader = None


STALE = 4
"""A value is not shown before it is read anew when it is so many times as old as it may be."""
MOST_NAMES = 200
"""Names whose values are kept; that of the name which was not asked for longest goes first."""
MOST_SHOWN = 300_000
"""Ids that are kept of what previews showed, some 30 MB; those of the oldest go first."""


class ShownIds:
    """What previews of commands showed of late, so that a command is about nothing else. Thread-safe."""

    def __init__(self, most: int = MOST_SHOWN):
        self._most, self._guard = most, threading.Lock()
        self._kept: dict[str, frozenset[str]] = {}
        self._size = 0

    def note(self, ids: Sequence[str]) -> str:
        """Keeps what a preview shows; returns the digest that its form carries."""
        name = _digest(ids)
        with self._guard:
            self._drop(name)
            self._kept[name] = frozenset(ids)
            self._size += len(ids) + 1
            while self._size > self._most:
                self._drop(next(iter(self._kept)))
        return name

    def covers(self, name: str, ids: Sequence[str]) -> bool:
        """Whether the preview with this digest showed all of these.

        Where it is not kept any more, or another process showed it: whether it showed exactly these.
        """
        with self._guard:
            kept = self._kept.get(name)
        return kept.issuperset(ids) if kept is not None else name == _digest(ids)

    def _drop(self, name: str) -> None:
        if name in self._kept:
            self._size -= len(self._kept.pop(name)) + 1


def _digest(ids: Iterable[str]) -> str:
    return sha256("\n".join(sorted(ids)).encode()).hexdigest()


class KeptByName(Generic[T]):
    """The newest readings of values that have names, of those that were asked for last. Thread-safe."""

    def __init__(self, make: Callable[[], Kept[T]], most: int = MOST_NAMES):
        self._make, self._most, self._guard = make, most, threading.Lock()
        self._kept: dict[Hashable, Kept[T]] = {}

    def of(self, name: Hashable) -> Kept[T]:
        """The one of this name."""
        with self._guard:
            found = self._kept[name] = self._kept.pop(name) if name in self._kept else self._make()
            if len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
            return found


QUEUE_S = 3.0
OUTBOX_S = 3.0
RATES_S = 5.0
FORECAST_S = 30.0
MAILING_S = 2.0
TAGS_S = 10.0


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Memory:
    """Of one outbox."""

    queue: Kept[Queue] = field(default_factory=lambda: Kept(QUEUE_S, first_s=5.0))
    outbox: Kept[OutboxReading] = field(default_factory=lambda: Kept(OUTBOX_S, first_s=5.0))
    forecast: Kept[list[AccountForecast]] = field(default_factory=lambda: Kept(FORECAST_S, first_s=3.0))
    rates: Kept[CallRates] = field(default_factory=lambda: Kept(RATES_S, first_s=5.0))
    mailings: KeptByName[MailingReport] = field(
        default_factory=lambda: KeptByName(lambda: Kept(MAILING_S, first_s=5.0))
    )
    """By tag and account."""
    tags: Kept[list[TaggedJobs]] = field(default_factory=lambda: Kept(TAGS_S, first_s=5.0))
    background: Background = field(default_factory=Background)
    shown: ShownIds = field(default_factory=ShownIds)


_guard = threading.Lock()
_known: WeakKeyDictionary[Database, Memory] = WeakKeyDictionary()


def memory_of(database: Database) -> Memory:
    """The memory of an outbox; it ends with the outbox."""
    with _guard:
        return _known.setdefault(database, Memory())
