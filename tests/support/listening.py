"""An ASGI application over real HTTP, in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


class _Announcing(uvicorn.Server):
    """Says when it listens; signals are the test's own."""

    def __init__(self, config: uvicorn.Config):
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Its address."""
    server = _Announcing(uvicorn.Config(app, "127.0.0.1", 0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, name="listening", daemon=True)
    thread.start()
    assert server.listens.wait(120)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
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
