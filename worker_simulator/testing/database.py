"""The outbox of a test: a file of its own, or the application's engine, connection or session with its transaction."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from worker.domain.errors import ConfigurationError
from worker.language import with_chinese_note
from worker.outbox.engine.clock import SqlClock
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.migrate import upgrade
from worker_simulator.testing.tables import BoundDatabase, copy_tables, has_tables

STILL_OPEN = (
    "the outbox is locked by a transaction of the test or the application; commit or close it before deliver() and its"
    " like, or give the kit your session: see `outbox_bind` in docs/testing.md"
)
MISSING_TABLES = (
    "the tables of the outbox are missing from the database of `outbox_bind`; run `worker db upgrade`, or your own"
    " migrations, where the test database is made"
)


@cache
def _template() -> Path:
    """Returns a migrated file that tests copy. It is made once a run."""
    folder = Path(mkdtemp(prefix="outbox-"))
    # Not a TemporaryDirectory, which warns when it is not closed: a run whose warnings are errors ended with one.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "template.db"
    make_template(path)
    return path


def make_template(path: Path) -> None:
    """Makes a migrated outbox in a single file, so that it can be copied."""
    engine = make_engine(f"sqlite:///{path}")
    upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("commit")
        connection.exec_driver_sql("pragma wal_checkpoint(truncate)")
    engine.dispose()


def own_engine(folder: Path) -> Engine:
    """Returns the engine of a new outbox in a file of its own. It need not survive a crash."""
    path = folder / "outbox.db"
    shutil.copyfile(_template(), path)
    engine = make_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.execute("pragma synchronous=off")
        # All that could hold a lock is in this process, and waits for us to return.
        connection.execute("pragma busy_timeout=0")

    return engine


def still_open(seconds: float) -> None:
    """Raises where the worker would wait for a lock that only the test itself can release."""
    raise with_chinese_note(AssertionError(STILL_OPEN))


@contextmanager
def open_database(bind: Any, clock: SqlClock) -> Iterator[Database]:
    """Opens the outbox of a bind: an engine, a connection, or a session that is bound to one of them."""
    target = _unwrapped(bind)
    if isinstance(target, Engine) and not isinstance(target.pool, StaticPool | SingletonThreadPool):
        # By itself, for the application may have a transaction open.
        with target.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            exists = has_tables(connection)
        if not exists:
            upgrade(target)
        yield _shared(target, clock)
    elif isinstance(target, Engine):
        # Of a database in memory there is one connection.
        with target.connect() as connection:
            yield _bound(connection, clock)
    else:
        yield _bound(target, clock)


_DATABASES = WeakValueDictionary[int, Database]()
"""Engine's id -> its outbox. It lives as long as the engine's pool, because it listens to that."""


def _shared(engine: Engine, clock: SqlClock) -> Database:
    """Returns the outbox on an engine. All tests share it except for its clock, so that no test leaves a listener."""
    database = _DATABASES.get(id(engine))
    if database is None:
        database = _DATABASES[id(engine)] = Database(engine, pause=still_open)
    copied = copy(database)
    copied.clock = clock
    return copied


def makes_tables(bind: Any) -> bool:
    """True if the kit creates missing tables in the database of a connection or session."""
    return dialect_of(_unwrapped(bind)).has_one_writer


def _unwrapped(bind: Any) -> Engine | Connection:
    """Returns the engine or connection of a bind. Asynchronous ones wrap one that is not."""
    if isinstance(bind, scoped_session):
        bind = bind()
    session = getattr(bind, "sync_session", bind)
    target = session.get_bind() if isinstance(session, Session) else session
    target = getattr(target, "sync_connection", None) or getattr(target, "sync_engine", target)
    if not isinstance(target, Engine | Connection):
        raise ConfigurationError(f"outbox_bind: takes an engine, a connection or a session, not {type(bind).__name__}")
    return target


def _bound(connection: Connection, clock: SqlClock) -> Database:
    database = BoundDatabase(connection, clock)
    with database.reading():
        exists = has_tables(connection)
    if not exists:
        _make_tables(database, connection)
    return database


def _make_tables(database: Database, connection: Connection) -> None:
    if not dialect_of(connection).has_one_writer:
        raise ConfigurationError(MISSING_TABLES)
    source = make_engine(f"sqlite:///{_template()}")
    with source.connect() as template, database.writing():
        copy_tables(template, connection)
    source.dispose()
