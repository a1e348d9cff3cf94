"""Transactions: retried where the database says so, in one place; fair on SQLite; rolled back on any error."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InvalidRequestError,
    OperationalError,
    ProgrammingError,
)

from worker.domain.errors import ConfigurationError
from worker.outbox.clock import DrivenClock
from worker.outbox.database import Database, FifoLock, is_lost, is_retryable, make_engine
from worker.outbox.sql import driver_sql, fetch, run


class Told(Exception):
    """A driver's exception with a sqlstate, or with a number first."""

    def __init__(self, *args: Any, sqlstate: str | None = None) -> None:
        super().__init__(*args)
        self.sqlstate = sqlstate


def wrapped(cause: Exception, kind: type[DBAPIError] = OperationalError) -> DBAPIError:
    return kind("select 1", {}, cause)


AGAIN = [
    pytest.param(Told("x", sqlstate="40001"), id="serialization"),
    pytest.param(Told("x", sqlstate="40P01"), id="deadlock"),
    pytest.param(Told(1213, "Deadlock"), id="mariadb deadlock"),
    pytest.param(Told(1205, "Lock wait timeout"), id="mariadb lock wait"),
    pytest.param(Told("database is locked"), id="sqlite busy"),
    pytest.param(Told("database table is locked: x"), id="sqlite table"),
]
AWAY = [
    pytest.param(wrapped(Told("x", sqlstate="08006")), id="connection failure"),
    pytest.param(wrapped(Told("x", sqlstate="57P01")), id="admin shutdown"),
    pytest.param(wrapped(Told("x", sqlstate="57P03")), id="starting up"),
    pytest.param(wrapped(Told(2006, "gone away")), id="mariadb gone"),
    pytest.param(wrapped(Told(2003, "refused")), id="mariadb refused"),
    pytest.param(wrapped(Told("connection failed")), id="no sqlstate"),
    pytest.param(wrapped(Told("closed"), InterfaceError), id="closed"),
    pytest.param(InvalidRequestError("Can't reconnect until invalid transaction is rolled back."), id="invalidated"),
]
NEITHER = [
    pytest.param(wrapped(Told("x", sqlstate="23505"), IntegrityError), id="unique"),
    pytest.param(wrapped(Told("x", sqlstate="22021"), ProgrammingError), id="nul"),
    pytest.param(wrapped(Told("x", sqlstate="53100")), id="disk full"),
    pytest.param(InvalidRequestError("no such thing"), id="misuse"),
    pytest.param(ValueError("x"), id="not the database's"),
]


@pytest.mark.parametrize("cause", AGAIN)
def test_what_the_database_asks_to_repeat_is_told_from_being_away(cause: Exception) -> None:
    """Deadlock, serialization, busy: the transaction again, at once."""
    assert (True, False) == (is_retryable(wrapped(cause)), is_lost(wrapped(cause)))


@pytest.mark.parametrize("error", AWAY)
def test_being_away_is_told_from_a_wrong_statement(error: Exception) -> None:
    """Nothing says the statement was wrong: wait and try again."""
    assert (False, True) == (is_retryable(error), is_lost(error))


@pytest.mark.parametrize("error", NEITHER)
def test_a_wrong_statement_is_neither(error: Exception) -> None:
    """Repeating it would never help."""
    assert (False, False) == (is_retryable(error), is_lost(error))


def test_an_invalidated_connection_is_away(sqlite_database: Database) -> None:
    """SQLAlchemy's own word for a connection that broke."""
    error = DBAPIError("x", {}, Told("x", sqlstate="99999"), connection_invalidated=True)

    assert is_lost(error)


def test_a_transaction_is_run_again_with_growing_pauses(database: Database) -> None:
    """As often as it takes, up to eight times; what the failed tries wrote is gone."""
    pauses: list[float] = []
    database._pause = pauses.append
    tried: list[int] = []

    def work(connection: Connection) -> str:
        tried.append(1)
        connection.execute(text("insert into worker_leases values (:name, 'p', 0)"), {"name": f"n{len(tried)}"})
        if len(tried) < 4:
            raise wrapped(Told("x", sqlstate="40P01"))
        return "done"

    result = database.run(work)

    assert ("done", 4, 3) == (result, len(tried), len(pauses))
    assert all(0 <= pause <= 0.01 * 2**n for n, pause in enumerate(pauses, start=1))
    with database.reading() as connection:
        assert ["n4"] == [row[0] for row in connection.execute(text("select name from worker_leases"))]


@pytest.mark.parametrize(("error", "tries"), [(Told("x", sqlstate="40P01"), 8), (Told("x", sqlstate="23505"), 1)])
def test_it_gives_up_after_eight_tries_and_at_once_on_anything_else(
    sqlite_database: Database, error: Exception, tries: int
) -> None:
    """The error is the caller's then."""
    sqlite_database._pause = lambda seconds: None
    tried: list[int] = []

    def work(connection: Connection) -> None:
        tried.append(1)
        raise wrapped(error)

    with pytest.raises(OperationalError):
        sqlite_database.run(work)

    assert tries == len(tried)


