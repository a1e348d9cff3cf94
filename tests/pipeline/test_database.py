"""Transactions: retried where the database says so, in one place; fair on SQLite; rolled back on any error."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
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
from sqlalchemy.orm import Session

from worker.domain.errors import ConfigurationError, RetryTransaction
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database, FifoLock, is_data_error, is_retryable, is_unavailable, make_engine
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import collect, driver_sql, fetch, run, send

pytestmark = pytest.mark.own_engine

CAN_BE_CUT = pytest.mark.fewer_databases("nobody else can end a connection to a file")
HAS_A_PIPELINE = pytest.mark.fewer_databases("only PostgreSQL's driver has a pipeline")


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
    pytest.param(wrapped(Told("x", sqlstate="25006")), id="read only"),
    pytest.param(wrapped(Told(1047, "not yet prepared")), id="galera without quorum"),
    pytest.param(wrapped(Told(1290, "--read-only")), id="mariadb read only"),
    pytest.param(wrapped(Told(1836, "read-only mode")), id="mysql read only"),
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
    assert (is_retryable(wrapped(cause)), is_unavailable(wrapped(cause))) == (True, False)


@pytest.mark.parametrize("error", AWAY)
def test_being_away_is_told_from_a_wrong_statement(error: Exception) -> None:
    """Nothing says the statement was wrong: wait and try again."""
    assert (is_retryable(error), is_unavailable(error)) == (False, True)


@pytest.mark.parametrize("error", NEITHER)
def test_a_wrong_statement_is_neither(error: Exception) -> None:
    """Repeating it would never help."""
    assert (is_retryable(error), is_unavailable(error)) == (False, False)


def test_an_invalidated_connection_is_away(database: Database) -> None:
    """SQLAlchemy's own word for a connection that broke."""
    error = DBAPIError("x", {}, Told("x", sqlstate="99999"), connection_invalidated=True)

    assert is_unavailable(error)


PLAIN_OR_PIPELINED = pytest.mark.parametrize("pipelined", [False, True], ids=["plain", "pipelined"])


@PLAIN_OR_PIPELINED
def test_a_transaction_is_run_again_with_growing_pauses(
    database: Database, pauses: list[float], pipelined: bool
) -> None:
    """As often as it takes, up to eight times; what the failed tries wrote is gone."""
    tried: list[int] = []

    def work(connection: Connection) -> str:
        tried.append(1)
        run(connection, "insert into worker_leases values (:name, 'p', 0)", {"name": f"n{len(tried)}"})
        if len(tried) < 4:
            raise wrapped(Told("x", sqlstate="40P01"))
        return "done"

    result = database.run(work, pipelined=pipelined)

    assert (result, len(tried), len(pauses)) == ("done", 4, 3)
    assert all(0 <= pause <= 0.01 * 2**n for n, pause in enumerate(pauses, start=1))
    with database.reading() as connection:
        assert [row[0] for row in connection.execute(text("select name from worker_leases"))] == ["n4"]


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize(("error", "tries"), [(Told("x", sqlstate="40P01"), 8), (Told("x", sqlstate="23505"), 1)])
def test_it_gives_up_after_eight_tries_and_at_once_on_anything_else(
    database: Database, error: Exception, tries: int
) -> None:
    """The error is the caller's then."""
    tried: list[int] = []

    def work(connection: Connection) -> None:
        tried.append(1)
        raise wrapped(error)

    with pytest.raises(OperationalError):
        database.run(work)

    assert tries == len(tried)


@PLAIN_OR_PIPELINED
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
        assert fetch(connection, "select name from worker_leases") == [("c",)]


@PLAIN_OR_PIPELINED
def test_an_error_of_ours_rolls_back_too(database: Database, pipelined: bool) -> None:
    """Whatever is raised inside: nothing was written."""

    def work(connection: Connection) -> None:
        run(connection, "insert into worker_leases values ('a', 'p', 0)")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.run(work, pipelined=pipelined)

    with database.reading() as connection:
        assert fetch(connection, "select name from worker_leases") == []


def test_a_pipelined_transaction_is_durable_when_it_returns(database: Database) -> None:
    """Writes are not waited for one by one, the commit is; reads inside see them."""

    def work(connection: Connection) -> list[tuple[Any, ...]]:
        run(connection, "insert into worker_leases values (:name, 'p', 0)", {"name": "a%b:c"})
        return fetch(connection, "select name from worker_leases where name = :name", {"name": "a%b:c"})

    seen = database.run(work, pipelined=True)

    with database.reading() as connection:
        assert seen == fetch(connection, "select name from worker_leases") == [("a%b:c",)]


