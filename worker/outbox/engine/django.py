"""A SQLAlchemy session on Django's own connection, so that a job is enqueued in Django's open transaction.

Django begins the transaction, commits it and rolls it back. SQLAlchemy only sends statements and savepoints in it.
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
"""Django's vendor -> SQLAlchemy's dialect and driver. For PostgreSQL, Django uses psycopg 3 if installed, else 2."""
NO_ATOMIC = (
    "no transaction of Django is open on {!r}: what is enqueued would be committed by itself; use the session inside"
    " `with transaction.atomic():`, or set ATOMIC_REQUESTS"
)
_engines: WeakKeyDictionary[Any, tuple[Any, Engine]] = WeakKeyDictionary()
"""Django's connection object, one per thread -> the driver's connection in it, and the engine on that connection."""


@contextmanager
def django_session(using: str = "default") -> Iterator[Session]:
    """Opens a session in Django's open transaction on the database `using`, which has the outbox's tables.

    An exception inside rolls back what the session did, and is raised; Django's transaction stays open. Raises
    ConfigurationError if Django has no transaction open.
    """
    from django.db import connections

    django_connection = connections[using]
    if not django_connection.in_atomic_block:
        raise ConfigurationError(NO_ATOMIC.format(using))
    django_connection.ensure_connection()
    with (
        _engine_on(django_connection).connect() as connection,
        connection.begin(),
        # A savepoint, so that the session can be rolled back while Django's transaction stays open.
        Session(connection, join_transaction_mode="create_savepoint") as session,
        session.begin(),
    ):
        yield session


def _engine_on(django_connection: Any) -> Engine:
    """Returns the engine on Django's current driver connection. Django closes idle connections and opens new ones."""
    driver_connection, engine = _engines.get(django_connection, (None, None))
    if engine is None or driver_connection is not django_connection.connection:
        driver_connection = django_connection.connection
        engine = _make_engine(django_connection.vendor, driver_connection)
        _engines[django_connection] = (driver_connection, engine)
    return engine


def _make_engine(vendor: str, driver_connection: Any) -> Engine:
    driver = _DRIVERS.get(vendor)
    if driver is None:
        raise unsupported(vendor)
    url = f"{driver.format(type(driver_connection).__module__.partition('.')[0])}://"
    engine = create_engine(url, creator=lambda: driver_connection, poolclass=StaticPool, pool_reset_on_return=None)
    for name in ("do_begin", "do_commit", "do_rollback"):
        setattr(engine.dialect, name, _do_nothing)
    return engine


def _do_nothing(driver_connection: Any) -> None:
    """Leaves the begin and the end of the transaction to Django."""
