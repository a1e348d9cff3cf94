"""Engines, transactions, and retries of transactions that the database asks to run again.

Knows the differences of the databases; knows no table.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InvalidRequestError,
    NoSuchModuleError,
    OperationalError,
)

from worker.domain.errors import ConfigurationError, RetryTransaction
from worker.outbox.engine import mariadb, postgresql
from worker.outbox.engine.clock import CLOCK_OPTION, DatabaseClock, SqlClock
from worker.outbox.engine.dialect import MARIADB, dialect_of, unsupported
from worker.outbox.engine.error_text import code_of
from worker.outbox.engine.sql import ours, pipeline, read_now, translated

T = TypeVar("T")

_IMMEDIATE = "worker_begin_immediate"
"""Execution option: a connection of an SQLite engine begins transactions; without it each statement is one."""
# PostgreSQL: serialization failure, deadlock. MariaDB has numbers (`mariadb.RETRYABLE`), SQLite only texts.
_RETRYABLE_SQLSTATES = frozenset({"40001", "40P01"})
_RETRYABLE_WORDS = ("database is locked", "database table is locked")


def is_retryable(error: BaseException) -> bool:
    """True when the database asked to run the transaction again (deadlock, serialization, busy)."""
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    if code_of(cause) in _RETRYABLE_SQLSTATES or mariadb.number(cause) in mariadb.RETRYABLE:
        return True
    return any(word in str(cause) for word in _RETRYABLE_WORDS)


def is_lost(error: BaseException) -> bool:
    """True when the database cannot be reached (down, restarting, cut), or its server takes no writes.

    Such an error says nothing about the statement.
    """
    if isinstance(error, InterfaceError):
        return True
    if isinstance(error, InvalidRequestError):
        # SQLAlchemy's error for a connection that was invalidated inside its transaction.
        return "transaction" in str(error).lower()
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = code_of(error.orig)
    if state is not None and state.startswith(postgresql.LOST):
        return True
    number = mariadb.number(error.orig)
    if number is not None:
        return number in mariadb.LOST
    return isinstance(error, OperationalError) and state is None and not is_retryable(error)


def is_about_the_row(error: BaseException) -> bool:
    """True when the data was refused (a NUL, a value out of range), so that the same statement can never succeed.

    Other errors that are neither lost nor retryable (disk full, a timeout, a cancelled statement) say nothing about the
    row: the caller waits as for a database that is away.
    """
    if isinstance(error, DataError | IntegrityError):
        return True
    if not isinstance(error, DBAPIError):
        # A text that cannot be encoded as UTF-8 does not reach the driver.
        return isinstance(error, ValueError)
    if mariadb.number(error.orig) in mariadb.ABOUT_THE_ROW:
        return True
    return (code_of(error.orig) or "").startswith(("22", "23"))


class FifoLock:
    """A lock that serves in order of arrival; SQLite itself has no fair queue."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._held = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Waits until all earlier callers have released the lock, then holds it."""
        ticket = threading.Lock()
        with self._guard:
            if self._held:
                ticket.acquire()
                self._waiting.append(ticket)
            self._held = True
        # One that waits acquires its ticket a second time, when the caller before it releases the ticket.
        ticket.acquire()
        try:
            yield
        finally:
            with self._guard:
                if self._waiting:
                    self._waiting.popleft().release()
                else:
                    self._held = False


def sqlite_engine(url: str, **options: Any) -> Engine:
    """An SQLite engine that can share its file with the worker: WAL, synchronous FULL, BEGIN IMMEDIATE."""
    engine = create_engine(url, connect_args={"timeout": 15.0, "check_same_thread": False}, **options)
    engine.update_execution_options(**{_IMMEDIATE: True})

    @event.listens_for(engine, "do_connect")
    def _private_file(*_: Any) -> None:
        # SQLite would make it as the umask says, mostly readable for everyone; what it makes beside it has its rights.
        if (file := missing_file(url)) is not None:
            with suppress(OSError):  # SQLite says what is wrong with the place
                os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        # The driver must not begin transactions, because `_begin` does.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and then writes gets "database is locked" at once, whatever the timeout.
        chosen = connection.get_execution_options()
        if chosen.get(_IMMEDIATE) and chosen.get("isolation_level") != "AUTOCOMMIT":
            with translated(connection):
                connection.connection.cursor().execute("BEGIN IMMEDIATE")

    return engine


