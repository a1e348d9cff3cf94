"""How much a question reads of our tables: rows and entries of indexes, whether it answers with them or not.

Each database counts in its own way; what a counter does not see is not asked for here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from tests.support.waiting import until_alone
from worker.outbox.engine import sql
from worker.outbox.engine.database import Database

STEPS_A_ROW = 50
"""Steps of SQLite's machine for a row that is looked up by key, computed with and handed out. One that is merely passed
takes a tenth of it, so only many of those are seen.
"""

# Of indexes it counts each entry that a scan returned, also where the table itself is never touched.
_POSTGRES = (
    "select sum(pg_stat_get_xact_tuples_returned(oid)) from pg_class"
    " where relname like 'worker\\_%' and relkind in ('r', 'i')"
)
# Entries that a pushed-down condition turns away are no reads to the server, only attempts.
_MARIADB = (
    "select sum(case variable_name when 'Handler_icp_match' then -variable_value else variable_value end)"
    " from {}.session_status where variable_name like 'Handler\\_read\\_%' or variable_name like 'Handler\\_icp\\_%'"
)


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The statements that are sent meanwhile, on the drivers' own cursors and through SQLAlchemy."""
    sent: list[str] = []

    def on_cursor(connection: Connection, query: str, *given: Any) -> Any:
        sent.append(query)
        return send(connection, query, *given)

    def through_sqlalchemy(*given: Any) -> None:
        sent.append(given[2])

    send = sql.send
    event.listen(database.engine, "before_cursor_execute", through_sqlalchemy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "send", on_cursor)
        yield sent
    event.remove(database.engine, "before_cursor_execute", through_sqlalchemy)


def rows_read(database: Database, question: Callable[[Connection], object]) -> int:
    """What a question reads, in a transaction that is rolled back."""
    with database.engine.connect() as connection:
        if database.dialect.name == "sqlite":
            return _steps(connection, question) // STEPS_A_ROW
        query = text(_POSTGRES if database.dialect.name == "postgresql" else _MARIADB.format(_schema(connection)))
        nothing = _counted(connection, query, lambda c: None)
        return _counted(connection, query, question) - nothing


def sweep(database: Database, *tables: str) -> None:
    """Takes entries of rows that moved on out of the indexes: PostgreSQL counts them as read until it is done.

    It leaves them as long as an older transaction could see them. The server's own "analyze" is one, and may begin at
    any time: so this vacuums again until none is left.
    """
    if database.dialect.name != "postgresql":
        return
    names = ", ".join(tables)
    dead = " + ".join(f"pg_stat_get_dead_tuples('{table}'::regclass)" for table in tables)
    for _ in range(2_000):
        until_alone(database)
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"vacuum (index_cleanup on) {names}")
            if connection.exec_driver_sql(f"select {dead}").scalar() == 0:
                return
    raise AssertionError(f"rows that moved on stay in {names}")


def _counted(connection: Connection, query: Any, question: Callable[[Connection], object]) -> int:
    before = connection.execute(query).scalar_one()
    question(connection)
    return int(connection.execute(query).scalar_one() - before)


def _schema(connection: Connection) -> str:
    """Where MySQL keeps what MariaDB has in its information schema."""
    return "information_schema" if getattr(connection.dialect, "is_mariadb", False) else "performance_schema"


def _steps(connection: Connection, question: Callable[[Connection], object]) -> int:
    driver: Any = connection.connection.driver_connection
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    driver.set_progress_handler(count, 1)
    try:
        question(connection)
    finally:
        driver.set_progress_handler(None, 0)
    return steps
