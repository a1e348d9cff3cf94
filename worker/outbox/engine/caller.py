"""Makes functions that applications can call with any SQLAlchemy session or connection, synchronous or asynchronous.

A function of a plain `Connection` becomes a function that accepts all of them and works in the caller's transaction: it
commits nothing, flushes nothing and makes no savepoint. With an asynchronous session or connection the call returns a
coroutine of the function's name; if that is never awaited, the commit of its session or connection fails. A database
error is raised without the statement's values, because the application may log it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event
from sqlalchemy.exc import PendingRollbackError, StatementError, UnboundExecutionError

from worker.domain.errors import ConfigurationError, RetryTransaction, WorkerError
from worker.outbox.engine.database import is_retryable
from worker.outbox.engine.error_text import ABORTED, FILE_LOCKED, MISSING_TABLES, remedy_of, without_values
from worker.outbox.engine.sql import sqlalchemy_errors

if TYPE_CHECKING:
    from types import CoroutineType

    # These are slow to import, and the asynchronous ones need greenlet, which only asynchronous applications install.
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, SessionTransaction, scoped_session

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

SyncCaller: TypeAlias = "Session | Connection | scoped_session[Session]"
AsyncCaller: TypeAlias = "AsyncSession | AsyncConnection | async_scoped_session[AsyncSession]"
_ANNOTATION = "Session | Connection | AsyncSession | AsyncConnection"


class InCallersTransaction(Protocol[P, R]):
    """The type of a function that accepts any of the caller's sessions or connections."""

    __name__: str

    @overload
    def __call__(self, session: SyncCaller, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    @overload
    def __call__(self, session: AsyncCaller, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...


def in_callers_transaction(work: Callable[Concatenate[Connection, P], R]) -> InCallersTransaction[P, R]:
    """Makes a function of a connection accept the caller's session.

    The function raises ConfigurationError if the caller's connection commits every statement by itself.
    """

    @wraps(work)
    def transactional(connection: Connection, /, *args: P.args, **kwargs: P.kwargs) -> R:
        # With autocommit, an error could leave half a job in the database.
        _require_transaction(connection)
        return work(connection, *args, **kwargs)

    return on_callers_connection(transactional)


def on_callers_connection(work: Callable[Concatenate[Connection, P], R]) -> InCallersTransaction[P, R]:
    """Makes a function of a connection that only reads accept the caller's session. It needs no transaction."""

    @wraps(work)
    def wrapper(session: Any, /, *args: Any, **kwargs: Any) -> Any:
        def call(sync_session: Session | Connection) -> R:
            try:
                connection = _connection(sync_session)
                with sqlalchemy_errors(connection):
                    return work(connection, *args, **kwargs)
            except StatementError as error:
                clean_error = _clean_error(error)
            # Raised outside the handler: the driver's error, if chained, would show the message and its recipients.
            raise clean_error

        if isinstance(session, Connection):
            return call(session)
        if (sync := _session_of(session, "sqlalchemy.orm", "scoped_session", "Session")) is not None:
            return call(sync)
        if (asynchronous := _session_of(session, "sqlalchemy.ext.asyncio", *_ASYNC_CLASSES)) is not None:
            return run_awaited(asynchronous, work.__name__, call)
        session_type = type(session).__name__
        raise ConfigurationError(
            f"{work.__name__} takes an SQLAlchemy Session, Connection, AsyncSession or AsyncConnection first, "
            f"not {session_type}"
        )

    # For `help()`: the first parameter is the caller's session, not the connection that `work` gets.
    signature = inspect.signature(work)
    first, *parameters = signature.parameters.values()
    session = first.replace(name="session", kind=first.POSITIONAL_ONLY, annotation=_ANNOTATION)
    wrapper.__signature__ = signature.replace(parameters=[session, *parameters])  # type: ignore[attr-defined]
    return cast("InCallersTransaction[P, R]", wrapper)


_unawaited: WeakKeyDictionary[Session | Connection, list[str]] = WeakKeyDictionary()
"""The functions that were called and have not ended, by the synchronous session or connection of the caller's."""


def run_awaited(session: Any, name: str, call: Callable[[Any], R]) -> Coroutine[Any, Any, R]:
    """Returns a coroutine of this name that runs `call` with the synchronous session or connection.

    Until it has ended, a commit of the session or connection raises WorkerError: without the `await`, the caller
    would commit a transaction in which the function has done nothing, or not all.
    """
    sync: Session | Connection | None = getattr(session, "sync_session", None) or session.sync_connection
    # No lists: a closed connection, which says so when it is used. Two: a session whose commit may leave its
    # transaction to the connection that it is bound to.
    bind = getattr(sync, "bind", None)
    watched = [_watched(one) for one in (sync, bind if isinstance(bind, Connection) else None) if one is not None]

    async def run() -> R:
        try:
            return cast("R", await session.run_sync(call))
        finally:
            for names in watched:
                if name in names:  # no longer, after a rollback
                    names.remove(name)

    for names in watched:
        names.append(name)
    coroutine = cast("CoroutineType[Any, Any, R]", run())
    coroutine.__name__ = coroutine.__qualname__ = name  # Python's own warning tells it
    return coroutine


def _watched(sync: Session | Connection) -> list[str]:
    """Returns the list of its functions that have not ended. Its first call makes a commit look at the list."""
    names = _unawaited.get(sync)
    if names is not None:
        return names
    names = _unawaited[sync] = []
    if isinstance(sync, Connection):
        event.listen(sync, "commit", partial(_require_awaited, names))
        event.listen(sync, "rollback", lambda _: names.clear())
        # Where the forgotten call would have been the first, no transaction was begun, and no event tells of a commit.
        sync.commit = partial(_commit, names, sync)  # type: ignore[method-assign]
    else:
        event.listen(sync, "before_commit", partial(_require_awaited, names))
        # Not after_rollback, which a savepoint has as well: what was forgotten before it is still not there.
        event.listen(sync, "after_transaction_end", partial(_forget, names))
    return names


def _commit(names: list[str], sync: Connection) -> None:
    _require_awaited(names, sync)
    Connection.commit(sync)


def _forget(names: list[str], _: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        names.clear()


def _require_awaited(names: list[str], sync: Session | Connection) -> None:
    if not names:
        return
    if isinstance(sync, Connection) and sync.in_transaction():
        sync.connection.rollback()  # SQLAlchemy takes a commit that raised for one that ended, and rolls nothing back
    name = names[0]
    raise WorkerError(
        f"{name}(...) was called without await, so this transaction may lack what it does, and is not committed; "
        f"write await {name}(...)"
    )


def _clean_error(error: StatementError) -> Exception:
    """Returns the error to raise for a database error, without the message and its recipients."""
    if remedy_of(error) == MISSING_TABLES:
        return ConfigurationError(f"database: {MISSING_TABLES}")
    if remedy_of(error) == ABORTED:
        return WorkerError(ABORTED)
    clean = without_values(error)
    if not is_retryable(error):
        return clean.with_traceback(error.__traceback__)
    if remedy_of(error) == FILE_LOCKED:
        retry = RetryTransaction(LOCKED_FILE)
    else:
        retry = RetryTransaction(
            "the database asks to run the transaction again; roll back and repeat it from its start"
        )
    retry.__cause__ = clean
    return retry


_ASYNC_CLASSES = ("async_scoped_session", "AsyncSession", "AsyncConnection")


def _session_of(session: Any, module_name: str, scoped: str, *classes: str) -> Any:
    """Returns the session if it is of these classes, or a scoped session's current one. Returns None otherwise."""
    # Not imported here: a caller with such a session has imported the module.
    module = sys.modules.get(module_name)
    if module is None:
        return None
    if isinstance(session, getattr(module, scoped)):
        return session()
    return session if isinstance(session, tuple(getattr(module, name) for name in classes)) else None


def _connection(session: Session | Connection) -> Connection:
    """Returns the caller's connection. Unlike `Session.execute`, this does not flush the session."""
    if isinstance(session, Connection):
        return session
    try:
        return session.connection()
    except UnboundExecutionError as error:
        raise ConfigurationError(NO_BIND) from error
    except PendingRollbackError:
        # Its text is that of the first error, with the statement and its values.
        raise WorkerError(ABORTED) from None


LOCKED_FILE = (
    "the SQLite file stayed locked; roll back and run the transaction again. An engine of worker.sqlite_engine(url)"
    " waits for its turn, a plain one does not"
)
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
        if _sqlite_is_autocommit(connection):
            raise ConfigurationError(NO_BEGIN)
    elif _is_autocommit(connection):
        raise ConfigurationError(NO_TRANSACTION)


def _sqlite_is_autocommit(connection: Connection) -> bool:
    """Returns whether no transaction is open and the driver does not begin one before a write."""
    if not connection.in_transaction():
        # As before the first statement, this sends the BEGIN of the engine's own event listener, if it has one.
        connection.begin()
    driver: Any = connection.connection.driver_connection
    never_begins = driver.isolation_level is None or getattr(driver, "autocommit", None) is True
    return never_begins and not driver.in_transaction


def _is_autocommit(connection: Connection) -> bool:
    """Returns whether the connection is in autocommit mode. The driver knows it without a round trip."""
    # SQLAlchemy has `detect_autocommit_setting` for this, but only since 2.0.43.
    get_autocommit = getattr(connection.connection.driver_connection, "get_autocommit", None)
    if get_autocommit:
        return bool(get_autocommit())
    return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))
