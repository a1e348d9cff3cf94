"""The plain task in procrastinate, whose jobs wait in PostgreSQL. A process of `bench peers`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import procrastinate

from bench.peers.peer import Told, told
from bench.throughput.plain_call import TIMEOUT_S, accepted, body_of, caller, url_of

CONNECTIONS = 20
BULK = 1_000


def run(argv: Sequence[str]) -> None:
    """Publishes or works; `how` is the HTTP client, and which finished jobs are deleted."""
    given = told(argv)
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=given.store, min_size=4, max_size=CONNECTIONS)
    )
    if given.command == "publish":
        _publish(given, app)
    else:
        asyncio.run(_work(given, app))


def _publish(given: Told, app: Any) -> None:
    send = app.task(name="send")(lambda body: None)
    with app.open():
        app.schema_manager.apply_schema()
        for at in range(0, given.jobs, BULK):
            send.batch_defer(*({"body": body_of(n)} for n in range(at, min(at + BULK, given.jobs))))


async def _work(given: Told, app: Any) -> None:
    client, deleted = given.how.split()
    async with AsyncExitStack() as scope:
        app.task(name="send")(await _call(given, client, scope))
        await scope.enter_async_context(app.open_async())
        await app.run_worker_async(concurrency=given.threads, delete_jobs=deleted)


async def _call(given: Told, client: str, scope: AsyncExitStack) -> Callable[..., Any]:
    """The task's function: with requests in a pool of as many threads, or on the event loop."""
    if client == "requests":
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(given.threads))
        return caller(given.vendor, trust_env=False)
    session = await scope.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=given.threads), timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
        )
    )

    async def send(body: dict[str, Any]) -> None:
        async with session.post(url_of(given.vendor), json=body) as answer:
            accepted(await answer.json(content_type=None))

    return send


if __name__ == "__main__":
    run(sys.argv[1:])