def names(database: Database) -> list[str]:
    with database.reading() as connection:
        return [row[0] for row in fetch(connection, "select name from worker_leases order by name")]


def backend(connection: Connection) -> int:
    """The number of the server's end of this connection."""
    asked = "select pg_backend_pid()" if connection.dialect.name == "postgresql" else "select connection_id()"
    return int(fetch(connection, asked)[0][0])


def cut(connection: Connection, pid: int) -> None:
    """The server ends this connection or another one."""
    if connection.dialect.name == "postgresql":
        run(connection, "select pg_terminate_backend(:pid, 5000)", {"pid": pid})
    else:
        run(connection, f"kill connection {pid}")


CUTS = [
    pytest.param("fetch", id="before a fetch"),
    pytest.param("run", id="before a write"),
    pytest.param("", id="last"),
]


@CAN_BE_CUT
@pytest.mark.parametrize("then", CUTS)
@PLAIN_OR_PIPELINED
def test_a_connection_cut_in_the_middle_is_away_and_not_used_again(
    server_database: Database, pipelined: bool, then: str
) -> None:
    """The server ended it: the error says away, not "again"; nothing was written; the next has another connection."""
    pids: list[int] = []

    def work(connection: Connection) -> None:
        pids.append(backend(connection))
        run(connection, "insert into worker_leases values ('a', 'p', 0)")
        cut(connection, pids[0])
        if then:
            {"fetch": fetch, "run": run}[then](connection, "select 1")

    with pytest.raises(DBAPIError) as caught:
        server_database.run(work, pipelined=pipelined)

    assert (is_unavailable(caught.value), is_retryable(caught.value), len(pids)) == (True, False, 1)
    assert names(server_database) == []
    assert pids[0] != server_database.run(backend, pipelined=pipelined)


@CAN_BE_CUT
@PLAIN_OR_PIPELINED
def test_a_connection_cut_while_nobody_used_it_is_away(server_database: Database, pipelined: bool) -> None:
    """It died in the pool: the first transaction hears that it is away, whoever tries again gets through."""
    pid = server_database.run(backend, pipelined=pipelined)
    other = Database(make_engine(server_database.engine.url.render_as_string(hide_password=False)))
    other.run(lambda connection: cut(connection, pid))
    other.close()

    def work(connection: Connection) -> None:
        run(connection, "insert into worker_leases values ('a', 'p', 0)")

    with pytest.raises(DBAPIError) as caught:
        server_database.run(work, pipelined=pipelined)
    server_database.run(work, pipelined=pipelined)

    assert is_unavailable(caught.value)
    assert names(server_database) == ["a"]


@CAN_BE_CUT
def test_a_connection_cut_while_nobody_read_is_away_once(server_database: Database) -> None:
    """Of all that lay idle only one costs an error: the others are given up with it."""
    with server_database.reading() as one, server_database.reading() as two:
        pids = [backend(one), backend(two)]
    other = Database(make_engine(server_database.engine.url.render_as_string(hide_password=False)))
    for pid in pids:
        other.run(lambda connection, pid=pid: cut(connection, pid))
    other.close()

    with pytest.raises(DBAPIError) as caught:
        names(server_database)

    assert is_unavailable(caught.value)
    assert [] == names(server_database) == names(server_database)


def write(connection: Connection) -> None:
    """On the driver's own cursor, as the hot path does."""
    run(connection, "insert into worker_leases values ('a', 'p', 0)")


def write_through_sqlalchemy(connection: Connection) -> None:
    connection.execute(text("insert into worker_leases values ('a', 'p', 0)"))


WAYS = pytest.mark.parametrize(
    ("pipelined", "writes"),
    [(False, write), (True, write), (False, write_through_sqlalchemy)],
    ids=["plain", "pipelined", "sqlalchemy"],
)


def turn_read_only(connection: Connection) -> None:
    """What its server says from now on: no writes here."""
    is_postgres = connection.dialect.name == "postgresql"
    characteristics = "characteristics as transaction" if is_postgres else "transaction"
    run(connection, f"set session {characteristics} read only")


