"""MariaDB: what a connection of ours is set to, what a server is refused for, and what its numbers mean."""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pymysql
import pytest
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.support.producing import ACCOUNTS, ANN, HELLO
from worker import ConfigurationError, NewJob, enqueue_many
from worker.outbox import tables
from worker.outbox.engine import mariadb
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.database import Database, is_data_error, is_retryable, is_unavailable, make_engine
from worker.outbox.engine.dialect import MARIADB
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.jobs import owners
from worker.outbox.jobs.loading import load_parts
from worker.outbox.jobs.rows import lock_parts_now
from worker.outbox.lanes.budgets import Budgets
from worker.outbox.lanes.full_scan import START, lanes_with_due
from worker.outbox.lanes.offering import expired_parts, lanes_newly_due, offer, read_due_batch

pytestmark = [pytest.mark.own_engine, pytest.mark.mariadb, pytest.mark.fewer_databases("MariaDB's own manners")]

SET = ("sql_mode", "time_zone", "character_set_client", "autocommit", "wait_timeout")


def isolation(connection: Connection) -> str:
    """The name of the variable that says it; old MariaDB knows only the first, MySQL only the second."""
    return "tx_isolation" if getattr(connection.dialect, "is_mariadb", False) else "transaction_isolation"


def asked(connection: Connection) -> tuple[Any, ...]:
    """What a session is set to."""
    names = [isolation(connection), *SET]
    if isolation(connection) == "tx_isolation":  # MySQL ends no transaction that idles
        names.append("idle_transaction_timeout")
    return tuple(connection.execute(text("select " + ", ".join(f"@@session.{name}" for name in names))).one())


def test_connections_are_made_the_same_whatever_the_server_says(mariadb_database: Database) -> None:
    """READ COMMITTED, strict, UTC, utf8mb4, for writing and for single reads; the server's own default is another."""
    strict = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"

    with mariadb_database.writing() as connection:
        writing = asked(connection)
        default = connection.execute(text(f"select @@global.{isolation(connection)}")).scalar_one()
    with mariadb_database.reading() as connection:
        reading = asked(connection)

    assert ("READ-COMMITTED", strict, "+00:00", "utf8mb4", 0, 28_800) == writing[:6]
    assert ("READ-COMMITTED", strict, "+00:00", "utf8mb4", 1, 28_800) == reading[:6]
    assert writing[6:] == reading[6:] == ((60,) if isolation(connection) == "tx_isolation" else ())
    assert default == "REPEATABLE-READ"


def test_a_server_that_vanishes_during_a_statement_is_noticed_as_soon_as_one_before_it(
    mariadb_database: Database,
) -> None:
    """Linux drops such a connection only with a further probe, which would come after 75 s."""
    with mariadb_database.reading() as connection:
        driver: Any = connection.connection.driver_connection
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT)
        idle_s, interval_s, limit_ms = [driver._sock.getsockopt(socket.IPPROTO_TCP, option) for option in options]

    assert 1000 * (idle_s + interval_s) <= limit_ms == 15_000


def test_both_names_of_the_dialect_are_the_same(mariadb_url: str) -> None:
    """`mariadb://` and `mysql://`, with and without the driver."""
    driverless = mariadb_url.replace("mysql+pymysql", "mariadb")

    for url in (
        driverless,
        driverless.replace("mariadb:", "mariadb+pymysql:"),
        driverless.replace("mariadb:", "mysql:"),
    ):
        database = Database(make_engine(url))
        assert (database.dialect.name, database.engine.dialect.driver) == ("mysql", "pymysql")
        assert database.read_now() > 0
        database.close()


Answers = dict[str, list[tuple[Any, ...]]]
"""Words of a query -> the rows that it is answered instead of the server's."""


