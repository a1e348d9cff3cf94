"""The outbox's tables in tests of an application: on its own connection, copied, and read.

The only SQL outside `worker/outbox`, because only the kit runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, inspect

from worker.outbox.engine.clock import SqlClock
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, mappings, run, sqlalchemy_errors
from worker.outbox.tables import columns_of, jobs

T = TypeVar("T")


class BoundDatabase(Database):
    """The outbox on a connection of the application. Writes are savepoints of its transaction, if it has one."""

    def __init__(self, connection: Connection, clock: SqlClock):
        # Without the base's: it would leave a listener on the application's engine for every test.
        self._connection, self._state, self.clock = connection, None, clock
        # A session of a hook takes part in the same transaction.
        self.engine = cast("Engine", connection)
        self.dialect = dialect_of(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yields the connection. It is in a transaction afterwards only if it was before."""
        was_in_transaction = self._connection.in_transaction()
        with sqlalchemy_errors(self._connection):
            yield self._connection
        if not was_in_transaction and self._connection.in_transaction():
            self._connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yields the connection in a savepoint of its transaction, or in a new transaction."""
        connection = self._connection
        begin = connection.begin_nested if connection.in_transaction() else connection.begin
        with begin(), sqlalchemy_errors(connection):
            yield connection

    def run(self, work: Callable[[Connection], T], *, tries: int = 8, pipelined: bool = False) -> T:
        """Runs a transaction once. Nothing else works on the connection, so there is nothing to retry."""
        with self.writing() as connection:
            return work(connection)

    def close(self) -> None:
        """Does nothing: the connection belongs to the application."""


FIRST_ROWS = {"worker_site": ("name", "value"), "worker_alembic_version": ("version_num",)}
"""Tables whose rows are copied too, because the outbox does not work without them, and their columns."""


def has_tables(connection: Connection) -> bool:
    """True if the database has the outbox's tables."""
    return inspect(connection).has_table("worker_site")


def copy_tables(source: Connection, target: Connection) -> None:
    """Creates the source's tables and indexes in the target, in its transaction."""
    schema = "select sql from sqlite_master where sql is not null and tbl_name like 'worker%' order by type desc"
    for (sql,) in execute(source, schema):
        target.exec_driver_sql(sql)
    for table, columns in FIRST_ROWS.items():
        values = ", ".join(f":{name}" for name in columns)
        for row in mappings(source, f"select {', '.join(columns)} from {table}"):
            run(target, f"insert into {table} ({', '.join(columns)}) values ({values})", row)


def enqueued_rows(connection: Connection) -> list[dict[str, Any]]:
    """Returns all jobs with messages and recipients, in the order they were enqueued."""
    return mappings(connection, f"select {columns_of(jobs)} from worker_jobs order by id")


_NEXT_WAKE = """
select min(wakes_at) from (
  select p.not_before as wakes_at from worker_parts p join worker_jobs j on j.id = p.job_id
    where p.state in (0, 6) and p.waits_on is null and p.not_before > :now
    and (p.claim > p.unheard or p.not_before <> j.due_at)
  union all select offered_until from worker_parts where state = 0 and offered_until > :now
  union all select l.blocked_until from worker_lanes l where not l.parked and l.blocked_until > :now
    and exists (select 1 from worker_parts p join worker_jobs j on j.id = p.job_id
      where p.state = 0 and j.account = l.account and p.waits_on is null and p.not_before <= l.blocked_until)
  union all select due_at from worker_events where state = 0 and due_at > :now
  union all select offered_until from worker_events where state = 0 and offered_until > :now
  union all select t.check_at from worker_ended_tags t where t.check_at > :now
    and not exists (select 1 from worker_jobs j where j.id = t.witness and j.n_open > 0)
) wakes
"""


def next_wake(connection: Connection, now: int) -> int | None:
    """Returns the next time in microseconds at which the worker has something to do, or None.

    It ignores what waits for a person, and parts that have not been due yet since their job was enqueued: the
    application scheduled them. It reads all open parts, so it is for small outboxes.
    """
    wakes_at: int | None = execute(connection, _NEXT_WAKE, {"now": now}).scalar()
    return wakes_at