@pytest.mark.parametrize("pipelined", [False, True], ids=["plain", "pipelined"])
def test_an_error_leaves_nothing_and_the_connection_usable(database: Database, pipelined: bool) -> None:
    """A wrong statement in the middle: nothing of the transaction is there, the next one works; errors are
    SQLAlchemy's, whichever way the statement went."""

    def work(connection: Connection) -> None:
        run(connection, "insert into worker_leases values (:name, 'p', 0)", {"name": "a"})
        run(connection, "insert into worker_leases values (:name, 'p', 0)", {"name": "a"})
        run(connection, "insert into worker_leases values (:name, 'p', 0)", {"name": "b"})

    with pytest.raises(IntegrityError):
        database.run(work, pipelined=pipelined)
    database.run(lambda c: run(c, "insert into worker_leases values ('c', 'p', 0)"), pipelined=pipelined)

    with database.reading() as connection:
        assert [("c",)] == fetch(connection, "select name from worker_leases")


@pytest.mark.parametrize("pipelined", [False, True], ids=["plain", "pipelined"])
def test_an_error_of_ours_rolls_back_too(database: Database, pipelined: bool) -> None:
    """Whatever is raised inside: nothing was written."""

    def work(connection: Connection) -> None:
        run(connection, "insert into worker_leases values ('a', 'p', 0)")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.run(work, pipelined=pipelined)

    with database.reading() as connection:
        assert [] == fetch(connection, "select name from worker_leases")


def test_a_pipelined_transaction_is_durable_when_it_returns(database: Database) -> None:
    """Writes are not waited for one by one, the commit is; reads inside see them."""

    def work(connection: Connection) -> list[tuple[Any, ...]]:
        run(connection, "insert into worker_leases values (:name, 'p', 0)", {"name": "a%b:c"})
        return fetch(connection, "select name from worker_leases where name = :name", {"name": "a%b:c"})

    seen = database.run(work, pipelined=True)

    with database.reading() as connection:
        assert seen == fetch(connection, "select name from worker_leases") == [("a%b:c",)]


def test_a_connection_cut_in_the_middle_is_away_and_not_used_again(postgres_database: Database) -> None:
    """The server ended it: the error says away, the next transaction has another connection."""

    def work(connection: Connection) -> None:
        run(connection, "select pg_terminate_backend(pg_backend_pid())")
        run(connection, "select 1")

    with pytest.raises(DBAPIError) as caught:
        postgres_database.run(work)

    assert is_lost(caught.value)
    assert 0 < postgres_database.read_now()


def test_placeholders_are_the_drivers() -> None:
    """`:name` everywhere; casts and percent signs stay what they are."""
    sql = "select :a::bigint, '50%' from t where b = :b_c"

    assert "select %(a)s::bigint, '50%%' from t where b = %(b_c)s" == driver_sql("postgresql", sql)
    assert sql == driver_sql("sqlite", sql)


def test_writers_of_a_process_are_served_in_the_order_they_came() -> None:
    """SQLite has no fair queue; our lock has one."""
    lock, order = FifoLock(), []
    threads: list[threading.Thread] = []

    def enter(n: int) -> None:
        with lock.held():
            order.append(n)

    with lock.held():
        for n in range(6):
            threads.append(threading.Thread(target=enter, args=(n,)))
            threads[-1].start()
            while len(lock._waiting) <= n:
                pass
    for thread in threads:
        thread.join(10)

    assert list(range(6)) == order
    with lock.held():
        assert lock._held


def test_the_clock_is_evaluated_in_the_statement(database: Database) -> None:
    """Not at the transaction's start: it moves inside one transaction."""

    def work(connection: Connection) -> tuple[int, int]:
        read = f"select {database.now}"
        first = fetch(connection, read)[0][0]
        while (later := fetch(connection, read)[0][0]) == first:
            pass
        return first, later

    first, later = database.run(work)

    assert first < later < first + 60_000_000


def test_a_driven_clock_moves_only_when_told(database: Database, driven_clock: DrivenClock) -> None:
    """The tests' clock is the one every statement sees."""
    before = database.read_now()
    driven_clock.advance(1.5)

    assert 1_500_000 == database.read_now() - before


@pytest.mark.parametrize("url", ["oracle://x/y", "nonsense", ""])
def test_a_wrong_database_url_is_a_clear_sentence(url: str) -> None:
    """Said at the start, naming the ones that work."""
    with pytest.raises(ConfigurationError, match="postgresql"):
        make_engine(url)


def test_sqlite_connections_are_durable_and_wait(sqlite_database: Database) -> None:
    """WAL and a full sync for every commit."""
    with sqlite_database.reading() as connection:
        found = [
            connection.exec_driver_sql(f"pragma {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        ]

    assert ["wal", 2, 15_000] == found