@pytest.mark.fewer_databases("SQLite has no other server to go to")
@WAYS
def test_a_connection_whose_server_takes_no_writes_any_more_is_given_up(
    server_database: Database, pipelined: bool, writes: Callable[[Connection], None]
) -> None:
    """After a switchover connections to the old primary live on: the first write that it refuses gives up them all,
    those for single reads too, and the next write goes through a new one."""
    server_database.run(turn_read_only)
    with server_database.reading() as connection:
        reader = backend(connection)
    old = server_database.run(backend)

    with pytest.raises(DBAPIError) as caught:
        server_database.run(writes, pipelined=pipelined)
    server_database.run(writes, pipelined=pipelined)

    assert (
        is_unavailable(caught.value),
        is_retryable(caught.value),
        is_data_error(caught.value),
    ) == (True, False, False)
    assert names(server_database) == ["a"]
    with server_database.reading() as connection:
        assert backend(connection) not in (old, reader)


@pytest.mark.fewer_databases("SQLite has no other server to go to")
def test_a_hook_that_meets_such_a_server_gives_up_its_connections_too(server_database: Database) -> None:
    """A hook's session takes its connection from the engine itself; what lies idle for single reads goes with it."""
    server_database.run(turn_read_only)
    with server_database.reading() as connection:
        reader = backend(connection)

    with pytest.raises(DBAPIError), Session(server_database.engine) as session:
        session.execute(text("insert into worker_leases values ('a', 'p', 0)"))

    with server_database.reading() as connection:
        assert reader != backend(connection)


@pytest.mark.fewer_databases("the only server with such a default for a database")
@PLAIN_OR_PIPELINED
def test_new_connections_are_tried_until_one_may_write(postgres_database: Database, pipelined: bool) -> None:
    """A name or a proxy may lead to a standby again and again; each new connection is a new chance."""
    name = postgres_database.engine.url.database
    admin = Database(make_engine(postgres_database.engine.url.render_as_string(hide_password=False)))
    said = "alter database {} {} default_transaction_read_only"

    try:
        admin.run(lambda c: run(c, said.format(name, "set") + " = on"))
        for _ in range(3):
            with pytest.raises(DBAPIError, match="read-only"):
                postgres_database.run(write, pipelined=pipelined)
    finally:
        admin.run(lambda c: run(c, said.format(name, "reset")))
        admin.close()
    postgres_database.run(write, pipelined=pipelined)

    assert names(postgres_database) == ["a"]


# -- plans ------------------------------------------------------------------------------------------------------------


@pytest.mark.fewer_databases("PostgreSQL keeps plans with a connection; MariaDB: test_mariadb_connection.py")
def test_plans_made_while_a_table_is_empty_use_its_index(postgres_database: Database) -> None:
    """A connection keeps them while the table grows; reading it whole would cost more with every row."""
    with postgres_database.reading() as connection:
        connection.exec_driver_sql("analyze worker_budgets")
        plan = connection.exec_driver_sql(
            "explain select buckets from worker_budgets where id = any(array(select json_array_elements_text('[]')))"
        )
        lines = "\n".join(line for (line,) in plan)
        compiles = connection.exec_driver_sql("show jit").scalar_one()

    assert "Seq Scan" not in lines
    assert "worker_budgets_pkey" in lines
    assert compiles == "off"


# -- pipelined --------------------------------------------------------------------------------------------------------


@HAS_A_PIPELINE
def test_what_is_pipelined_is_one_transaction(postgres_database: Database) -> None:
    """Although its connection commits by itself: one transaction at READ COMMITTED, nobody sees any of it before its
    end, and everybody all of it after."""
    seen: list[list[str]] = []

    def work(connection: Connection) -> tuple[set[int], str]:
        run(connection, "insert into worker_leases values ('a', 'p', 0)")
        first = fetch(connection, "select txid_current()")
        seen.append(names(postgres_database))
        run(connection, "insert into worker_leases values ('b', 'p', 0)")
        second = fetch(connection, "select txid_current()")
        seen.append(names(postgres_database))
        [[level]] = fetch(connection, "show transaction_isolation")
        return {first[0][0], second[0][0]}, level

    with postgres_database.engine.connect() as connection:
        name = connection.exec_driver_sql("select quote_ident(current_database())").scalar_one()
        connection.exec_driver_sql(f"alter database {name} set default_transaction_isolation = 'serializable'")
        connection.commit()
    postgres_database.close()  # the default is a connection's from its start
    try:
        transactions, level = postgres_database.run(work, pipelined=True)
    finally:
        with postgres_database.engine.connect() as connection:
            connection.exec_driver_sql(f"alter database {name} reset default_transaction_isolation")
            connection.commit()
        postgres_database.close()

    assert (len(transactions), level) == (1, "read committed")
    assert seen == [[], []]
    assert names(postgres_database) == ["a", "b"]


