"""The caller's session, connection or asynchronous session: the one module that knows their differences.

A function written for a plain `Connection` becomes one that takes any of them and works in the caller's transaction:
nothing is committed, nothing flushed, no savepoint made. With an asynchronous session the call returns an awaitable.
A database error is raised without the statement's values, because it may be written to the application's log.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

from sqlalchemy import Connection
from sqlalchemy.exc import StatementError, UnboundExecutionError

from worker.domain.errors import ConfigurationError, RetryTransaction
from worker.outbox.engine.database import is_retryable
from worker.outbox.engine.error_text import MISSING_TABLES, remedy_of, without_values
from worker.outbox.engine.sql import translated

if TYPE_CHECKING:
    # Take a while to load, and the asynchronous ones need greenlet, which only asynchronous applications install.
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

SyncCaller: TypeAlias = "Session | Connection | scoped_session[Session]"
AsyncCaller: TypeAlias = "AsyncSession | AsyncConnection | async_scoped_session[AsyncSession]"
_SHOWN = "Session | Connection | AsyncSession | AsyncConnection"


class InCallersTransaction(Protocol[P, R]):
    """A function of a connection that can be called with any of the caller's sessions or connections."""

    __name__: str

    @overload
    def __call__(self, session: SyncCaller, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    @overload
    def __call__(self, session: AsyncCaller, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]: ...


def in_callers_transaction(work: Callable[Concatenate[Connection, P], R]) -> InCallersTransaction[P, R]:
    """Makes a function of a connection take the caller's session."""

    @wraps(work)
    def whole(connection: Connection, /, *args: P.args, **kwargs: P.kwargs) -> R:
        # On a connection that commits each statement by itself, half a job could be stored.
        _require_transaction(connection)
        return work(connection, *args, **kwargs)

    return on_callers_connection(whole)


def on_callers_connection(work: Callable[Concatenate[Connection, P], R]) -> InCallersTransaction[P, R]:
    """The same for a function that only reads, which needs no transaction."""

    @wraps(work)
    def door(session: Any, /, *args: Any, **kwargs: Any) -> Any:
        def inside(sync: Session | Connection) -> R:
            try:
                connection = _connection(sync)
                with translated(connection):
                    return work(connection, *args, **kwargs)
            except StatementError as error:
                told = _told(error)
            # Raised outside the handler: a chained driver's error would still show the message and its recipients.
            raise told

        if isinstance(session, Connection):
            return inside(session)
        if (own := _taken(session, "sqlalchemy.orm", "scoped_session", "Session")) is not None:
            return inside(own)
        if (own := _taken(session, "sqlalchemy.ext.asyncio", "async_scoped_session", *_ASYNCHRONOUS)) is not None:
            return own.run_sync(inside)
        raise ConfigurationError(
            f"{work.__name__} takes an SQLAlchemy Session, Connection, AsyncSession or AsyncConnection first, "
            f"not {type(session).__name__}"
        )

    # For `help()`: what callers give is their session, not the connection that the function gets.
    inner = inspect.signature(work)
    first, *others = inner.parameters.values()
    session = first.replace(name="session", kind=first.POSITIONAL_ONLY, annotation=_SHOWN)
    door.__signature__ = inner.replace(parameters=[session, *others])  # type: ignore[attr-defined]
    return cast("InCallersTransaction[P, R]", door)


def _told(error: StatementError) -> Exception:
    """The error that the caller gets for a database error, without the message and its recipients."""
    if remedy_of(error) == MISSING_TABLES:
        return ConfigurationError(f"database: {MISSING_TABLES}")
    clean = without_values(error)
    if not is_retryable(error):
        return clean.with_traceback(error.__traceback__)
    again = RetryTransaction("the database asks to run the transaction again; roll back and repeat it from its start")
    again.__cause__ = clean
    return again


_ASYNCHRONOUS = ("AsyncSession", "AsyncConnection")


def _taken(session: Any, module: str, scoped: str, *classes: str) -> Any:
    """The session, or the current one of a scoped session, if it is of these classes; None for anything else."""
    # Not imported here: a caller with such a session has loaded the module.
    found = sys.modules.get(module)
    if found is None:
        return None
    if isinstance(session, getattr(found, scoped)):
        return session()
    return session if isinstance(session, tuple(getattr(found, name) for name in classes)) else None


def _connection(session: Session | Connection) -> Connection:
    """The caller's connection, taken without the autoflush of `Session.execute`."""
    if isinstance(session, Connection):
        return session
    try:
        return session.connection()
    except UnboundExecutionError as error:
        raise ConfigurationError(NO_BIND) from error


NO_BIND = (
    "the session does not say which database is meant; give"
    ' session.connection(bind_arguments={"bind": ENGINE}) with the outbox\'s engine in place of the session'
)
NO_TRANSACTION = (
    "the connection commits every statement by itself (AUTOCOMMIT), so half a job could be stored; use one with"
    ' transactions: leave isolation_level="AUTOCOMMIT" and the driver\'s own autocommit away, or give'
    ' engine.execution_options(isolation_level="READ COMMITTED")'
)
NO_BEGIN = (
    "the connection commits every statement by itself (AUTOCOMMIT, or isolation_level=None without a BEGIN), so half a"
    " job could be stored; use worker.sqlite_engine(url), or begin transactions as it does"
)


def _require_transaction(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        if _sqlite_has_none(connection):
            raise ConfigurationError(NO_BEGIN)
    elif _commits_by_itself(connection):
        raise ConfigurationError(NO_TRANSACTION)


def _sqlite_has_none(connection: Connection) -> bool:
    """Whether no transaction is open although the driver does not begin one by itself before a write."""
    if not connection.in_transaction():
        # As the first statement would: this sends the engine's own BEGIN, if it has one.
        connection.begin()
    driver: Any = connection.connection.driver_connection
    told_not_to = driver.isolation_level is None or getattr(driver, "autocommit", None) is True
    return told_not_to and not driver.in_transaction


def _commits_by_itself(connection: Connection) -> bool:
    """Whether the connection is in autocommit, as its driver knows without a round trip."""
    # SQLAlchemy asks it by `detect_autocommit_setting`, but only since 2.0.43.
    ask = getattr(connection.connection.driver_connection, "get_autocommit", None)
    return bool(ask() if ask else getattr(connection.connection.dbapi_connection, "autocommit", False))