def _with_small_caches(engine: Engine) -> Engine:
    """The engine with a cache of 1 MiB for each connection: a process has many, and the system caches the file once."""

    @event.listens_for(engine, "connect")
    def _pragma(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA cache_size=-1024")

    return engine


def missing_file(url: str) -> Path | None:
    """The SQLite file of a URL when it does not exist but its folder does: connecting would create it. Else None."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # `make_engine` reports a wrong URL.
        return None
    name = parsed.database or ":memory:"
    if "uri" in parsed.query:
        # The name is a URI of SQLite's own form: file:worker.db, file:///srv/worker.db.
        name = ":memory:" if parsed.query.get("mode") == "memory" else unquote(urlsplit(name).path)
    if parsed.get_backend_name() != "sqlite" or name == ":memory:":
        return None
    file = Path(name).absolute()
    return file if file.parent.is_dir() and not file.exists() else None


def make_engine(url: str, *, pool_size: int = 8) -> Engine:
    """An engine for one of the supported databases; a wrong URL or a missing driver is a ConfigurationError."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise ConfigurationError("database: not a database URL; use postgresql+psycopg://, sqlite:///") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _with_small_caches(sqlite_engine(url))
    if backend not in _DRIVERS:
        raise unsupported(backend)
    extra, driver = _DRIVERS[backend]
    if parsed.drivername.startswith("mariadb"):
        # The same dialect, so that the rest of the code meets one name for it.
        parsed = parsed.set(drivername=parsed.drivername.replace("mariadb", "mysql", 1))
    if "+" not in parsed.drivername:
        parsed = parsed.set(drivername=f"{parsed.drivername}+{driver}")
    try:
        if backend != "postgresql":
            return mariadb.mariadb_engine(parsed, pool_size=pool_size)
        return postgresql.postgres_engine(parsed, pool_size=pool_size)
    except ImportError:
        raise ConfigurationError(
            f"database: the driver of {parsed.drivername} is not installed;"
            f" run `pip install 'im-delivery-worker[{extra}]'` and use {backend}+{driver}://"
        ) from None
    except NoSuchModuleError:
        raise ConfigurationError(
            f"database: there is no driver {parsed.drivername}; use {backend}+{driver}://"
        ) from None


_DRIVERS = {
    "postgresql": ("postgres", "psycopg"),
    "mysql": ("mysql", "pymysql"),
    "mariadb": ("mysql", "pymysql"),
}
"""Backend -> the extra to install, and its driver, which is used where the URL names none."""


class Database:
    """One process's access to the outbox: short transactions, retried when the database asks for it."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: SqlClock | None = None,
        rng: random.Random | None = None,
        pause: Callable[[float], None] = time.sleep,
    ):
        self.engine = engine
        self.dialect = dialect_of(engine)
        self._writer, self._reader = ours(engine), ours(_reader_of(engine))
        self.use_clock(clock or DatabaseClock())
        self._pools = (engine, self._reader) if self._reader.pool is not engine.pool else (engine,)
        for pool in self._pools:
            # The idle ones are lost too, or lead to the same server that takes no writes: each would cost an error.
            event.listen(pool, "invalidate", lambda *_: self._drop_connections())
        self._fifo = FifoLock() if self.has_one_writer else None
        self._can_pipeline = engine.dialect.driver == "psycopg"
        self._rng = rng or random.Random()
        self._pause = pause

    def use_clock(self, clock: SqlClock) -> None:
        """Gives a clock to all connections that are made from now on."""
        self.clock = clock
        for engine in (self.engine, self._writer, self._reader):
            engine.update_execution_options(**{CLOCK_OPTION: clock})

    @property
    def has_one_writer(self) -> bool:
        """True where transactions that write go one after another, in all processes together (SQLite)."""
        return self.dialect.has_one_writer

    @property
    def now(self) -> str:
        """The SQL expression of the clock, for this database."""
        return self.clock.now(self.dialect)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for single reads; each statement is a transaction of its own."""
        with self._reader.connect() as connection, translated(connection):
            yield connection

    @contextmanager
    def reading_for(self, seconds: float) -> Iterator[Connection]:
        """A connection for the reads of a page, on which a statement that takes longer is ended."""
        with self.reading() as connection, self.dialect.limited(connection, seconds):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, committed at the end; on SQLite in order of arrival."""
        # SQLite lets waiting writers in by chance, so that one of this process's threads could wait for very long.
        turn: AbstractContextManager[None] = self._fifo.held() if self._fifo else nullcontext()
        with turn, self._writer.begin() as connection, translated(connection):
            yield connection

    @contextmanager
    def _pipelined(self) -> Iterator[Connection]:
        """One transaction whose writes are sent without waiting for each answer."""
        with self._reader.connect() as connection, translated(connection), pipeline(connection):
            yield connection

    def run(self, work: Callable[[Connection], T], *, tries: int = 8, pipelined: bool = False) -> T:
        """Runs a transaction, and again with jitter when the database asks for it (deadlock, serialization, busy).

        `pipelined` work uses only `outbox.engine.sql`: its writes are sent without waiting for each answer.
        """
        for attempt in range(1, tries + 1):
            try:
                with self._pipelined() if pipelined and self._can_pipeline else self.writing() as connection:
                    return work(connection)
            except (DBAPIError, RetryTransaction) as error:
                if attempt == tries or not (isinstance(error, RetryTransaction) or is_retryable(error)):
                    raise
                self._pause(self._rng.uniform(0, 0.01 * 2**attempt))
        raise AssertionError("unreachable")  # pragma: no cover

    def read_now(self) -> int:
        """The database's clock, read once."""
        with self.reading() as connection:
            return read_now(connection, self.now)

    def close(self) -> None:
        """Closes every connection."""
        self._drop_connections()

    def _drop_connections(self) -> None:
        for engine in self._pools:
            engine.dispose()


def _reader_of(engine: Engine) -> Engine:
    """The engine for single reads, on which each statement is a transaction of its own."""
    if dialect_of(engine) is MARIADB:
        return mariadb.reading_engine(engine)
    if engine.get_execution_options().get(_IMMEDIATE):
        # Switching autocommit on and off takes as long as a small read.
        return engine.execution_options(**{_IMMEDIATE: False})
    return engine.execution_options(isolation_level="AUTOCOMMIT")
