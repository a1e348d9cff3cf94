"""Fixtures every test may use. Sockets are closed except to this machine.

- `database`: a `Database` on a fresh, migrated schema; the test runs on SQLite, on PostgreSQL and on MariaDB;
  marked `fewer_databases`, it runs on SQLite alone, unless it is marked `every_database`, too.
- `sqlite_database`, `postgres_database`, `mariadb_database`: the same on one of them only.
- `server_database`: on PostgreSQL and on MariaDB, whose transactions run at once.
- `driven_clock`: a clock that moves only when told; a test that asks for it gets databases that run on it.
- `pauses`: the seconds between two tries of a transaction; a test that asks for it gets databases that only note them.
- `database_url`, `sqlite_url`, `postgres_url`, `mariadb_url`: for what opens its own engine, e.g. another process.
"""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import Engine, event

from rig import databases
from worker.outbox.engine.clock import DatabaseClock, DrivenClock, SqlClock
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.migrate import upgrade
from worker.outbox.engine.sql import fetch
from worker_simulator.testing.database import make_template

pytest_plugins = ["pytester", "worker_simulator.testing.plugin"]

SERVERS = [
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]
DATABASES = ["sqlite", *SERVERS]

os.environ["WORKER_LANG"] = "en"  # whatever the machine speaks
os.environ["TZ"] = "UTC"  # wherever it stands

gc.set_threshold(20_000, 20, 20)

# Where it is installed, jsonschema compiles 38 grammars of addresses when it is imported: a second of each process, for
# formats that no schema here has.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # what makes its import fail