class Cursor:
    """A cursor of the driver that answers some queries by itself."""

    def __init__(self, cursor: Any, answers: Answers) -> None:
        self._cursor, self._answers = cursor, answers
        self._rows: list[tuple[Any, ...]] | None = None

    def execute(self, sql: str, *values: Any) -> Any:
        """Asks the server, unless there is an answer."""
        self._rows = next((rows for words, rows in self._answers.items() if words in sql), None)
        return self._cursor.execute(sql, *values) if self._rows is None else len(self._rows)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows of the answer, or the server's."""
        return list(self._cursor.fetchall()) if self._rows is None else self._rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class Server:
    """A connection of the driver to a server that says other things of itself."""

    def __init__(self, connection: Any, answers: Answers, version: str) -> None:
        self._connection, self._answers, self.server_version = connection, answers, version

    def cursor(self, *given: Any) -> Cursor:
        """A cursor that gives the answers."""
        return Cursor(self._connection.cursor(*given), self._answers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def connect(url: str, *, version: str = "10.11.6-MariaDB", clock: str = "00:00:00.001", **changed: Any) -> None:
    """Makes a first connection to a server that is as it should be but for what was changed."""
    good = {"level": "READ-COMMITTED", "mode": "STRICT_ALL_TABLES", "packet": 2**24, "binlog": "MIXED", "log": 1}
    answers: Answers = {
        "@@max_allowed_packet": [tuple({**good, **changed}.values())],
        "sleep(0.001)": [("00:00:00.000", 0, clock)],
    }
    engine = make_engine(url)

    @event.listens_for(engine, "do_connect")
    def _instead(dialect: Any, _record: Any, given: Any, named: Any) -> Server:
        return Server(dialect.connect(*given, **named), answers, version)

    try:
        engine.connect().close()
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"level": "REPEATABLE-READ"}, "not READ-COMMITTED"),
        ({"mode": "NO_ENGINE_SUBSTITUTION"}, "strict SQL mode"),
        ({"binlog": "STATEMENT"}, "ROW or MIXED"),
        ({"packet": 2**20}, "16M"),
    ],
)
def test_a_server_that_cannot_keep_the_promises_is_refused(
    mariadb_url: str, changed: dict[str, Any], words: str
) -> None:
    """One sentence with the remedy at the first connection, before anything is written."""
    connect(mariadb_url)
    connect(mariadb_url, version="8.0.36", binlog="STATEMENT", log=0)

    with pytest.raises(ConfigurationError, match=words):
        connect(mariadb_url, **changed)


def test_a_clock_that_stands_still_in_a_statement_is_refused(mariadb_url: str) -> None:
    """`sysdate-is-now`: the clock would be the statement's start, before it waited for its locks."""
    with pytest.raises(ConfigurationError, match="sysdate-is-now"):
        connect(mariadb_url, clock="00:00:00.000")


