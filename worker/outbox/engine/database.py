"""Makes engines, opens transactions, and repeats a transaction if the database asks for it.

Also groups database errors: retryable, database unavailable, or wrong data.
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
    SQLAlchemyError,
)

from worker.domain.errors import ConfigurationError, RetryTransaction, WorkerError
from worker.outbox.engine import mariadb, postgresql
from worker.outbox.engine.clock import CLOCK_OPTION, DatabaseClock, SqlClock
from worker.outbox.engine.dialect import MARIADB, dialect_of, unsupported
from worker.outbox.engine.error_text import sqlstate_of
from worker.outbox.engine.sql import pipeline, read_now, sqlalchemy_errors, use_driver_cursor

T = TypeVar("T")

_IMMEDIATE = "worker_begin_immediate"
"""Execution option of an SQLite engine: its connections begin transactions. Otherwise each statement is one."""
# PostgreSQL: serialization failure, deadlock. MariaDB has numbers (`mariadb.RETRYABLE`), SQLite only messages.
_RETRYABLE_SQLSTATES = frozenset({"40001", "40P01"})
_DAMAGED = "XX"
"""The class of PostgreSQL's states for an internal error, such as a damaged row."""
_RETRYABLE_MESSAGES = ("database is locked", "database table is locked")


def is_retryable(error: BaseException) -> bool:
    """Returns whether the transaction should be repeated (deadlock, serialization failure, database busy)."""
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    if sqlstate_of(cause) in _RETRYABLE_SQLSTATES or mariadb.error_number(cause) in mariadb.RETRYABLE:
        return True
    return any(message in str(cause) for message in _RETRYABLE_MESSAGES)


def is_unavailable(error: BaseException) -> bool:
    """Returns whether the database cannot be reached (down, restarting, connection broken) or is read-only.

    Such an error is not the statement's fault.
    """
    if isinstance(error, InterfaceError):
        return True
    if isinstance(error, InvalidRequestError):
        # SQLAlchemy's error for a connection that was invalidated during its transaction.
        return "transaction" in str(error).lower()
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = sqlstate_of(error.orig)
    if state is not None and state.startswith(postgresql.UNAVAILABLE):
        return True
    number = mariadb.error_number(error.orig)
    if number is not None:
        return number in mariadb.UNAVAILABLE
    return isinstance(error, OperationalError) and state is None and not is_retryable(error)


def is_data_error(error: BaseException) -> bool:
    """Returns whether the database refused the data (a NUL, a value out of range), so a repeat would fail too.

    Other errors that are not retryable either, such as a full disk, a timeout or a cancelled statement, are not the
    data's fault: the caller waits, as for a database that is unavailable.
    """
    if isinstance(error, DataError | IntegrityError):
        return True
    if not isinstance(error, DBAPIError):
        # A text that cannot be encoded as UTF-8 fails before it reaches the driver.
        return isinstance(error, ValueError)
    if mariadb.error_number(error.orig) in mariadb.DATA_ERRORS:
        return True
    return (sqlstate_of(error.orig) or "").startswith(("22", "23"))


def is_about_rows(error: BaseException) -> bool:
    """Returns whether a read may have failed because of one of its rows, so that the other rows can still be read.

    Its bytes are damaged or no text in the connection's encoding, or Python cannot make sense of its values.
    """
    if isinstance(error, DBAPIError):
        return is_data_error(error) or (sqlstate_of(error.orig) or "").startswith(_DAMAGED)
    return isinstance(error, Exception) and not isinstance(error, SQLAlchemyError | WorkerError | OSError)


def error_name(error: BaseException) -> str:
    """Returns the class of an error; the driver's own where SQLAlchemy's says less."""
    return type(error.orig if isinstance(error, DBAPIError) and error.orig else error).__name__


class FifoLock:
    """A lock that waiting threads get in order of arrival. SQLite lets waiting writers in at random."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_locked = False

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Waits until all earlier callers have released the lock, then locks it for the block."""
        ticket = threading.Lock()
        with self._guard:
            if self._is_locked:
                ticket.acquire()
                self._waiting.append(ticket)
            self._is_locked = True
        # A waiting thread acquires its ticket a second time, once the thread before it releases the ticket.
        ticket.acquire()
        try:
            yield
        finally:
            with self._guard:
                if self._waiting:
                    self._waiting.popleft().release()
                else:
                    self._is_locked = False


def sqlite_engine(url: str, **options: Any) -> Engine:
    """Returns an SQLite engine that can share its file with the worker: WAL, synchronous FULL, BEGIN IMMEDIATE.

    Raises ConfigurationError for what is not a URL of SQLite.
    """
    try:
        driver = make_url(url).drivername
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError("sqlite_engine takes a URL; write sqlite:///outbox.db") from error
    if driver not in ("sqlite", "sqlite+pysqlite"):
        raise ConfigurationError(f"sqlite_engine takes a URL of SQLite, not of {driver}; use create_engine for others")
    engine = create_engine(url, connect_args={"timeout": 15.0, "check_same_thread": False}, **options)
    engine.update_execution_options(**{_IMMEDIATE: True})

    @event.listens_for(engine, "do_connect")
    def _create_private_file(*_: Any) -> None:
        # SQLite would create it readable for everyone with most umasks. Its further files get the same permissions.
        if (file := missing_file(url)) is not None:
            with suppress(OSError):  # SQLite itself reports what is wrong with the path
                os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))

    @event.listens_for(engine, "connect")
    def _set_pragmas(connection: Any, _record: Any) -> None:
        # The driver must not begin transactions, because `_begin` does.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that reads and then writes fails with "database is locked" at once, without a timeout.
        options = connection.get_execution_options()
        if options.get(_IMMEDIATE) and options.get("isolation_level") != "AUTOCOMMIT":
            with sqlalchemy_errors(connection):
                connection.connection.cursor().execute("BEGIN IMMEDIATE")

    return engine


