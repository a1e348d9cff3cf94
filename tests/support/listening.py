"""An ASGI application over real HTTP, in a thread of the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Its address. It ends at once: uvicorn's own end looks ten times a second, and then waits for a tenth."""
    config = uvicorn.Config(app, "127.0.0.1", 0, log_config=None, lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    listens: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        ended = asyncio.Event()
        await server.startup()
        await server.on_tick(0)
        listens.set_result((asyncio.get_running_loop(), ended))
        await ended.wait()
        for listener in (sock for each in server.servers for sock in each.sockets):
            asyncio.get_running_loop().remove_reader(listener.fileno())
        # One that is being accepted is a task, and a connection only when that has ended.
        while server.server_state.connections or len(asyncio.all_tasks()) > 1:
            for connection in list(server.server_state.connections):
                connection.shutdown()
            await asyncio.sleep(0)
        for each in server.servers:
            each.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="listening", daemon=True)
    thread.start()
    loop, ended = listens.result(120)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


THREADS_AT_THE_END = """
import threading
from worker.cli import main

try:
    main()
finally:
    print(*(thread.name for thread in threading.enumerate()))
"""
"""A program that is the `worker` command, and prints the threads that are alive at its end."""