def test_the_check_happens_when_a_connection_is_made(mariadb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no exception of the driver that somebody might wait out."""
    monkeypatch.setattr(mariadb, "MIN_PACKET", 2**40)
    engine = make_engine(mariadb_url)

    with pytest.raises(ConfigurationError, match="max_allowed_packet"), engine.connect():
        pass
    engine.dispose()


@pytest.mark.parametrize("zone", ["+00:00", "-11:30", "+13:00"])
def test_the_clock_is_utc_in_every_time_zone(mariadb_database: Database, zone: str) -> None:
    """A caller's session has a zone of its own; instants are the same."""
    with mariadb_database.writing() as connection:
        connection.exec_driver_sql(f"set session time_zone = '{zone}'")
        now = connection.exec_driver_sql(f"select {MARIADB.now}").scalar_one()
        connection.exec_driver_sql("set session time_zone = '+00:00'")

    assert type(now) is int
    assert abs(now / 1_000_000 - time.time()) < 60


@pytest.mark.parametrize(
    ("start", "evaluated", "utc", "passed_s"),
    [
        pytest.param("03-29 01:59:59.9", "03-29 03:00:01.4", "03-29 00:59:59.9", 1.5, id="an hour forward"),
        pytest.param("10-25 02:59:59.9", "10-25 02:00:01.4", "10-25 00:59:59.9", 1.5, id="an hour back"),
        pytest.param("10-04 01:59:59.9", "10-04 02:30:01.4", "10-03 15:29:59.9", 1.5, id="half an hour forward"),
        pytest.param("04-05 01:59:59.9", "04-05 01:30:01.4", "04-04 14:59:59.9", 1.5, id="half an hour back"),
        pytest.param("06-01 12:00:00.0", "06-01 12:00:01.5", "06-01 10:00:00.0", 1.5, id="not at all"),
        pytest.param("06-01 12:00:00.0", "06-01 11:59:59.5", "06-01 10:00:00.0", -0.5, id="set back by a hair"),
    ],
)
def test_a_statement_that_waits_while_the_callers_clocks_are_moved_has_the_right_instant(
    mariadb_database: Database, start: str, evaluated: str, utc: str, passed_s: float
) -> None:
    """Clocks of a time zone are moved while a producer's statement waits, by whole half-hours; 1.5 s have passed. (What
    the server's own clock is set back by is not that.)
    """
    clock = MARIADB.now
    for name, local in (("sysdate(6)", evaluated), ("utc_timestamp(6)", utc), ("now(6)", start)):
        assert name in clock
        clock = clock.replace(name, f"timestamp '2026-{local}'")

    with mariadb_database.reading() as connection:
        [[found]] = fetch(connection, f"select {clock}")

    began = datetime.strptime(f"2026-{utc} +0000", "%Y-%m-%d %H:%M:%S.%f %z")
    assert began + timedelta(seconds=passed_s) == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=found)


def test_the_clock_moves_inside_a_statement(mariadb_database: Database) -> None:
    """It is read when it is evaluated: a statement that waited for a lock does not write the instant before."""
    now = MARIADB.now
    with mariadb_database.reading() as connection:
        first, _, second = fetch(connection, f"select {now}, sleep(0.01), {now}")[0]

    assert first + 10_000 <= second


def test_rows_of_one_call_carry_one_instant(mariadb_database: Database) -> None:
    """The clock is read once, not for every row and column."""
    with mariadb_database.writing() as connection:
        enqueue_many(connection, [NewJob("hr", HELLO, ANN) for _ in range(500)], accounts=ACCOUNTS)

    with mariadb_database.reading() as connection:
        [[distinct, different]] = fetch(
            connection, "select count(distinct created_at), sum(due_at <> created_at) from worker_jobs"
        )
    assert (distinct, different) == (1, 0)


def test_a_caller_whose_connection_loses_characters_is_told(mariadb_url: str) -> None:
    """With the remedy, at its first job."""
    engine = create_engine(mariadb_url, connect_args={"charset": "latin1"})

    with engine.connect() as connection, pytest.raises(ConfigurationError, match="utf8mb4"):
        enqueue_many(connection, [NewJob("hr", HELLO, ANN)], accounts=ACCOUNTS)
    engine.dispose()


# -- errors -----------------------------------------------------------------------------------------------------------


def failure(database: Database, sql: str, params: dict[str, Any]) -> DBAPIError:
    """The error of a statement on the driver's own cursor."""
    with pytest.raises(DBAPIError) as caught:
        database.run(lambda connection: fetch(connection, sql, params), tries=1)
    return caught.value


LEASE = "insert into worker_leases values (:name, :holder, :until)"
ROW: dict[str, Any] = {"name": "n", "holder": "h", "until": 0}