def _for_a_worker(engine: Engine) -> Engine:
    """Sets up the worker's own connections: each with a cache of 1 MiB, for the system caches the file anyway."""

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA cache_size=-1024")
        # The driver would raise an error that looks like an outage, for all rows that are read together.
        connection.text_factory = _text_of

    return engine


def _text_of(stored: bytes) -> str:
    """Returns a text of SQLite. One that is no UTF-8 is readable, but no JSON, so that no damaged message is sent."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return f"\ufffd{stored.decode(errors='replace')}"


def missing_file(url: str) -> Path | None:
    """Returns a URL's SQLite file if connecting would create it: its folder exists, the file does not. Else None."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # `make_engine` reports a wrong URL.
        return None
    name = parsed.database or ":memory:"
    if "uri" in parsed.query:
        # The name is a URI as SQLite defines it: file:worker.db, file:///srv/worker.db.
        name = ":memory:" if parsed.query.get("mode") == "memory" else unquote(urlsplit(name).path)
    if parsed.get_backend_name() != "sqlite" or name == ":memory:":
        return None
    file = Path(name).absolute()
    return file if file.parent.is_dir() and not file.exists() else None


def make_engine(url: str, *, pool_size: int = 8) -> Engine:
    """Returns an engine for a database URL. Raises ConfigurationError for a wrong URL or a missing driver."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise ConfigurationError("database: not a database URL; use postgresql+psycopg://, sqlite:///") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _for_a_worker(sqlite_engine(url))
    if backend not in _DRIVERS:
        raise unsupported(backend)
    extra, driver = _DRIVERS[backend]
    if not parsed.database and backend != "postgresql":  # there it has the user's name
        raise ConfigurationError(f"database: its URL names no database; write {backend}+{driver}://user@host/name")
    if parsed.drivername.startswith("mariadb"):
        # The same dialect of SQLAlchemy, so that the rest of the code sees only one name.
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
            f" run `pip install 'PATH[{extra}]'`, with the PATH of the wheel or checkout, and use {backend}+{driver}://"
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
"""Backend -> the extra to install, and the driver to use if the URL names none."""


class Database:
    """The access of one process to the outbox: short reads, and transactions that are repeated if necessary."""

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
        self._writer, self._reader = use_driver_cursor(engine), use_driver_cursor(_reader_of(engine))
        self.use_clock(clock or DatabaseClock())
        self._pools = (engine, self._reader) if self._reader.pool is not engine.pool else (engine,)
        for pool in self._pools:
            # The idle connections are broken too, or lead to the same read-only server. Each would raise an error.
            event.listen(pool, "invalidate", lambda *_: self._drop_connections())
        self._fifo = FifoLock() if self.has_one_writer else None
        self._can_pipeline = engine.dialect.driver == "psycopg"
        self._rng = rng or random.Random()
        self._pause = pause

    def use_clock(self, clock: SqlClock) -> None:
        """Sets the clock of all connections that are opened from now on."""
        self.clock = clock
        for engine in (self.engine, self._writer, self._reader):
            engine.update_execution_options(**{CLOCK_OPTION: clock})

    @property
    def has_one_writer(self) -> bool:
        """True if only one transaction can write at a time, over all processes (SQLite)."""
        return self.dialect.has_one_writer

    @property
    def now(self) -> str:
        """The SQL expression of the clock for this database."""
        return self.clock.now(self.dialect)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Opens a connection for single reads, on which each statement is a transaction of its own."""
        with self._reader.connect() as connection, sqlalchemy_errors(connection):
            yield connection

    @contextmanager
    def reading_for(self, seconds: float) -> Iterator[Connection]:
        """Opens a connection for reads, on which the database cancels a statement that takes longer than `seconds`."""
        with self.reading() as connection, self.dialect.statement_timeout(connection, seconds):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Opens a transaction and commits it at the end. On SQLite, the threads of this process take turns."""
        # SQLite lets waiting writers in at random, so a thread could wait for very long.
        lock: AbstractContextManager[None] = self._fifo.acquire() if self._fifo else nullcontext()
        with lock, self._writer.begin() as connection, sqlalchemy_errors(connection):
            yield connection

    @contextmanager
    def _pipelined(self) -> Iterator[Connection]:
        """Opens a transaction whose writes do not wait for their answers, and commits it at the end."""
        with self._reader.connect() as connection, sqlalchemy_errors(connection), pipeline(connection):
            yield connection

    def run(self, work: Callable[[Connection], T], *, tries: int = 8, pipelined: bool = False) -> T:
        """Runs `work` in a transaction, and returns its result.

        Repeats it up to `tries` times, with growing random pauses, if the database asks for it (deadlock, serialization
        failure, busy) or `work` raises RetryTransaction. With `pipelined`, writes on PostgreSQL do not wait for their
        answers; `work` may then use only the functions of `outbox.engine.sql`.
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
        """Returns the database's current time in microseconds."""
        with self.reading() as connection:
            return read_now(connection, self.now)

    def close(self) -> None:
        """Closes all idle connections."""
        self._drop_connections()

    def _drop_connections(self) -> None:
        for engine in self._pools:
            engine.dispose()


def _reader_of(engine: Engine) -> Engine:
    """Returns the engine for single reads, on which each statement is a transaction of its own."""
    if dialect_of(engine) is MARIADB:
        return mariadb.reading_engine(engine)
    if engine.get_execution_options().get(_IMMEDIATE):
        # Switching autocommit on and off takes as long as a small read.
        return engine.execution_options(**{_IMMEDIATE: False})
    return engine.execution_options(isolation_level="AUTOCOMMIT")
