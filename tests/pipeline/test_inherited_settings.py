"""What environment, role, database and server say of a connection: every row of the page's table is tried.

A row names what is set, what becomes of it on the worker's connections, and what `enqueue` does on the application's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.exc import DBAPIError

from tests.docs.page import Page
from tests.support.producing import ACCOUNTS, ANN
from tests.support.runtime import planted
from worker import ConfigurationError, Text, enqueue, find_jobs
from worker.cli.setup.doctor import findings
from worker.cli.setup.finding import Level
from worker.config.places import UrlFrom
from worker.config.settings import Settings
from worker.outbox.engine import migrate
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.dialect import MARIADB
from worker.outbox.engine.error_text import sqlstate_of
from worker.outbox.engine.inherited import inherited_settings

pytestmark = [pytest.mark.own_engine, pytest.mark.fewer_databases("each server's own settings")]

LETTER = Text(content="你好 😀 'a' \"b\" \\ %s")
CHINESE = {
    "overruled": "不起作用",
    "left as it is": "保持不变",
    "`worker doctor` warns": "`worker doctor` 提示",
    "works": "正常",
    "refused": "拒绝并说明",
    "refused by the server": "被服务器拒绝",
}
VARIABLES = {"PGTZ": "TimeZone", "PGDATESTYLE": "DateStyle"}
PAGE, CHINESE_PAGE = Page("docs/databases.md"), Page("docs/zh/databases.md")
ROW = re.compile(r"^\| `((?:PG|alter |set global )[^`]*)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS: list[tuple[str, str, str]] = ROW.findall(PAGE.text)


def test_both_pages_have_the_table() -> None:
    """Row by row, in the words of each language."""
    translated = [(setting, CHINESE[ours], CHINESE[theirs]) for setting, ours, theirs in ROWS]

    assert translated == ROW.findall(CHINESE_PAGE.text)
    assert len(ROWS) > 30


def rows_of(*beginnings: str) -> pytest.MarkDecorator:
    rows = [row for row in ROWS if row[0].startswith(beginnings)]
    return pytest.mark.parametrize(("setting", "ours", "theirs"), rows, ids=[row[0] for row in rows])


@pytest.mark.postgres
@rows_of("PG", "alter ")
def test_a_row_of_postgresql(
    postgres_url: str,
    setting: str,
    ours: str,
    theirs: str,
    driven_clock: DrivenClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a variable, for the role and for the database."""
    with inheriting(postgres_url, setting, monkeypatch) as url:
        assert (ours, theirs) == (of_the_worker(url, setting, driven_clock), of_a_producer(url))


@pytest.mark.mariadb
@rows_of("set global")
def test_a_row_of_mariadb(mariadb_url: str, setting: str, ours: str, theirs: str, driven_clock: DrivenClock) -> None:
    """A connection begins with the server's value: here it is set before anybody else uses the connection."""
    session = setting.replace("set global", "set session")
    url = make_url(mariadb_url).update_query_dict({"init_command": session}).render_as_string(hide_password=False)

    assert (ours, theirs) == (of_the_worker(url, setting, driven_clock), of_a_producer(url))


@pytest.mark.postgres
def test_doctor_says_who_sets_what(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is too short is a caution; the rest is listed."""
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=900 -c work_mem=9MB")
    monkeypatch.setenv("PGTZ", "Asia/Shanghai")
    settings = Settings(database=UrlFrom(url=postgres_url))

    told = {(one.level, one.text) for one in findings(lambda: settings) if "the environment or the URL" in one.text}

    assert told == {
        (
            Level.CAUTION,
            "the environment or the URL sets statement_timeout to 900ms: what takes longer is cut off, again and"
            " again if it never fits; give the worker 0, or 30 s and more",
        ),
        (
            Level.OK,
            "the environment or the URL sets TimeZone = Asia/Shanghai, work_mem = 9MB, and the worker leaves that as it"
            " is",
        ),
    }


@contextmanager
def inheriting(url: str, setting: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same database for a role of its own, with this setting in effect for new connections."""
    own = make_url(url)
    role, name = f"inheriting_{own.database}", str(own.database)
    admin = create_engine(own, isolation_level="AUTOCOMMIT", connect_args={"options": "-c client_encoding=utf8"})
    with admin.connect() as connection:
        connection.exec_driver_sql(f"create role {role} superuser login")
        try:
            if setting.startswith("PG"):
                variable, _, value = setting.partition("=")
                monkeypatch.setenv(variable, value.strip("'"))
            else:
                connection.exec_driver_sql(
                    setting.replace("role app", f"role {role}").replace("base app", f"base {name}")
                )
            yield own.set(username=role).render_as_string(hide_password=False)
        finally:
            monkeypatch.undo()
            connection.exec_driver_sql(f"alter database {name} reset all")
            connection.exec_driver_sql(f"drop role {role}")
    admin.dispose()


def of_the_worker(url: str, setting: str, clock: DrivenClock) -> str:
    """What becomes of it on the worker's connections, which deliver with it unless `worker doctor` warns."""
    with closing(Database(make_engine(url), clock=clock)) as database:
        with database.reading() as connection:
            assert migrate.is_current(connection)
            inherited, variable = inherited_settings(connection), setting.partition("=")[0]
            if any(found.cuts_off or found.forbids_writes for found in inherited):
                return "`worker doctor` warns"
            is_left = any(found.name in setting or found.name == VARIABLES.get(variable) for found in inherited)
            if database.dialect is MARIADB:
                is_left = value_of(connection, setting) == value_without_us(url, setting)
        with planted(database, clock) as site:
            job = site.send(LETTER.content)
            site.run()
            assert "accepted" == site.state(job)
    return "left as it is" if is_left else "overruled"


def value_of(connection: Connection, setting: str) -> str:
    """What is in effect of MariaDB's variable in a row."""
    return str(connection.exec_driver_sql(f"select @@{setting.split()[2]}").scalar_one())


def value_without_us(url: str, setting: str) -> str:
    """The same for a connection that is not the worker's."""
    engine = create_engine(url)
    with engine.connect() as connection:
        value = value_of(connection, setting)
    engine.dispose()
    return value


def of_a_producer(url: str) -> str:
    """What `enqueue` does in the application's own transaction."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            job = enqueue(connection, "hr", LETTER, ANN, accounts=ACCOUNTS, dedupe_key="key")
            again = enqueue(connection, "hr", LETTER, ANN, accounts=ACCOUNTS, dedupe_key="key")
            assert (job.id, False) == (again.id, again.created)
            assert [job.id] == [found.id for found in find_jobs(connection).jobs if found.dedupe_key]
    except ConfigurationError:
        return "refused"
    except DBAPIError as error:
        return "refused by the server" if sqlstate_of(error.orig) == "25006" else repr(error)
    finally:
        engine.dispose()
    return "works"
