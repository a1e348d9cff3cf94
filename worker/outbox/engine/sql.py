"""Statements on the driver's own cursor, which saves the hot path SQLAlchemy's cost per statement (measured: a third).

One style of placeholder, `:name`, on every database. On PostgreSQL a transaction may be pipelined: writes are sent
without waiting for their answers, and only a fetch or the commit waits. Errors of the driver are translated where the
connection was taken (`Database`), so callers see SQLAlchemy's.

Only our own connections with a known driver are used so. A statement on any other connection goes through SQLAlchemy,
whatever its driver, so that producers and workers can share statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import TextClause

from worker.outbox.engine import mariadb, postgresql
from worker.outbox.engine.error_text import code_of

_PLACEHOLDER = re.compile(r"(?<!:):([a-z_][a-z_0-9]*)")
_NOTHING: Mapping[str, Any] = {}
_OURS = "worker_outbox"
_KNOWN_DRIVERS = frozenset({"psycopg", "pymysql", "pysqlite"})
"""Drivers whose placeholders `driver_sql` writes."""


def ours(engine: Engine) -> Engine:
    """The same engine and pool, whose connections are marked as our own."""
    return engine.execution_options(**{_OURS: engine.dialect.driver in _KNOWN_DRIVERS})


@lru_cache(maxsize=1024)
def driver_sql(dialect: str, sql: str) -> str:
    """The statement with the driver's own placeholders."""
    if dialect == "sqlite":
        return sql
    return _PLACEHOLDER.sub(r"%(\1)s", sql.replace("%", "%%"))


@lru_cache(maxsize=1024)
def _for_any_driver(sql: str) -> TextClause:
    return text(sql)


class Rows(list[tuple[Any, ...]]):
    """The rows of a statement, asked for as SQLAlchemy's results are, and how many it changed."""

    rowcount: int

    def first(self) -> tuple[Any, ...] | None:
        """The first row; None: there is none."""
        return self[0] if self else None

    def one(self) -> tuple[Any, ...]:
        """The only row."""
        [row] = self
        return row

    def one_or_none(self) -> tuple[Any, ...] | None:
        """The only row; None: there is none."""
        return self.one() if self else None

    def scalars(self) -> list[Any]:
        """The first column."""
        return [row[0] for row in self]

    def scalar(self) -> Any:
        """The first column of the first row; None: there is none."""
        return self[0][0] if self else None


def execute(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> Rows:
    """Runs a statement and returns all of its rows and how many it changed."""
    cursor = send(connection, sql, params)
    has_rows = cursor.returns_rows if isinstance(cursor, CursorResult) else cursor.description is not None
    rows = Rows(cursor.fetchall() if has_rows else ())
    rows.rowcount = cursor.rowcount  # of a write that returns rows SQLite knows it only now
    cursor.close()
    return rows


def mappings(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> list[dict[str, Any]]:
    """Runs a statement and returns its rows by the names of their columns."""
    cursor = send(connection, sql, params)
    names = cursor.keys() if isinstance(cursor, CursorResult) else [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in collect(cursor)]


def fetch(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> list[tuple[Any, ...]]:
    """Runs a statement and returns all of its rows."""
    return collect(send(connection, sql, params))


def each(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> Iterator[tuple[Any, ...]]:
    """Runs a statement and gives its rows one by one: but for PyMySQL each is made when it is asked for."""
    cursor = send(connection, sql, params)
    yield from cursor
    cursor.close()


def read_now(connection: Connection, now_sql: str) -> int:
    """The instant that an SQL expression of the clock means now, in microseconds."""
    return int(fetch(connection, f"select {now_sql}")[0][0])


def send(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> Any:
    """Sends a statement whose rows are collected later; in a pipeline several of these wait only once."""
    if not connection.get_execution_options().get(_OURS):
        return connection.execute(_for_any_driver(sql), params)
    cursor = connection.connection.cursor()
    cursor.execute(driver_sql(connection.dialect.name, sql), params)
    return cursor


def collect(cursor: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement that was sent."""
    rows: list[tuple[Any, ...]] = list(cursor.fetchall())
    cursor.close()
    return rows


def run(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> None:
    """Runs a statement whose result is not needed; in a pipeline without waiting for its answer."""
    send(connection, sql, params).close()


@contextmanager
def pipeline(connection: Connection) -> Iterator[None]:
    """One transaction on an autocommit connection, sent without waiting for each answer; `fetch` and `run` only."""
    driver: Any = connection.connection.driver_connection
    try:
        with driver.pipeline():
            # Queued like the rest: psycopg's own BEGIN and COMMIT would each wait for their answer.
            run(connection, "begin isolation level read committed")
            yield
            run(connection, "commit")
    except BaseException:
        # On a lost connection the rollback fails too; the error before it is the one to raise.
        with suppress(connection.dialect.loaded_dbapi.Error):
            driver.rollback()
        raise


@contextmanager
def translated(connection: Connection) -> Iterator[None]:
    """Raises the driver's errors as SQLAlchemy's; a lost connection does not go back to the pool."""
    dialect = connection.dialect
    driver_error = dialect.loaded_dbapi.Error
    try:
        yield
    except driver_error as error:
        lost = _is_disconnect(connection, error)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            None, None, error, driver_error, connection_invalidated=lost, dialect=dialect
        ) from error


def _is_disconnect(connection: Connection, error: Any) -> bool:
    raw = None if connection.invalidated or connection.closed else connection.connection.dbapi_connection
    if bool(connection.dialect.is_disconnect(error, raw, None)) or bool(getattr(raw, "closed", False)):
        return True
    return (code_of(error) or "").startswith(postgresql.LOST) or mariadb.number(error) in mariadb.LOST