@pytest.mark.parametrize(
    ("sql", "change"),
    [
        pytest.param(LEASE, {"holder": "x" * 33}, id="too long"),
        pytest.param(LEASE, {"until": 2**63}, id="out of range"),
        pytest.param(LEASE, {"until": "soon"}, id="no number"),
        pytest.param(LEASE, {"holder": b"\xff\xfe"}, id="no utf-8"),
        pytest.param(LEASE, {"holder": None}, id="null"),
        pytest.param(f"{LEASE}, (:name, :holder, :until)", {}, id="twice"),
        pytest.param("select * from json_table(:name, '$[*]' columns (a int path '$.a')) v", {"name": "[{"}, id="json"),
    ],
)
def test_a_value_that_is_refused_is_about_the_row(mariadb_database: Database, sql: str, change: dict[str, Any]) -> None:
    """It can never pass: not waited for, not repeated, not cut."""
    error = failure(mariadb_database, sql, ROW | change)

    assert (is_data_error(error), is_unavailable(error), is_retryable(error)) == (True, False, False)


@pytest.mark.parametrize("number", [1021, 1040, 1114, 1317, 1969, 3024])
def test_what_says_nothing_about_the_row_is_waited_for(number: int) -> None:
    """Disk full, too many connections, cut short by a time limit: neither lost nor the row's fault."""
    error = OperationalError("update", {}, pymysql.err.OperationalError(number, "x"))

    assert (is_data_error(error), is_unavailable(error), is_retryable(error)) == (False, False, False)


@pytest.mark.parametrize("fields", [{"reason": "r" * 301}, {"blocked_until": 2**63}], ids=["text", "number"])
def test_a_bulk_write_cuts_nothing(mariadb_database: Database, fields: dict[str, Any]) -> None:
    """JSON_TABLE itself would: what does not fit its column is an error about the row."""
    row = {"lane": "l", "account": "hr", "label": "x", "blocked_until": 1, "reason": "x", "parked": False}

    with pytest.raises(DBAPIError) as caught:
        mariadb_database.run(lambda c: insert_rows(c, tables.lanes, [{**row, "blocked_at": 1, **fields}]))

    assert is_data_error(caught.value)


def test_a_server_that_does_not_listen_is_away() -> None:
    """Nobody listens: away, whichever pool was asked."""
    database = Database(make_engine("mysql://root@127.0.0.1:1/worker"))

    for ask in (database.read_now, lambda: database.run(lambda connection: None)):
        with pytest.raises(OperationalError) as caught:
            ask()
        assert (is_unavailable(caught.value), is_data_error(caught.value)) == (True, False)
    database.close()


# -- finished rows ----------------------------------------------------------------------------------------------------

FINISHED, QUEUED = 4_000, 20


def fill(database: Database) -> None:
    """Many finished parts and few queued ones, in the same lane."""
    row = {"job_id": "j", "n": 0, "lane": "hr:1", "priority": 1, "spec": "{}", "expires_at": 5, "not_before": 5}
    rows = [{**row, "id": f"{n:032}-0", "state": 0 if n >= FINISHED else 2} for n in range(FINISHED + QUEUED)]
    database.run(lambda connection: insert_rows(connection, tables.parts, rows))


def rows_read(connection: Connection) -> int:
    found = fetch(connection, "show session status like 'handler_read%'")
    return sum(int(value) for _, value in found)


@contextmanager
def statements(database: Database) -> Iterator[tuple[Connection, list[tuple[str, Any]]]]:
    """A transaction, and what is sent in it: the statements as the driver gets them, with their values."""
    sent: list[tuple[str, Any]] = []
    # Not one of the outbox's own connections, whose statements go past SQLAlchemy and its events.
    with database.engine.begin() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: sent.append((given[2], given[3])))
        yield connection, sent