@HAS_A_PIPELINE
def test_writes_are_not_waited_for_one_by_one(postgres_database: Database) -> None:
    """Four writes that the server cannot carry out yet are sent; what follows a fetch is sent before its rows are
    collected; the commit waits for all of it."""
    wait = (
        "insert into worker_leases (name, holder, held_until) select '{}', '', 0 from pg_advisory_xact_lock_shared(1)"
    )

    def work(connection: Connection) -> list[list[Any]]:
        run(connection, "set local lock_timeout = '60s'")
        for name in "abcd":
            run(connection, wait.format(name))
        rows = [send(connection, "select 1"), send(connection, "select 2")]
        busy.rollback()
        return [collect(cursor) for cursor in rows]

    with postgres_database.engine.connect() as busy:
        busy.exec_driver_sql("select pg_advisory_xact_lock(1)")
        collected = postgres_database.run(work, pipelined=True)

    assert collected == [[(1,)], [(2,)]]
    assert names(postgres_database) == ["a", "b", "c", "d"]


FAILURES = [
    pytest.param(["wrong"], id="write last"),
    pytest.param(["wrong", "run"], id="write, then a write"),
    pytest.param(["wrong", "fetch"], id="write, then a fetch"),
    pytest.param(["fetch", "wrong", "run", "fetch", "run"], id="write between others"),
    pytest.param(["run", "wrong fetch"], id="fetch"),
    pytest.param(["fetch", "run", "ours"], id="ours"),
    pytest.param(["wrong", "ours"], id="ours on top of a write's"),
]


@HAS_A_PIPELINE
@pytest.mark.parametrize("steps", FAILURES)
def test_a_failed_pipeline_leaves_nothing_and_its_connection_as_it_was(
    postgres_database: Database, steps: list[str]
) -> None:
    """Wherever the error was: the same connection, idle, out of its pipeline, its prepared statements still true; and
    the error is the one that happened."""

    def work(connection: Connection) -> None:
        run(connection, "insert into worker_leases values (:name, 'p', 0)", {"name": "a"})
        for step in steps:
            if step == "ours":
                raise ZeroDivisionError
            statement = "insert into worker_leases values (:name, 'p', 0) returning name"
            name = "a" if "wrong" in step else f"b{steps.index(step)}"
            (fetch if "fetch" in step else run)(connection, statement if step != "run" else "select 1", {"name": name})

    def state(connection: Connection) -> tuple[int, str, str]:
        driver: Any = connection.connection.driver_connection
        return backend(connection), driver.info.transaction_status.name, driver.info.pipeline_status.name

    expected = ZeroDivisionError if "ours" in steps else IntegrityError
    with postgres_database.reading() as connection:
        before = state(connection)
    for _ in range(12):  # psycopg prepares what it has seen five times
        with pytest.raises(expected):
            postgres_database.run(work, pipelined=True)
        assert names(postgres_database) == []
    with postgres_database.reading() as connection:
        after = state(connection)

    assert before == after == (before[0], "IDLE", "OFF")
    insert = "insert into worker_leases values (:name, 'p', 0)"
    postgres_database.run(lambda c: run(c, insert, {"name": "a"}), pipelined=True)
    postgres_database.run(lambda c: run(c, insert, {"name": "b"}))
    assert names(postgres_database) == ["a", "b"]


@HAS_A_PIPELINE
def test_an_error_somebody_swallowed_is_not_committed_over(postgres_database: Database) -> None:
    """The transaction is lost even if its work goes on as if nothing had been: the run fails, nothing was written."""

    def work(connection: Connection) -> str:
        run(connection, "insert into worker_leases values ('a', 'p', 0)")
        with contextlib.suppress(Exception):
            fetch(connection, "select 1 / 0")
        return "as if nothing had been"

    with pytest.raises(DBAPIError):
        postgres_database.run(work, pipelined=True)

    assert names(postgres_database) == []


