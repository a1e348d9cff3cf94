"""A database error inside the caller's transaction: told by class and code, without text and without recipients."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pymysql.err
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError

import worker
from tests.support.producing import ACCOUNTS, told
from worker import RetryTransaction, Text, To
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.caller import in_callers_transaction
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.error_text import MISSING_TABLES, remedy_of, without_values

CANARY = "canary-salary"
PERSON = "canary-person"
STATEMENT = "insert into worker_jobs values (:message)"


@pytest.fixture(autouse=True)
def _accounts() -> Iterator[None]:
    """This process's accounts are the tests' own."""
    worker.configure(ACCOUNTS)
    yield
    worker.configure(None)


def ask(connection: Connection) -> None:
    """A job whose text and recipient must not be seen again."""
    worker.enqueue(connection, "hr", Text(content=CANARY), To(users=[PERSON]), dedupe_key="k")


def test_a_missing_table_says_what_to_run(database: Database) -> None:
    """After the key was read once: the driver's own error would show the whole row."""
    with database.writing() as connection:
        ask(connection)
    rename(database, "worker_jobs", "worker_jobs_away")

    try:
        with database.writing() as connection, pytest.raises(ConfigurationError, match="worker db upgrade") as caught:
            ask(connection)
    finally:
        rename(database, "worker_jobs_away", "worker_jobs")

    assert "canary" not in told(caught.value)


@pytest.mark.fewer_databases("what a server refuses")
@pytest.mark.parametrize(
    ("server", "statements", "code"),
    [
        pytest.param("mariadb", ["set max_join_size = 1"], "1104", marks=pytest.mark.mariadb),
        pytest.param(
            "postgres",
            ["create role worker_reads_nothing", "set local role worker_reads_nothing"],
            "42501",
            marks=pytest.mark.postgres,
        ),
    ],
)
def test_a_refusal_is_not_told_as_missing_tables(
    request: pytest.FixtureRequest, server: str, statements: list[str], code: str
) -> None:
    """At the first statement of an engine, too: the tables are there, and `worker db upgrade` would change nothing."""
    engine = make_engine(request.getfixturevalue(f"{server}_url"))
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))

        with pytest.raises(DBAPIError, match=code):
            ask(connection)
        connection.rollback()
    engine.dispose()


def rename(database: Database, old: str, new: str) -> None:
    with database.writing() as connection:
        connection.execute(text(f"alter table {old} rename to {new}"))


@pytest.mark.fewer_databases("SQLite's own words")
def test_a_broken_constraint_shows_no_row(sqlite_database: Database) -> None:
    """The class stays, the row does not."""
    with sqlite_database.writing() as connection:
        connection.execute(text("create trigger no before insert on worker_jobs begin select raise(abort, 'no'); end"))
        with pytest.raises(IntegrityError) as caught:
            ask(connection)

    assert isinstance(caught.value.orig, sqlite3.IntegrityError)
    assert "canary" not in told(caught.value)


@pytest.mark.fewer_databases("PostgreSQL's own words")
@pytest.mark.postgres
def test_postgresqls_detail_shows_no_row(postgres_database: Database) -> None:
    """Its DETAIL says "Failing row contains (...)": what remains is SQLSTATE, table and constraint."""
    with postgres_database.engine.connect() as connection:
        connection.execute(text("alter table worker_jobs add constraint short check (length(message) < 5)"))

        with pytest.raises(IntegrityError) as caught:
            ask(connection)
        connection.rollback()

    assert "error 23514, table worker_jobs, constraint short" in str(caught.value)
    assert "canary" not in told(caught.value)


@pytest.mark.fewer_databases("PostgreSQL's own words")
@pytest.mark.postgres
def test_a_lock_that_is_not_free_shows_no_row(postgres_database: Database) -> None:
    """PostgreSQL's lock_timeout of the caller's own: an OperationalError as before, without the parameters."""
    with postgres_database.writing() as holder, postgres_database.engine.connect() as connection:
        ask(holder)
        connection.execute(text("set local lock_timeout = '20ms'"))

        with pytest.raises(OperationalError) as caught:
            ask(connection)
        connection.rollback()

    assert "55P03" in str(caught.value)
    assert "canary" not in told(caught.value)


