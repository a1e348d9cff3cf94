"""The door with asynchronous sessions: the same functions, awaited."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

import worker
from tests.support.producing import ACCOUNTS, ANN, HELLO
from worker import CheckFailed, NewJob, Text


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
            assert 1 == (await worker.get_job(session, ref.id)).counts.not_yet
            with pytest.raises(CheckFailed):
                await worker.enqueue(session, "hr", Text(content=""), ANN)
            await session.commit()
        async with AsyncSession(engine) as session:
            await worker.enqueue(session, "hr", HELLO, ANN)
            await session.rollback()
        assert 4 == await jobs(engine)
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
        assert 8 == await jobs(engine)
        await engine.dispose()

    asyncio.run(produce())
