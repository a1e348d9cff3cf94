"""The door through every driver an application may come with: the same rows are left, whatever brought them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import worker
from rig import databases
from tests.support.producing import ANN, HELLO, HR, told
from worker import (
    Account,
    ButtonCard,
    CardUpdate,
    Chats,
    File,
    FixedAccounts,
    Image,
    NewJob,
    Secret,
    Text,
    To,
    external,
    webhook,
)
from worker.domain.errors import ConfigurationError, RetryTransaction
from worker.domain.state import JobState, PartState
from worker.outbox.engine.database import Database
from worker.outbox.tables import metadata

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
Scenario = Generator[Call, Any, None]

CALLBACK = {"token": Secret(lambda: "token"), "aes_key": Secret(lambda: "k" * 43)}
ALERTS = Account("alerts", "wecom_webhook", "http://vendor", {"edition": "push", "callback": CALLBACK})
SALES = Account("sales", "wecom_external", "http://vendor", {"corpid": "ww01"})
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
CARD = ButtonCard(main_title={"title": "x"}, task_id="mine", button_list=[{"text": "A", "key": "ok"}])
ODD = Text(content="50% of :x, 'a' \"b\" \\ %s %(y)s 你好 😀")
NOON = datetime(2036, 7, 1, 12, tzinfo=UTC)
OPTIONS: list[dict[str, Any]] = [
    {"priority": "urgent"},
    {"due_at": NOON, "expires_at": NOON + timedelta(hours=1)},
    {"due_at": timedelta(seconds=60), "expires_at": 120},
    {"dedupe_key": "k%:x"},
    {"order_key": "o%:x"},
    {"order_key": "o%:x", "on_gap": "skip"},
    {"tags": ["a%b", "c:d"]},
    {"on_unknown": "resend"},
]

_POSTGRES, _MARIADB = [pytest.mark.postgres], [pytest.mark.mariadb]
DRIVERS = [
    pytest.param("sqlite+pysqlite", False, id="pysqlite"),
    pytest.param("sqlite+aiosqlite", True, id="aiosqlite"),
    pytest.param("postgresql+psycopg", False, id="psycopg", marks=_POSTGRES),
    pytest.param("postgresql+psycopg", True, id="psycopg-async", marks=_POSTGRES),
    pytest.param("postgresql+asyncpg", True, id="asyncpg", marks=_POSTGRES),
    pytest.param("postgresql+psycopg2", False, id="psycopg2", marks=_POSTGRES),
    pytest.param("postgresql+pg8000", False, id="pg8000", marks=_POSTGRES),
    pytest.param("mysql+pymysql", False, id="pymysql", marks=_MARIADB),
    pytest.param("mysql+aiomysql", True, id="aiomysql", marks=_MARIADB),
    pytest.param("mysql+asyncmy", True, id="asyncmy", marks=_MARIADB),
]
EVERY_DRIVER = pytest.mark.parametrize(("scheme", "asynchronous"), DRIVERS)
_FIXTURES = {"sqlite": "sqlite_database", "postgresql": "postgres_database", "mysql": "mariadb_database"}


@pytest.fixture(autouse=True)
def _accounts() -> Iterator[None]:
    """This process's accounts: one of each channel that differs at the door."""
    worker.configure(FixedAccounts([HR, ALERTS, SALES]))
    yield
    worker.configure(None)


@pytest.fixture
def database(request: pytest.FixtureRequest, scheme: str) -> Database:
    """The database that this driver speaks to, through our own one."""
    found: Database = request.getfixturevalue(_FIXTURES[scheme.partition("+")[0]])
    return found


