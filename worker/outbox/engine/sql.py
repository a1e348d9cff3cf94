"""Runs statements on the driver's own cursor, which saves a third of SQLAlchemy's cost per statement (measured).

Placeholders are written `:name` for every database. On PostgreSQL a transaction can be pipelined: writes are sent
without waiting for their answers, and only a fetch or the commit waits. `Database` and the producer's functions convert
the driver's errors, so that their callers see SQLAlchemy's errors.

This applies only to the worker's own connections with a supported driver. On any other connection, such as a
producer's, the same functions run the statement through SQLAlchemy.
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
from worker.outbox.engine.error_text import sqlstate_of

_PLACEHOLDER = re.compile(r"(?<!:):([a-z_][a-z_0-9]*)")
_NOTHING: Mapping[str, Any] = {}
_DRIVER_CURSOR = "worker_outbox"
"""Execution option: True on connections whose statements run on the driver's own cursor."""
_SUPPORTED_DRIVERS = frozenset({"psycopg", "pymysql", "pysqlite"})
"""Drivers whose placeholders `driver_sql` can write."""


def use_driver_cursor(engine: Engine) -> Engine:
    """Returns an engine with the same pool whose statements run on the driver's own cursor, if it is supported."""
    return engine.execution_options(**{_DRIVER_CURSOR: engine.dialect.driver in _SUPPORTED_DRIVERS})


@lru_cache(maxsize=1024)
def driver_sql(dialect: str, sql: str) -> str:
    """Returns the statement with the placeholders of the dialect's driver."""
    if dialect == "sqlite":
        return sql
    return _PLACEHOLDER.sub(r"%(\1)s", sql.replace("%", "%%"))


@lru_cache(maxsize=1024)
def _for_any_driver(sql: str) -> TextClause:
    return text(sql)


class Rows(list[tuple[Any, ...]]):
    """All rows of a statement, with the methods of SQLAlchemy's results."""

    rowcount: int
    """How many rows the statement changed."""

    def first(self) -> tuple[Any, ...] | None:
        """Returns the first row, or None if there is none."""
        return self[0] if self else None

    def one(self) -> tuple[Any, ...]:
        """Returns the only row. Raises ValueError if there are none or several."""
        [row] = self
        return row

    def one_or_none(self) -> tuple[Any, ...] | None:
        """Returns the only row, or None if there is none. Raises ValueError if there are several."""
        return self.one() if self else None

    def scalars(self) -> list[Any]:
        """Returns the first column of all rows."""
        return [row[0] for row in self]

    def scalar(self) -> Any:
        """Returns the first column of the first row, or None if there is no row."""
        return self[0][0] if self else None


def execute(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> Rows:
    """Runs a statement. Returns all of its rows, and how many rows it changed."""
    cursor = send(connection, sql, params)
    has_rows = cursor.returns_rows if isinstance(cursor, CursorResult) else cursor.description is not None
    rows = Rows(cursor.fetchall() if has_rows else ())
    rows.rowcount = cursor.rowcount  # after the fetch, because SQLite counts a write that returns rows only then
    cursor.close()
    return rows


def mappings(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> list[dict[str, Any]]:
    """Runs a statement and returns its rows as dictionaries by column name."""
    cursor = send(connection, sql, params)
    names = cursor.keys() if isinstance(cursor, CursorResult) else [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in collect(cursor)]


def fetch(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> list[tuple[Any, ...]]:
    """Runs a statement and returns all of its rows."""
    return collect(send(connection, sql, params))


def iterate(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> Iterator[tuple[Any, ...]]:
    """Runs a statement and yields its rows. PyMySQL reads all rows at once; the other drivers fetch them as needed."""
    cursor = send(connection, sql, params)
    yield from cursor
    cursor.close()


def read_now(connection: Connection, now_sql: str) -> int:
    """Returns the current value of a clock's SQL expression, in microseconds."""
    return int(fetch(connection, f"select {now_sql}")[0][0])


def send(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> Any:
    """Sends a statement and returns its cursor for `collect`. In a pipeline, several statements wait only once."""
    if not connection.get_execution_options().get(_DRIVER_CURSOR):
        return connection.execute(_for_any_driver(sql), params)
    cursor = connection.connection.cursor()
    cursor.execute(driver_sql(connection.dialect.name, sql), params)
    return cursor


def collect(cursor: Any) -> list[tuple[Any, ...]]:
    """Returns all rows of a cursor from `send`, and closes it."""
    rows: list[tuple[Any, ...]] = list(cursor.fetchall())
    cursor.close()
    return rows


def run(connection: Connection, sql: str, params: Mapping[str, Any] = _NOTHING) -> None:
    """Runs a statement without reading its result. In a pipeline it does not wait for the answer."""
    send(connection, sql, params).close()


@contextmanager
def pipeline(connection: Connection) -> Iterator[None]:
    """Opens one pipelined transaction on an autocommit connection of psycopg, and commits it at the end.

    Inside, use only `fetch` and `run`. An error rolls the transaction back and is raised.
    """
    driver: Any = connection.connection.driver_connection
    try:
        with driver.pipeline():
            # Sent like the other statements: psycopg's own BEGIN and COMMIT would each wait for their answer.
            run(connection, "begin isolation level read committed")
            yield
            run(connection, "commit")
    except BaseException:
        # On a lost connection the rollback fails too; the error before it is the one to raise.
        with suppress(connection.dialect.loaded_dbapi.Error):
            driver.rollback()
        raise


@contextmanager
def sqlalchemy_errors(connection: Connection) -> Iterator[None]:
    """Raises the driver's errors as SQLAlchemy's errors. A broken connection does not return to the pool."""
    dialect = connection.dialect
    driver_error = dialect.loaded_dbapi.Error
    try:
        yield
    except driver_error as error:
        is_disconnect = _is_disconnect(connection, error)
        if is_disconnect:
            connection.invalidate(error)
        raise DBAPIError.instance(
            None, None, error, driver_error, connection_invalidated=is_disconnect, dialect=dialect
        ) from error


def _is_disconnect(connection: Connection, error: Any) -> bool:
    driver = None if connection.invalidated or connection.closed else connection.connection.dbapi_connection
    if bool(connection.dialect.is_disconnect(error, driver, None)) or bool(getattr(driver, "closed", False)):
        return True
    if (sqlstate_of(error) or "").startswith(postgresql.UNAVAILABLE):
        return True
    return mariadb.error_number(error) in mariadb.UNAVAILABLE
