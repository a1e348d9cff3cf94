"""What environment, role, database and server say of a connection: every row of the page's table is tried.

A row names what is set, what becomes of it on the worker's connections, and what `enqueue` does on the application's.
Each setting that a server has and no row names is in a group of `session_settings.toml`, with the group's reason.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

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
TRIED = re.compile(r"(?:-c|set|set global) (\w+) ?=")
"""The setting of a row."""
GROUPS: Mapping[str, Mapping[str, str]] = tomllib.loads(
    Path(__file__).with_name("session_settings.toml").read_text(encoding="utf-8")
)
UNUSUAL = ("lowest", "highest")
"""Which other value a setting gets: a number the lowest or the highest, anything else the first or the last."""


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


@pytest.mark.postgres
def test_each_setting_of_a_session_of_postgresql_is_known(postgres_url: str) -> None:
    """One that a newer server has is found here, before it changes what a statement of the outbox does."""
    rows = described(postgres_url, f"select version(), name {OF_A_POSTGRESQL_SESSION}")

    assert_known("postgresql", rows, "worker/outbox/engine/postgresql.py")


@pytest.mark.mariadb
def test_each_setting_of_a_session_of_mariadb_is_known(mariadb_url: str) -> None:
    """The same."""
    rows = described(mariadb_url, f"select version(), lower(variable_name) {OF_A_MARIADB_SESSION}")

    assert_known("mariadb", rows, "worker/outbox/engine/mariadb.py")


def test_each_pragma_of_sqlite_is_known(sqlite_url: str) -> None:
    """The same: a build may have another default."""
    rows = described(sqlite_url, "select sqlite_version(), name from pragma_pragma_list")

    assert_known("sqlite", rows, "worker/outbox/engine/database.py")


@pytest.mark.postgres
@pytest.mark.parametrize("end", UNUSUAL)
def test_no_other_setting_of_postgresql_changes_a_delivery(
    postgres_url: str, end: str, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once at other values than the usual ones."""
    query = "select name, vartype, setting, enumvals, min_val, max_val "
    query += f"{OF_A_POSTGRESQL_SESSION} and vartype <> 'string'"
    options = []
    for name, kind, setting, texts, low, high in described(postgres_url, query):
        others = {
            "bool": ["off" if setting == "on" else "on"],
            "enum": [text for text in texts or () if text != setting],
        }
        values = others.get(kind, [low, high])
        if group_of("postgresql", name) and values:
            options.append(f"-c {name}={values[-1 if end == 'highest' else 0]}")
    monkeypatch.setenv("PGOPTIONS", " ".join(options))

    assert len(options) > 100
    assert_delivers(postgres_url, driven_clock)


@pytest.mark.mariadb
@pytest.mark.parametrize("end", UNUSUAL)
def test_no_other_setting_of_mariadb_changes_a_delivery(mariadb_url: str, end: str, driven_clock: DrivenClock) -> None:
    """The same; but for what a session of this server may not set."""
    query = (
        "select lower(variable_name), session_value, coalesce(enum_value_list, if(variable_type = 'BOOLEAN', 'OFF,ON',"
        f" '')), numeric_min_value, numeric_max_value {OF_A_MARIADB_SESSION}"
        " and variable_type not in ('VARCHAR', 'FLAGSET')"
    )
    settings = []
    engine = create_engine(mariadb_url)
    with engine.connect() as connection:
        for name, setting, texts, low, high in described(mariadb_url, query):
            others = [f"'{text}'" for text in texts.split(",") if text and text != setting] or [low, high]
            change = f"session {name} = {others[-1 if end == 'highest' else 0]}"
            if group_of("mariadb", name):
                with suppress(DBAPIError):
                    connection.exec_driver_sql(f"set {change}")
                    settings.append(change)
    engine.dispose()
    url = make_url(mariadb_url).update_query_dict({"init_command": f"set {', '.join(settings)}"})

    assert len(settings) > 80
    assert_delivers(url.render_as_string(hide_password=False), driven_clock)


OF_A_POSTGRESQL_SESSION = "from pg_settings where (context like '%%user' or context like '%%backend')"
OF_A_MARIADB_SESSION = "from information_schema.system_variables where variable_scope like 'SESSION%%'"


def described(url: str, query: str) -> list[Any]:
    """What the server says of its settings."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [row for row in connection.exec_driver_sql(query) if "." not in row[-1 if len(row) == 2 else 0]]
    engine.dispose()
    return rows


def group_of(server: str, name: str) -> str | None:
    """The reason for which a setting changes nothing. None: it is ours, it stops a statement, or it is not known."""
    groups = (
        reason for reason, names in GROUPS[server].items() if any(fnmatchcase(name, one) for one in names.split())
    )
    reason = next(groups, "ours")
    return None if reason.startswith(("ours", "stops")) else reason


def assert_known(server: str, rows: Iterable[Any], module: str) -> None:
    """Each of the server's settings has a row or a group."""
    patterns = {one for names in GROUPS[server].values() for one in names.split()} | {*VARIABLES.values()}
    patterns |= {name for row in ROWS for name in TRIED.findall(row[0])}
    names = sorted({name for _, name in rows if not any(fnmatchcase(name, one) for one in patterns)})

    version = next(iter(rows), [""])[0]
    assert names == [], (
        f"{server} {version} has settings that nobody has judged. Find out of each whether it can change what the"
        f" outbox's statements find or write. If so, set it in {module} and add a row to the table in"
        " docs/databases.md; if not, add it to a group of tests/pipeline/session_settings.toml."
    )


def assert_delivers(url: str, clock: DrivenClock) -> None:
    """A job is enqueued, found by its key and delivered."""
    with closing(Database(make_engine(url), clock=clock)) as database, planted(database, clock) as site:
        job = site.send(LETTER.content)
        site.run()
        assert site.state(job) == "accepted"
    assert of_a_producer(url) == "works"


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
            assert site.state(job) == "accepted"
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