# Neither how fast the machine is nor luck must decide a test; the first run of a checkout builds a table of all
# characters. Twenty examples in place of the usual hundred, the same in each run. EXAMPLES=5000 draws so many others.
hypothesis.settings.register_profile(
    "any machine",
    max_examples=int(os.environ.get("EXAMPLES", "20")),
    deadline=None,
    derandomize="EXAMPLES" not in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of fewer databases that asks for `database` runs on SQLite; so do all where `-m` leaves servers out.

    To make four thousand tests and leave them out takes as long as to run some hundred.
    """
    is_own = hasattr(metafunc.module, "database")
    without_servers = metafunc.config.getoption("markexpr").startswith("not (postgres or mariadb") and not is_own
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    on_fewer = "fewer_databases" in marks and "every_database" not in marks
    if "database" in metafunc.fixturenames and (without_servers or on_fewer):
        metafunc.definition.add_marker(pytest.mark.parametrize("database", DATABASES[:1], indirect=True))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for a server's database by name carries the server's mark, before `-m` looks at marks.

    Files with slow tests come first: one that begins last is waited for while the other pytest processes have none.
    """
    for item in items:
        for server in ("postgres", "mariadb"):
            if f"_{server}_migrated" in getattr(item, "fixturenames", ()):
                item.add_marker(server)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Thousands of collected tests live as long as the run: looking through them over and over took a quarter of it."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A server may be talked to only by a test whose mark says so."""
    databases.marks = {mark.name for mark in item.iter_markers()}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several pytest processes hands what it missed to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["summary"] = databases.summary()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The other end of it."""
    databases.told.update(dict.fromkeys(getattr(node, "workeroutput", {}).get("summary", ())))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """The last lines, after pytest's own summary, say which services were missing and how to start them."""
    yield
    for line in databases.summary():
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture
def driven_clock() -> DrivenClock:
    """Time that moves only by `driven_clock.advance(seconds)`."""
    return DrivenClock()


@pytest.fixture
def sql_clock(request: pytest.FixtureRequest) -> SqlClock:
    """The driven clock when the test asks for it, else the database's own."""
    if "driven_clock" in request.fixturenames:
        clock: SqlClock = request.getfixturevalue("driven_clock")
        return clock
    return DatabaseClock()


@pytest.fixture
def pauses() -> list[float]:
    """The seconds between two tries of a transaction, which are noted and not waited for."""
    return []


@pytest.fixture
def _pause(request: pytest.FixtureRequest) -> Callable[[float], None]:
    """Notes the pauses when the test asks for them, else waits."""
    if "pauses" in request.fixturenames:
        noted: list[float] = request.getfixturevalue("pauses")
        return noted.append
    return time.sleep


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that tests copy."""
    path = tmp_path_factory.mktemp("template") / "outbox.db"
    make_template(path)
    return path


@pytest.fixture(scope="session")
def _sqlite_migrated(_sqlite_template: Path) -> Iterator[Database]:
    """One migrated database a run, which need not survive a crash: each commit would wait for the disk."""
    path = _sqlite_template.with_name("shared.db")
    shutil.copyfile(_sqlite_template, path)
    database = Database(_hasty(f"sqlite:///{path}"))
    yield database
    database.close()


@pytest.fixture(scope="session")
def _postgres_migrated() -> Iterator[Database]:
    """One migrated database a run."""
    with databases.scratch_postgres(f"worker_test_{os.getpid()}") as url:
        yield from _migrated(url)


@pytest.fixture(scope="session")
def _mariadb_migrated() -> Iterator[Database]:
    """One migrated database a run."""
    with databases.scratch_mariadb(f"worker_test_{os.getpid()}") as url:
        yield from _migrated(url)


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """URL of a fresh migrated SQLite file."""
    path = tmp_path / "outbox.db"
    shutil.copyfile(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(_postgres_migrated: Database) -> str:
    """URL of the run's PostgreSQL database, its tables emptied."""
    return _emptied(_postgres_migrated)


@pytest.fixture
def mariadb_url(_mariadb_migrated: Database) -> str:
    """URL of the run's MariaDB database, its tables emptied."""
    return _emptied(_mariadb_migrated)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh migrated schema, on each database in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> Database:
    """The outbox on each supported database in turn."""
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


@pytest.fixture
def sqlite_database(
    request: pytest.FixtureRequest,
    _sqlite_migrated: Database,
    _sqlite_template: Path,
    sql_clock: SqlClock,
    _pause: Callable[[float], None],
) -> Iterator[Database]:
    """The outbox on SQLite: in the test's own file, where that is asked for beside it."""
    if {"sqlite_url", "database_url"} & set(request.fixturenames) or _needs_an_engine(request):
        yield from _opened(_hasty(request.getfixturevalue("sqlite_url")), sql_clock, _pause)
    else:
        _restore(_sqlite_migrated, _sqlite_template)
        yield _lent(_sqlite_migrated, sql_clock)


@pytest.fixture
def postgres_database(
    request: pytest.FixtureRequest,
    _postgres_migrated: Database,
    sql_clock: SqlClock,
    _pause: Callable[[float], None],
) -> Iterator[Database]:
    """The outbox on PostgreSQL."""
    yield from _on_server(request, _postgres_migrated, sql_clock, _pause)


@pytest.fixture
def mariadb_database(
    request: pytest.FixtureRequest,
    _mariadb_migrated: Database,
    sql_clock: SqlClock,
    _pause: Callable[[float], None],
) -> Iterator[Database]:
    """The outbox on MariaDB."""
    yield from _on_server(request, _mariadb_migrated, sql_clock, _pause)


@pytest.fixture(params=SERVERS)
def server_database(request: pytest.FixtureRequest) -> Database:
    """The outbox on each database that is a server: its transactions wait for each other's locks."""
    database: Database = request.getfixturevalue(f"{request.param}_database")
    return database


def _migrated(url: str) -> Iterator[Database]:
    """With tables; whoever empties it for each test keeps a connection that knows them all."""
    database = Database(make_engine(url))
    upgrade(database.engine)
    yield database
    database.close()


def _emptied(migrated: Database) -> str:
    databases.empty(migrated)
    return migrated.engine.url.render_as_string(hide_password=False)


def _on_server(
    request: pytest.FixtureRequest, migrated: Database, clock: SqlClock, pause: Callable[[float], None]
) -> Iterator[Database]:
    url = _emptied(migrated)
    if _needs_an_engine(request):
        yield from _opened(make_engine(url), clock, pause)
    else:
        yield _lent(migrated, clock)


def _needs_an_engine(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.get_closest_marker("own_engine")) or "pauses" in request.fixturenames


def _lent(migrated: Database, clock: SqlClock) -> Database:
    """The run's own engine with another clock: an engine and connections made anew cost each test 20 ms."""
    lent = copy(migrated)
    lent.use_clock(clock)
    return lent


def _restore(migrated: Database, template: Path) -> None:
    """Empties the run's SQLite database, or copies the template again after a test that changed its tables."""
    with migrated.reading() as connection:
        version = fetch(connection, "pragma schema_version")[0][0]
    if version == _schema_version(template):
        databases.empty(migrated)
        return
    migrated.engine.dispose()
    path = Path(str(migrated.engine.url.database))
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    shutil.copyfile(template, path)


@cache
def _schema_version(path: Path) -> int:
    """A number that SQLite counts up with each change of the tables."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("pragma schema_version").fetchone()[0])


def _hasty(url: str) -> Engine:
    """An SQLite engine whose commits do not wait for the disk."""
    engine = make_engine(url)
    event.listen(engine, "connect", lambda connection, _record: connection.execute("pragma synchronous=off"))
    return engine


def _opened(engine: Engine, clock: SqlClock, pause: Callable[[float], None]) -> Iterator[Database]:
    database = Database(engine, clock=clock, pause=pause)
    yield database
    database.close()
