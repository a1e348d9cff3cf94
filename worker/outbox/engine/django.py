"""A session on Django's own connection: a job is enqueued in the transaction that Django has open, and ends with it.

Django begins, commits and rolls back; SQLAlchemy only sends statements, and savepoints inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, StaticPool, create_engine
from sqlalchemy.orm import Session

from worker.domain.errors import ConfigurationError
from worker.outbox.engine.dialect import unsupported

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+{}", "mysql": "mysql+mysqldb"}
"""Django's vendor -> SQLAlchemy's dialect and driver; of PostgreSQL Django takes the newest that is installed."""
NO_ATOMIC = (
    "no transaction of Django is open on {!r}: what is enqueued would be committed by itself; use the session inside"
    " `with transaction.atomic():`, or set ATOMIC_REQUESTS"
)
_engines: WeakKeyDictionary[Any, tuple[Any, Engine]] = WeakKeyDictionary()
"""Django's object of a connection, one for each thread -> the driver's connection in it, and the engine on that."""


@contextmanager
def django_session(using: str = "default") -> Iterator[Session]:
    """A session in Django's open transaction on the database `using`, whose tables hold the outbox.

    An exception inside takes back what was done in the session, and is raised. ConfigurationError where Django has no
    transaction open.
    """
    from django.db import connections

    held = connections[using]
    if not held.in_atomic_block:
        raise ConfigurationError(NO_ATOMIC.format(using))
    held.ensure_connection()
    with (
        _engine_on(held).connect() as connection,
        connection.begin(),
        # A savepoint, so that a rollback of the session is one although Django's transaction goes on.
        Session(connection, join_transaction_mode="create_savepoint") as session,
        session.begin(),
    ):
        yield session


def _engine_on(held: Any) -> Engine:
    """The engine on the driver's connection that Django holds now; it closes idle ones and makes others."""
    raw, engine = _engines.get(held, (None, None))
    if engine is None or raw is not held.connection:
        raw = held.connection
        engine = _made(held, raw)
        _engines[held] = (raw, engine)
    return engine


def _made(held: Any, raw: Any) -> Engine:
    driver = _DRIVERS.get(held.vendor)
    if driver is None:
        raise unsupported(held.vendor)
    url = f"{driver.format(type(raw).__module__.partition('.')[0])}://"
    engine = create_engine(url, creator=lambda: raw, poolclass=StaticPool, pool_reset_on_return=None)
    for name in ("do_begin", "do_commit", "do_rollback"):
        setattr(engine.dialect, name, _left_to_django)
    return engine


def _left_to_django(raw: Any) -> None:
    """Neither begins nor ends the transaction."""
