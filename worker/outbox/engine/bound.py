"""The outbox on one connection of another's: what is written is a part of that one's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

from sqlalchemy import Connection, Engine

from worker.outbox.engine.clock import SqlClock
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import translated

T = TypeVar("T")


class BoundDatabase(Database):
    """The outbox on one connection of the application's: what is written is a savepoint of its transaction, if any."""

    def __init__(self, connection: Connection, clock: SqlClock):
        # Without the base's: it would leave a listener on the application's engine for every test.
        self._connection, self._state, self.clock = connection, None, clock
        # A session of a hook takes part in the same transaction.
        self.engine = cast("Engine", connection)
        self.dialect = dialect_of(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The connection; it is in a transaction afterwards only if it was before."""
        was = self._connection.in_transaction()
        with translated(self._connection):
            yield self._connection
        if not was and self._connection.in_transaction():
            self._connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A savepoint of the application's transaction; a transaction where there is none."""
        connection = self._connection
        begin = connection.begin_nested if connection.in_transaction() else connection.begin
        with begin(), translated(connection):
            yield connection

    def run(self, work: Callable[[Connection], T], *, tries: int = 8, pipelined: bool = False) -> T:
        """Runs a transaction once: nothing else is at work on the connection."""
        with self.writing() as connection:
            return work(connection)

    def close(self) -> None:
        """Leaves the connection to its owner."""
