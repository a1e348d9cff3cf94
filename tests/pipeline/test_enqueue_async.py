"""The door with asynchronous sessions: the same functions, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

import worker
from tests.support.producing import ACCOUNTS, ANN, HELLO
from worker import CheckFailed, File, NewJob, Text, WorkerError


@pytest.fixture(autouse=True)
def _accounts() -> Any:
    """This process's accounts are the tests' own."""
    worker.configure(ACCOUNTS)
    yield
    worker.configure(None)


async def jobs(engine: AsyncEngine) -> int:
    """How many jobs are committed."""
    async with engine.connect() as connection:
        return int((await connection.execute(text("select count(*) from worker_jobs"))).scalar_one())


DRIVERS = {"sqlite:": "sqlite+aiosqlite:", "mysql+pymysql:": "mysql+aiomysql:"}
"""psycopg has an asynchronous side of its own."""


def test_async_session_and_connection(database_url: str) -> None:
    """Enqueue, bulk, dedupe, read back, roll back; session, connection, scoped session, bind."""
    scheme, _, rest = database_url.partition("?")[0].partition("//")

    async def produce() -> None:
        engine = create_async_engine(f"{DRIVERS.get(scheme, scheme)}//{rest}")
        async with AsyncSession(engine) as session:
            ref = await worker.enqueue(session, "hr", HELLO, ANN, dedupe_key="k")
            again = await worker.enqueue(session, "hr", HELLO, ANN, dedupe_key="k")
            many = await worker.enqueue_many(session, [NewJob("hr", HELLO, ANN) for _ in range(3)])
            assert (ref.id, False, 3) == (again.id, again.created, len(many))
            assert (await worker.get_job(session, ref.id)).counts.waiting == 1
            with pytest.raises(CheckFailed):
                await worker.enqueue(session, "hr", Text(content=""), ANN)
            await session.commit()
        async with AsyncSession(engine) as session:
            await worker.enqueue(session, "hr", HELLO, ANN)
            await session.rollback()
        assert await jobs(engine) == 4
        async with engine.begin() as connection:
            await worker.recall(connection, ref.id)
        async with AsyncSession() as session, session.begin():
            await worker.enqueue(await session.connection({"bind": engine.sync_engine}), "hr", HELLO, ANN)
        async with engine.connect() as connection, AsyncSession() as session:
            await worker.enqueue(await session.connection({"bind": connection.sync_connection}), "hr", HELLO, ANN)
            await session.commit()
            await connection.commit()
        scoped = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
        await worker.enqueue(scoped, "hr", HELLO, ANN)
        await scoped.commit()
        await scoped.remove()
        assert await jobs(engine) == 8
        await engine.dispose()

    asyncio.run(produce())


FORGOTTEN: dict[str, Callable[[Any], object]] = {
    "enqueue": lambda session: worker.enqueue(session, "hr", HELLO, ANN),
    "enqueue_many": lambda session: worker.enqueue_many(session, [NewJob("hr", HELLO, ANN)]),
    "upload": lambda session: worker.upload(session, "hr", File(b"a file", "a.txt")),
    "recall": lambda session: worker.recall(session, "1"),
    "replay": lambda session: worker.replay(session, "1"),
    "resend_failed": lambda session: worker.resend_failed(session, "1"),
    "get_job": lambda session: worker.get_job(session, "1"),
}


@asynccontextmanager
async def savepoint(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        async with session.begin_nested():
            yield session
        await session.commit()


@asynccontextmanager
async def committed(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        yield connection
        await connection.commit()


@asynccontextmanager
async def rolled_back_savepoint(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session
        await (await session.begin_nested()).rollback()
        await session.commit()


@asynccontextmanager
async def bound(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """The connection commits, not the session."""
    async with engine.begin() as connection, AsyncSession(connection) as session:
        yield session


COMMITS: dict[str, Callable[[AsyncEngine], AbstractAsyncContextManager[Any]]] = {
    "session": lambda engine: async_sessionmaker(engine).begin(),
    "savepoint": lambda engine: savepoint(engine),
    "connection": lambda engine: engine.begin(),
    "commit": lambda engine: committed(engine),
    "after a savepoint": lambda engine: rolled_back_savepoint(engine),
    "bound to a connection": lambda engine: bound(engine),
}
"""How an application commits what it did with an asynchronous session or connection."""


def forget(url: str, name: str, *, by: str) -> str:
    """The error of a commit after a call without `await`, and of nothing else that this transaction did."""

    async def commit(engine: AsyncEngine) -> None:
        async with COMMITS[by](engine) as session:
            await worker.enqueue(session, "hr", HELLO, ANN)
            FORGOTTEN[name](session)

    async def produce() -> str:
        scheme, _, rest = url.partition("?")[0].partition("//")
        engine = create_async_engine(f"{DRIVERS.get(scheme, scheme)}//{rest}")
        with pytest.raises(WorkerError) as error:
            await commit(engine)
        assert await jobs(engine) == 0
        await engine.dispose()
        return str(error.value)

    return asyncio.run(produce())


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("by", COMMITS)
def test_a_forgotten_await_is_not_committed(by: str, database_url: str) -> None:
    """Whatever commits; the error names the function, and the rest of the transaction is not committed either."""
    assert "enqueue(...) was called without await" in forget(database_url, "enqueue", by=by)


@pytest.mark.fewer_databases("the call that is forgotten reaches none")
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_connection_that_began_nothing_wants_its_await(sqlite_url: str) -> None:
    """The forgotten call would have been its first, so its commit has nothing to commit, and SQLAlchemy no event."""

    async def produce() -> None:
        engine = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))
        async with engine.connect() as connection:
            FORGOTTEN["enqueue"](connection)
            with pytest.raises(WorkerError, match="write await enqueue"):
                await connection.commit()
        await engine.dispose()

    asyncio.run(produce())


@pytest.mark.fewer_databases("whether the task has ended is known before any database is asked")
def test_a_task_that_runs_is_not_committed_by_half(sqlite_url: str) -> None:
    """A call made a task of its own may have begun, and not ended, when the commit comes."""

    async def produce() -> None:
        engine = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))
        async with AsyncSession(engine) as session:
            await session.execute(text("select 1"))
            task = asyncio.create_task(worker.enqueue(session, "hr", HELLO, ANN))
            await asyncio.sleep(0)
            with pytest.raises(WorkerError, match="write await enqueue"):
                await session.commit()
            await task
            await session.commit()
        assert await jobs(engine) == 1
        await engine.dispose()

    asyncio.run(produce())


@pytest.mark.fewer_databases("the call that is forgotten reaches none")
@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("name", FORGOTTEN)
def test_each_function_wants_its_await(name: str, sqlite_url: str) -> None:
    """Those that write and those that read."""
    assert f"write await {name}(...)" in forget(sqlite_url, name, by="session")


@pytest.mark.fewer_databases("the call that is forgotten reaches none")
def test_the_warning_names_the_function(sqlite_url: str) -> None:
    """Python's own, when a coroutine is thrown away; a rollback ends the matter for the session."""

    async def produce() -> None:
        engine = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))
        async with AsyncSession(engine) as session:
            await worker.enqueue(session, "hr", HELLO, ANN)
            with pytest.warns(RuntimeWarning, match="coroutine 'enqueue' was never awaited"):
                FORGOTTEN["enqueue"](session)
            await session.rollback()
            await worker.enqueue(session, "hr", HELLO, ANN)
            await session.commit()
        assert await jobs(engine) == 1
        await engine.dispose()

    asyncio.run(produce())


@pytest.mark.postgres
@pytest.mark.fewer_databases("PostgreSQL alone takes no statement after a failed one")
def test_a_transaction_that_failed_before_says_so(postgres_url: str) -> None:
    """In place of the next statement, which is ours."""
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        with pytest.raises(ProgrammingError):
            connection.execute(text("select nothing"))
        with pytest.raises(WorkerError, match=r"^an earlier statement of this transaction failed"):
            worker.enqueue(connection, "hr", HELLO, ANN)
    engine.dispose()