@pytest.fixture
def deferred(postgres_database: Database) -> Iterator[Database]:
    """A database with a table whose constraint is looked at by the commit: `worker_test_deferred (id, other)`."""
    with postgres_database.writing() as connection:
        run(connection, "drop table if exists worker_test_deferred")
        run(
            connection,
            "create table worker_test_deferred (id int primary key,"
            " other int references worker_test_deferred deferrable initially deferred)",
        )
    yield postgres_database
    with postgres_database.writing() as connection:
        run(connection, "drop table worker_test_deferred")


@HAS_A_PIPELINE
@PLAIN_OR_PIPELINED
def test_a_commit_that_fails_is_an_error(deferred: Database, pipelined: bool) -> None:
    """Every statement went well and the commit did not: the caller hears it, again and again, nothing was written, and
    the connection goes on."""

    def work(connection: Connection) -> list[tuple[Any, ...]]:
        run(connection, "insert into worker_leases values ('a', 'p', 0)")
        run(connection, "insert into worker_test_deferred values (1, 2)")
        return fetch(connection, "select id from worker_test_deferred")

    pid = deferred.run(backend, pipelined=pipelined)
    for _ in range(8):
        with pytest.raises(IntegrityError):
            deferred.run(work, pipelined=pipelined)
        assert names(deferred) == []
    deferred.run(lambda c: run(c, "insert into worker_leases values ('b', 'p', 0)"), pipelined=pipelined)

    assert names(deferred) == ["b"]
    assert pid == deferred.run(backend, pipelined=pipelined)


@pytest.mark.usefixtures("pauses")
@HAS_A_PIPELINE
@pytest.mark.parametrize("state", ["40001", "40P01"], ids=["serialization", "deadlock"])
@pytest.mark.parametrize("at_commit", [False, True], ids=["statement", "commit"])
def test_what_the_server_asks_to_repeat_is_repeated_when_pipelined(
    deferred: Database, state: str, at_commit: bool
) -> None:
    """Also when its word comes with the commit's answer: the transaction again, with only the last try's rows."""
    tried: list[int] = []
    raising = f"begin raise exception 'again' using errcode = '{state}'; end"
    with deferred.writing() as connection:
        run(
            connection,
            f"create or replace function worker_test_again() returns trigger language plpgsql as $${raising}$$",
        )
        run(
            connection,
            "create constraint trigger again after insert on worker_test_deferred deferrable"
            f" initially {'deferred' if at_commit else 'immediate'} for each row execute function worker_test_again()",
        )

    def work(connection: Connection) -> int:
        tried.append(1)
        run(connection, "insert into worker_leases values (:name, 'p', 0)", {"name": f"n{len(tried)}"})
        if len(tried) < 4:
            run(connection, "insert into worker_test_deferred values (1, null)")
        return len(tried)

    try:
        assert deferred.run(work, pipelined=True) == 4
        assert names(deferred) == ["n4"]
    finally:
        with deferred.writing() as connection:
            run(connection, "drop function worker_test_again cascade")


@pytest.mark.fewer_databases("on SQLite one transaction writes at a time")
def test_two_that_deadlock_both_get_through_when_pipelined(server_database: Database) -> None:
    """A real one: each holds what the other wants; the server ends one of them, which starts over.

    More than once where it has its first row again before the other one has it.
    """
    insert = "insert into worker_leases values (:name, 'p', 0)"
    for name in ("a", "b"):
        server_database.run(lambda c, name=name: run(c, insert, {"name": name}), pipelined=True)
    both, tried = threading.Barrier(2), []

    def work(connection: Connection, first: str, second: str) -> None:
        tried.append(first)
        lock = "select held_until from worker_leases where name = :name for update"
        fetch(connection, lock, {"name": first})
        if len(tried) <= 2:
            both.wait(120)
        fetch(connection, lock, {"name": second})
        for name in (first, second):
            run(connection, "update worker_leases set held_until = held_until + 1 where name = :name", {"name": name})

    with ThreadPoolExecutor(2) as pool:
        orders = (("a", "b"), ("b", "a"))
        done = [
            pool.submit(server_database.run, lambda c, order=order: work(c, *order), pipelined=True) for order in orders
        ]
        for one in done:
            one.result(120)

    assert len(tried) >= 3
    with server_database.reading() as connection:
        assert fetch(connection, "select held_until from worker_leases") == [(2,), (2,)]


