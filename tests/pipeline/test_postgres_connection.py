"""PostgreSQL: what a connection of ours is set to, and what is left alone behind a pooler."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import DBAPIError

from rig import databases
from rig.tcp_door import Door
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.database import Database, is_unavailable, make_engine
from worker.outbox.engine.postgresql import missing_plan_settings
from worker.outbox.engine.sql import fetch, run

pytestmark = [pytest.mark.own_engine, pytest.mark.postgres, pytest.mark.fewer_databases("PostgreSQL's own manners")]

SETTINGS = {
    "enable_seqscan": "off",
    "jit": "off",
    "idle_in_transaction_session_timeout": "1min",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


def found(connection: Connection) -> dict[str, str]:
    return {name: str(fetch(connection, f"show {name}")[0][0]) for name in SETTINGS}


def prepared(database: Database) -> int:
    """How many statements a connection has prepared after it has run one ten times."""
    with database.reading() as connection:
        for n in range(10):
            fetch(connection, "select :n::int", {"n": n})
        return int(fetch(connection, "select count(*) from pg_prepared_statements where not from_sql")[0][0])


def another_pid(said: bytes) -> bytes:
    """What a pooler does to the message that carries the server's process number."""
    return re.sub(rb"K\0\0\0\x0c.{4}", b"K\0\0\0\x0c\x7f\0\0\1", said, flags=re.DOTALL)


def test_a_server_that_vanishes_during_a_statement_is_noticed_as_soon_as_one_before_it(
    postgres_database: Database,
) -> None:
    """Linux drops such a connection only with a further probe, which would come after 75 s."""
    with postgres_database.reading() as connection:
        driver = connection.connection.driver_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as line:  # type: ignore[union-attr]
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT)
            idle_s, interval_s, limit_ms = [line.getsockopt(socket.IPPROTO_TCP, option) for option in options]

    assert 1000 * (idle_s + interval_s) <= limit_ms == 15_000


@pytest.mark.parametrize(("role", "ours"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
def test_a_mark_is_on_disk_whatever_the_role_says(postgres_url: str, role: str, ours: str) -> None:
    """Only what would forget is overruled."""
    with closing(opened(postgres_url, options=f"-c synchronous_commit={role}")) as database:
        assert [(ours,)] == database.run(lambda c: fetch(c, "show synchronous_commit"), pipelined=True)


def test_a_variable_does_not_lead_to_another_server(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """libpq prefers PGHOSTADDR to the host in the URL."""
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.9")

    with closing(opened(postgres_url)) as database:
        assert database.read_now() > 0


def test_a_database_that_lacks_characters_is_refused() -> None:
    """Before anything is written, with what to do."""
    name = f"worker_ascii_{os.getpid()}"
    options = "encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'"
    with (
        databases.scratch_postgres(name, options) as url,
        closing(opened(url)) as database,
        pytest.raises(ConfigurationError, match="its characters are SQL_ASCII"),
    ):
        database.read_now()


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """The database behind somebody with a process number of his own."""
    url = make_url(postgres_url)
    with closing(Door(url.host or "127.0.0.1", url.port or 5432, another_pid)) as door:
        yield url.set(host="127.0.0.1", port=door.at).render_as_string(hide_password=False)


def opened(url: str, **query: str) -> Database:
    return Database(make_engine(make_url(url).update_query_dict(query).render_as_string(hide_password=False)))


def test_connections_are_made_the_same_whatever_the_role_says(postgres_database: Database) -> None:
    """For writing and for single reads; what is used often is prepared."""
    with postgres_database.writing() as connection:
        writing = found(connection)
    with postgres_database.reading() as connection:
        reading = found(connection)

    assert SETTINGS == writing == reading
    assert prepared(postgres_database) > 0
    with postgres_database.reading() as connection:
        assert missing_plan_settings(connection) == []


def test_behind_a_pooler_nothing_is_set_and_nothing_is_prepared(pooled_url: str) -> None:
    """The next transaction may be another client's: it would run our statement for its own of the same name."""
    with closing(opened(pooled_url)) as database:
        with database.reading() as connection:
            settings, left = found(connection), missing_plan_settings(connection)

        assert SETTINGS.keys() == {name for name, value in SETTINGS.items() if settings[name] != value}
        assert left == ["enable_seqscan", "jit"]
        assert prepared(database) == 0
        assert database.run(lambda c: fetch(c, "select 1"), pipelined=True)[0][0] == 1


@pytest.mark.parametrize(("said", "some"), [("0", True), ("none", False)])
def test_the_url_says_when_statements_are_prepared(postgres_url: str, pooled_url: str, said: str, some: bool) -> None:
    """In psycopg's own words, with a pooler or without."""
    for url in (postgres_url, pooled_url):
        with closing(opened(url, prepare_threshold=said)) as database:
            assert some == (prepared(database) > 0)


def test_another_word_than_a_number_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match="prepare_threshold in its URL must be a number or none"):
        opened("postgresql://worker@127.0.0.1/worker", prepare_threshold="often")


def test_a_transaction_that_stands_still_is_ended_and_told_as_lost(postgres_database: Database) -> None:
    """Its locks are free again; whoever was in it hears that the connection is gone, not that a statement was wrong."""

    def stand_still(connection: Connection) -> None:
        [(pid,)] = fetch(connection, "select pg_backend_pid()")
        fetch(connection, "select name from worker_site for update")
        run(connection, "set idle_in_transaction_session_timeout = '10ms'")
        until_gone(postgres_database, pid)
        fetch(connection, "select 1")

    with pytest.raises(DBAPIError) as caught:
        postgres_database.run(stand_still)

    assert is_unavailable(caught.value)
    with postgres_database.writing() as connection:
        assert fetch(connection, "select name from worker_site for update nowait")


def until_gone(database: Database, pid: int) -> None:
    with database.reading() as connection:
        for _ in range(2_000):
            if not fetch(connection, "select 1 from pg_stat_activity where pid = :pid", {"pid": pid}):
                return
            fetch(connection, "select pg_sleep(0.005)")
    raise AssertionError("it is still there")


def test_options_in_the_url_are_kept(postgres_database: Database) -> None:
    url = postgres_database.engine.url.update_query_dict({"options": "-c statement_timeout=4321"})
    other = Database(make_engine(url.render_as_string(hide_password=False)))
    with other.reading() as connection:
        found = [connection.exec_driver_sql(f"show {name}").scalar_one() for name in ("statement_timeout", "jit")]
    other.close()

    assert found == ["4321ms", "off"]