def test_rows_are_locked_and_loaded_without_a_temporary_table(mariadb_database: Database) -> None:
    """Each id is looked up in the key, in the order of the ids: nothing is sorted, no long text is copied."""
    fill(mariadb_database)
    ids = ["a-0", "b-0"]
    with statements(mariadb_database) as (connection, sent):
        lock_parts_now(connection, ids, "1", ids)
        load_parts(connection, "1", ids)
        Budgets(mariadb_database).lock_existing(connection, ids)

    assert len(sent) == 4
    with mariadb_database.engine.connect() as connection:
        for statement, values in sent:
            plan = connection.exec_driver_sql(f"explain format=traditional {statement}", values).mappings().all()
            assert [step["type"] for step in plan[:2]] == ["ALL", "eq_ref"]
            # MySQL keeps the document of the ids in a table of its own; what is joined to it is not copied.
            extra = [str(step["Extra"]).replace("json_table; Using temporary", "json_table") for step in plan]
            assert not [words for words in extra if "temporary" in words or "filesort" in words]


def test_no_document_is_opened_beside_a_locking_clause(mariadb_database: Database) -> None:
    """MySQL refuses that (3569): ids and keys come out of a select of their own."""
    with statements(mariadb_database) as (connection, sent):
        lock_parts_now(connection, ["a-0"], "1", ["a"])
        Budgets(mariadb_database).lock_existing(connection, ["a"])
        owners(connection, [("hr", "a")])
        offer(connection, "1", ["a-0"], 1)
    locking = [statement for statement, _ in sent if "for update" in statement or "in share mode" in statement]

    assert len(locking) == 5
    for statement in locking:
        assert "json_table" not in re.sub(r"\(select [a-z_, ]+ from json_table\(", "", statement)


def test_finished_rows_are_out_of_the_way(mariadb_database: Database) -> None:
    """What relay and writer ask walks past none of them, whatever the statistics say."""
    fill(mariadb_database)
    ids = {"ids": ids_json(f"{n:032}-0" for n in range(FINISHED, FINISHED + QUEUED))}
    read: dict[str, int] = {}

    with mariadb_database.writing() as connection:
        questions = {
            "due": lambda: lanes_newly_due(connection, "9", 0, 100),
            "head": lambda: read_due_batch(connection, "9", "hr:1", 1, 100),
            "lanes": lambda: lanes_with_due(connection, "9", START, 5)[0],
            "expired": lambda: expired_parts(connection, "9", 100),
            "lock": lambda: fetch(connection, f"select id from {MARIADB.by_ids('worker_parts')} for update", ids),
        }
        for name, ask in questions.items():
            before = rows_read(connection)
            assert ask()
            read[name] = rows_read(connection) - before

    assert all(rows <= 10 * QUEUED for rows in read.values()), read


@pytest.mark.parametrize("option", ["ssl_mode=REQUIRED", "ssl=true", "ssl_ca=/nowhere/ca.pem"])
def test_an_option_that_the_driver_does_not_take_is_a_sentence(mariadb_database: Database, option: str) -> None:
    """PyMySQL raises Python's own errors for it, which no caller expects of a database."""
    plain = mariadb_database.engine.url.difference_update_query(["ssl_disabled"])
    url = plain.update_query_string(option).render_as_string(hide_password=False)

    with pytest.raises(ConfigurationError, match=r"database: an option in its URL is not one of PyMySQL's"):
        make_engine(url).connect()


def test_a_password_beyond_ascii(mariadb_database: Database) -> None:
    """It is compared in UTF-8, as servers keep it; PyMySQL alone would write Latin-1."""
    url = mariadb_database.engine.url
    for password in ("pässword", "密码", "p\U0001f511"):
        user = f"w{secrets.token_hex(6)}"
        with mariadb_database.writing() as connection:
            connection.execute(
                text("create user :user@'%' identified by :password"), {"user": user, "password": password}
            )
            connection.execute(text("grant select on *.* to :user@'%'"), {"user": user})
        try:
            engine = make_engine(url.set(username=user, password=password).render_as_string(hide_password=False))
            with engine.connect() as connection:
                assert connection.execute(text("select 1")).scalar_one() == 1
            engine.dispose()
        finally:
            with mariadb_database.writing() as connection:
                connection.execute(text("drop user :user@'%'"), {"user": user})