def everything(database: Database, folder: Path) -> Scenario:
    """Every function of the door, and every option of `enqueue`; each call is answered with what it returned."""
    picture = folder / "a.png"
    picture.write_bytes(PNG)
    for options in OPTIONS:
        yield worker.enqueue, ("hr", HELLO, ANN), options
    first = yield worker.enqueue, ("hr", ODD, To(["Ann", "bob"], [1], [2])), {"dedupe_key": "again"}
    again = yield worker.enqueue, ("hr", ODD, To(["Ann", "bob"], [1], [2])), {"dedupe_key": "again"}
    assert (first.id, False) == (again.id, again.created)
    yield worker.enqueue, ("hr", Text(content="long " * 1_000), ANN), {"overflow": "split", "order_key": "long"}
    jobs = [NewJob("hr", HELLO, ANN, order_key="o", dedupe_key=key) for key in ("a", "b", "a")]
    many = yield worker.enqueue_many, (jobs,), {}
    assert many[0].id == many[2].id != many[1].id
    yield worker.enqueue, ("hr", Image(file=File.at(picture)), ANN), {}
    yield worker.enqueue, ("hr", Image(file=File.at(picture)), ANN), {}
    yield worker.upload, ("hr", File.at(picture)), {"upload_type": "image"}
    yield worker.enqueue, ("alerts", webhook.Text(content="x"), Chats("wr1")), {}
    card = yield worker.enqueue, ("hr", CARD, ANN), {}
    yield worker.update_card, (card.id, CardUpdate(replace_name="done"), ["ann"]), {}
    yield worker.update_card_by_code, ("hr", "code", CardUpdate(replace_name="done")), {"issued_at": NOON}
    yield worker.recall, (first.id,), {}
    yield worker.recall_message, ("hr", "m%1:x"), {"sent_at": NOON}
    end_refused(database, many[0].id)
    yield worker.resend_failed, (many[0].id,), {}
    end_refused(database, many[1].id)
    yield worker.replay, (many[1].id,), {}
    sent = yield worker.enqueue, ("sales", external.Campaign(text="hello"), external_customers()), {}
    for follow_up in (worker.track, worker.remind, worker.campaign):
        yield follow_up, (sent.id,), {}
    for look in (worker.get_job, worker.receipts, worker.failures, worker.timeline, worker.codes_left, worker.why):
        yield look, (many[0].id,), {}
    yield worker.recipients, (many[0].id, worker.RecipientStatus.REFUSED), {}
    assert [] == (yield worker.list_audit, (), {})
    assert [] == (yield worker.list_pauses, (), {})
    sends = worker.JobFilter(account="hr", kind="send")
    listed = yield worker.find_jobs, (sends,), {"state": JobState.REJECTED}
    assert [many[1].id, many[0].id] == [one.id for one in listed.jobs]
    assert [] == (yield worker.count_jobs, (worker.JobFilter(account="hr", created_from=NOON),), {})
    assert len(listed.jobs) <= (yield worker.mailing, (sends,), {}).total.jobs
    says = yield worker.text_hash, (many[0].id,), {}
    found = yield worker.find_jobs, (worker.JobFilter(text_hash=says),), {"state": "rejected"}
    assert [many[1].id, many[0].id] == [one.id for one in found.jobs]


def external_customers() -> Any:
    return worker.Customers({"lihua": ["wm01"]})


def end_refused(database: Database, job: str) -> None:
    """As if the vendor had refused the whole job for good."""
    with database.writing() as connection:
        values = {"job": job, "part": int(PartState.REJECTED), "state": int(JobState.REJECTED)}
        connection.execute(
            text("update worker_parts set state = :part, first_marked_at = 1 where job_id = :job"), values
        )
        connection.execute(text("update worker_jobs set state = :state, n_open = 0 where id = :job"), values)
        connection.execute(text("insert into worker_unindexed (job_id, note) values (:job, '1')"), values)


def ours(database: Database, scenario: Scenario) -> set[str]:
    """Through the worker's own connection; the names of what was called."""
    called, answer = set[str](), None
    while (call := _next(scenario, answer)) is not None:
        function, args, options = call
        called.add(function.__name__)
        with database.writing() as connection:
            answer = function(connection, *args, **options)
    return called


def plainly(url: str, scenario: Scenario, **options: Any) -> None:
    """Through a session of this driver, each call in a transaction of its own."""
    engine, answer = create_engine(url, **options), None
    try:
        while (call := _next(scenario, answer)) is not None:
            function, args, options = call
            with Session(engine) as session:
                answer = function(session, *args, **options)
                session.commit()
    finally:
        engine.dispose()


async def awaited(url: str, scenario: Scenario, **options: Any) -> None:
    """The same, awaited."""
    engine, answer = create_async_engine(url, **options), None
    try:
        while (call := _next(scenario, answer)) is not None:
            function, args, options = call
            async with AsyncSession(engine) as session:
                answer = await function(session, *args, **options)
                await session.commit()
    finally:
        await engine.dispose()


def through(url: str, asynchronous: bool, scenario: Scenario, **options: Any) -> None:
    """Through this driver."""
    if asynchronous:
        asyncio.run(awaited(url, scenario, **options))
    else:
        plainly(url, scenario, **options)


def _next(scenario: Scenario, answer: Any) -> Call | None:
    try:
        return scenario.send(answer)
    except StopIteration:
        return None