def test_placeholders_are_the_drivers() -> None:
    """`:name` everywhere; casts and percent signs stay what they are."""
    sql = "select :a::bigint, '50%' from t where b = :b_c"

    assert driver_sql("postgresql", sql) == "select %(a)s::bigint, '50%%' from t where b = %(b_c)s"
    assert sql == driver_sql("sqlite", sql)


def test_writers_of_a_process_are_served_in_the_order_they_came() -> None:
    """SQLite has no fair queue; our lock has one, and again when it was empty."""
    lock, order = FifoLock(), []

    def enter(n: int) -> None:
        with lock.acquire():
            order.append(n)

    for turn in ([0, 1, 2, 3, 4, 5], [6, 7]):
        threads = [threading.Thread(target=enter, args=(n,)) for n in turn]
        with lock.acquire():
            for waiting, thread in enumerate(threads, start=1):
                thread.start()
                while len(lock._waiting) < waiting:
                    pass
        for thread in threads:
            thread.join(120)

    assert list(range(8)) == order


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

    assert database.read_now() - before == 1_500_000


@pytest.mark.parametrize("url", ["oracle://x/y", "nonsense", ""])
def test_a_wrong_database_url_is_a_clear_sentence(url: str) -> None:
    """Said at the start, naming the ones that work."""
    with pytest.raises(ConfigurationError, match="postgresql"):
        make_engine(url)


@pytest.mark.parametrize("url", ["mysql+pymysql://me:secret@h:3306", "mariadb://me:secret@h/"])
def test_a_url_that_names_no_database_is_a_clear_sentence(url: str) -> None:
    """MariaDB connects all the same, and then has no table."""
    with pytest.raises(ConfigurationError, match=r"names no database; write (mysql|mariadb)\+pymysql://user@host/name"):
        make_engine(url)


def test_a_connection_to_another_database_is_a_clear_sentence() -> None:
    """Said to the application whose own connection it is."""
    connection: Any = SimpleNamespace(dialect=SimpleNamespace(name="oracle"))

    with pytest.raises(ConfigurationError, match="oracle is not supported; use postgresql"):
        dialect_of(connection)


@pytest.mark.fewer_databases("SQLite's settings of a connection")
def test_sqlite_connections_are_durable_and_wait(sqlite_url: str) -> None:
    """WAL and a full sync for every commit."""
    engine = make_engine(sqlite_url)
    with engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"pragma {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        ]
    engine.dispose()

    assert found == ["wal", 2, 15_000]


@pytest.mark.fewer_databases("the sentence is ours")
def test_a_producer_that_asks_for_it_is_run_again(database: Database) -> None:
    """Inside one of our own transactions, too; in the application's the application does it."""
    tries = list[int]()

    def work(connection: Connection) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise RetryTransaction("roll back and repeat it from its start")
        return len(tries)

    assert database.run(work) == 3
    with pytest.raises(RetryTransaction):
        database.run(lambda connection: work(tries.clear() or connection), tries=2)


FEW = "with recursive few(n) as (select 1 union all select n + 1 from few where n < 900)"
ENDLESS = f"{FEW} select count(*) from few a, few b, few c, few d where a.n + b.n + c.n + d.n < 0"


def test_a_statement_of_a_page_ends_in_time(database: Database) -> None:
    """The database ends it, and what comes after it on the same connection has no limit."""
    with pytest.raises(DBAPIError), database.reading_for(0.05) as connection:
        fetch(connection, ENDLESS)

    with database.reading_for(10) as connection:
        assert fetch(connection, "select 1") == [(1,)]
    with database.reading() as connection:
        assert fetch(connection, f"{FEW} select count(*) from few a, few b where a.n + b.n < 0") == [(0,)]


@pytest.mark.fewer_databases("SQLite alone is a file of ours")
def test_the_file_of_an_sqlite_outbox_is_its_owners_alone(tmp_path: Path) -> None:
    """It holds texts, recipients and tokens, and the umask of most machines lets everybody read a new file."""
    before = os.umask(0o022)
    try:
        engine = make_engine(f"sqlite:///{tmp_path}/outbox.db")
        with engine.begin() as connection:
            connection.exec_driver_sql("create table anything (it integer)")
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        engine.dispose()
    finally:
        os.umask(before)

    assert modes == {"outbox.db": 0o600, "outbox.db-wal": 0o600, "outbox.db-shm": 0o600}