@pytest.mark.fewer_databases("PostgreSQL's own words")
@pytest.mark.postgres
def test_a_transaction_to_repeat_shows_no_row(postgres_database: Database) -> None:
    """RetryTransaction names its cause, and the cause has no values either."""
    strict = postgres_database.engine.execution_options(isolation_level="REPEATABLE READ")
    with strict.connect() as connection:
        connection.execute(text("select count(*) from worker_jobs"))
        with postgres_database.writing() as other:
            ask(other)

        with pytest.raises(RetryTransaction) as caught:
            ask(connection)

    assert isinstance(caught.value.__cause__, DBAPIError)
    assert "canary" not in told(caught.value)


def test_mariadbs_words_show_no_value() -> None:
    """Its "Duplicate entry 'value'" becomes the number alone."""
    cause = pymysql.err.IntegrityError(1062, f"Duplicate entry '{CANARY}' for key 'x'")

    clean = without_values(IntegrityError(STATEMENT, {"message": CANARY}, cause))

    assert isinstance(clean, IntegrityError)
    assert clean.orig.args == (1062, "IntegrityError")  # type: ignore[union-attr]
    assert "canary" not in told(clean)


def test_a_value_that_cannot_be_bound_is_not_shown() -> None:
    """SQLAlchemy's own error before the driver is asked, and a driver's error that is made in another way."""

    class Odd(Exception):
        sqlstate = "XX000"

        def __init__(self, one: str, two: str, three: str):
            super().__init__(one)

    clean = without_values(StatementError(CANARY, "select 1", {"a": CANARY}, ValueError(CANARY)))
    odd = without_values(DBAPIError(STATEMENT, {"a": CANARY}, Odd(CANARY, "", "")))

    assert type(clean) is StatementError
    assert odd.orig.sqlstate == "XX000"  # type: ignore[union-attr]
    assert "canary" not in told(clean) + told(odd)


class Said(Exception):
    """A driver's error with an SQLSTATE or without."""

    def __init__(self, *args: Any, sqlstate: str | None = None):
        super().__init__(*args)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Said("x", sqlstate="28P01"), "user or password is wrong"),
        (Said("x", sqlstate="3D000"), "database does not exist"),
        (Said("x", sqlstate="42P01"), MISSING_TABLES),
        (Said("x", sqlstate="57P03"), "server cannot be reached"),
        (Said(1045, "x"), "user or password is wrong"),
        (Said(1049, "x"), "database does not exist"),
        (Said(1049, "x", sqlstate="42000"), "database does not exist"),
        (Said(2003, "x"), "server cannot be reached"),
        (Said(1146, "x"), MISSING_TABLES),
        (Said(1040, "x"), "no connection left"),
        (Said("x", sqlstate="53100"), "disk is full"),
        (Said(1021, "x"), "disk is full"),
        (Said(1114, "x"), "disk is full"),
        (Said("database or disk is full"), "disk is full"),
        (Said("disk I/O error"), "disk is full or fails"),
        (Said(1205, "x"), "lock was not free"),
        (Said(1969, "x"), "took too long"),
        (Said('connection failed: FATAL:  password authentication failed for user "u"'), "user or password is wrong"),
        (Said('FATAL:  database "x" does not exist'), "database does not exist"),
        (Said('FATAL:  role "x" does not exist'), "user or password is wrong"),
        (Said("[Errno -2] failed to resolve host 'h'"), "server cannot be reached"),
        (Said("FATAL:  unsupported startup parameter: options"), "ignore_startup_parameters"),
        (
            Said("connection failed: server does not support SSL, but SSL was required"),
            "correct the ssl options in the",
        ),
        (
            Said('connection is bad: invalid sslmode value: "requird"'),
            "the database URL has an option that its driver does not take",
        ),
        (Said('invalid connection option "sslmod"'), "the database URL has an option that its driver does not take"),
        (Said(2026, "SSL is required but the server doesn't support it"), "TLS with the server fails, or it has none"),
        (Said("unable to open database file"), "create its folder"),
    ],
)
def test_a_fault_is_named_by_its_code_or_words(cause: Exception, words: str) -> None:
    """Password, database, server, tables and folder are told apart on every database."""
    assert words in (remedy_of(DBAPIError(None, None, cause)) or "")


@pytest.mark.parametrize("error", [ValueError("x"), DBAPIError(None, None, Said("x", sqlstate="22000"))])
def test_an_unknown_fault_has_no_remedy(error: Exception) -> None:
    """Nothing is guessed."""
    assert remedy_of(error) is None


def test_the_errors_of_every_function_of_the_door_are_cleaned(database: Database) -> None:
    """They all go through the same place."""

    @in_callers_transaction
    def broken(connection: Connection) -> None:
        connection.execute(text("select nothing(:a)"), {"a": CANARY})

    with database.engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        broken(connection)

    assert "canary" not in told(caught.value)