def left(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table; ids and instants, which differ each time, by their kind alone."""
    found = {}
    with database.reading() as connection:
        for table in (table for table in metadata.sorted_tables if table.name != "worker_site"):
            rows = connection.execute(text(f"select * from {table.name}")).all()
            found[table.name] = sorted((tuple(_kind(value) for value in row) for row in rows), key=repr)
    return found


def _kind(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub("[0-9a-f]{32}", "ID", value)
    return "INSTANT" if isinstance(value, int) and value > 1_500_000_000_000_000 else value


def of_driver(database: Database, scheme: str) -> str:
    """The URL of the same database for another driver."""
    url = make_url(str(database.engine.url)).set(drivername=scheme, query={})
    return url.set(password=database.engine.url.password).render_as_string(hide_password=False)


@EVERY_DRIVER
def test_every_driver_leaves_the_same_rows(database: Database, scheme: str, asynchronous: bool, tmp_path: Path) -> None:
    """Every function and option, a row at a time and in bulk, beside the worker's own connection."""
    called = ours(database, everything(database, tmp_path))
    expected = left(database)
    databases.empty(database)

    through(of_driver(database, scheme), asynchronous, everything(database, tmp_path))

    assert expected == left(database)
    assert called == DOORS


DOORS = {name for name in worker.__all__ if hasattr(getattr(worker, name), "__wrapped__")} - {"django_session"}
"""The functions that take the caller's session; the one that is left out gives a session."""
READERS = {
    *(
        "campaign",
        "codes_left",
        "count_jobs",
        "failures",
        "find_jobs",
        "get_job",
        "list_audit",
        "list_pauses",
        "mailing",
        "receipts",
        "recipients",
        "text_hash",
        "timeline",
        "why",
    ),
}


@EVERY_DRIVER
@pytest.mark.parametrize("by_driver", [False, True], ids=["by SQLAlchemy", "by the driver"])
def test_nothing_is_written_without_a_transaction(
    database: Database, scheme: str, asynchronous: bool, by_driver: bool
) -> None:
    """Statement by statement half a job could be stored: every function that writes refuses such a connection with
    what to change, those that read do not mind."""
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
    if by_driver:
        options = {
            "connect_args": {"isolation_level": None} if database.dialect.name == "sqlite" else {"autocommit": True}
        }
        if scheme in ("postgresql+psycopg2", "postgresql+pg8000", "postgresql+asyncpg"):
            options = {"isolation_level": "AUTOCOMMIT"}  # these take no such argument

    def scenario() -> Scenario:
        for writer in sorted(DOORS - READERS):
            yield refused, (getattr(worker, writer),), {}
        assert (yield worker.find_jobs, (), {}).jobs == ()

    through(of_driver(database, scheme), asynchronous, scenario(), **options)


def refused(session: Any, function: Callable[..., Any]) -> Any:
    """A call that has to be refused; with what, it does not come to."""

    async def later() -> None:
        with pytest.raises(ConfigurationError, match=r"commits every statement by itself .* use "):
            await function(session)

    if isinstance(session, AsyncSession):
        return later()
    with pytest.raises(ConfigurationError, match=r"commits every statement by itself .* use "):
        function(session)
    return None


@pytest.mark.fewer_databases("SQLite's driver alone leaves beginning to others")
def test_a_begin_of_the_applications_own_is_a_transaction(sqlite_database: Database) -> None:
    """An asynchronous engine that is set up like `sqlite_engine`: BEGIN IMMEDIATE by an event."""

    async def produce() -> None:
        engine = create_async_engine(
            of_driver(sqlite_database, "sqlite+aiosqlite"), connect_args={"isolation_level": None}
        )
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        async with engine.connect() as connection:
            await worker.enqueue(connection, "hr", HELLO, ANN)
            await connection.rollback()
            assert (await worker.find_jobs(connection)).jobs == ()
            await connection.rollback()
            await worker.enqueue(connection, "hr", HELLO, ANN)
            await connection.commit()
        async with engine.connect() as connection:
            assert len((await worker.find_jobs(connection)).jobs) == 1
        await engine.dispose()

    asyncio.run(produce())


@EVERY_DRIVER
@pytest.mark.parametrize(("word", "told_as"), [("again", RetryTransaction), ("no", DBAPIError)])
def test_every_drivers_errors_are_told_apart(
    database: Database, scheme: str, asynchronous: bool, word: str, told_as: type[Exception]
) -> None:
    """The server's own wish to run the transaction again is known in whatever words a driver says it, and no error
    shows anything of the message or its people."""
    make, *drop = _REFUSES[database.dialect.name]
    with database.writing() as connection:
        for statement in make:
            connection.exec_driver_sql(statement.format(**_WORDS[database.dialect.name][word]))

    def scenario() -> Scenario:
        yield worker.enqueue, ("hr", Text(content="canary-salary"), To(users=["canary-person"])), {}

    try:
        with pytest.raises(told_as) as caught:
            through(of_driver(database, scheme), asynchronous, scenario())
    finally:
        with database.writing() as connection:
            for statement in drop:
                connection.exec_driver_sql(statement)

    assert "canary" not in told(caught.value)


_WORDS = {
    "sqlite": {"again": {"said": "database is locked"}, "no": {"said": "no"}},
    "postgresql": {"again": {"code": "40001"}, "no": {"code": "23514"}},
    "mysql": {"again": {"number": 1213}, "no": {"number": 4025}},
}
_REFUSES: dict[str, tuple[Any, ...]] = {
    "sqlite": (
        ["create trigger refuse before insert on worker_jobs begin select raise(abort, '{said}'); end"],
        "drop trigger refuse",
    ),
    "postgresql": (
        [
            "create function refuse() returns trigger language plpgsql as"
            " 'begin raise exception ''%%'', new.message using errcode = ''{code}''; end'",
            "create trigger refuse before insert on worker_jobs for each row execute function refuse()",
        ],
        "drop trigger refuse on worker_jobs",
        "drop function refuse",
    ),
    "mysql": (
        [
            "create trigger refuse before insert on worker_jobs for each row"
            " signal sqlstate '45000' set mysql_errno = {number}, message_text = 'canary'"
        ],
        "drop trigger refuse",
    ),
}
