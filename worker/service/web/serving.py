"""One HTTP server in this process, for any ASGI application; its answers do not name the server software."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette

from worker.domain.errors import ConfigurationError

DRAIN_S = 10
CONNECTIONS = 1000


def serve(app: Starlette, host: str, port: int, name: str, asked: str) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status. `asked`: the address as the command line has it."""
    server = _Server(
        uvicorn.Config(
            app,
            host,
            port,
            log_config=None,
            # Its lines would show query strings.
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=DRAIN_S,
            lifespan="off",
        ),
        name,
    )
    try:
        server.run()
    except SystemExit:
        # uvicorn ends the process in this way when it cannot listen.
        raise ConfigurationError(f"{asked}: cannot listen there; is the port in use?") from None
    return 0


class _Server(uvicorn.Server):
    """A server that ends with status 0 after a signal; uvicorn itself would raise the signal again."""

    def __init__(self, config: uvicorn.Config, name: str):
        super().__init__(config)
        self._name = name

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: Any = None) -> None:
        """Prints where it listens; tests and the demo read that line."""
        await super().startup(sockets)
        if self.started:
            place = self.servers[0].sockets[0].getsockname()
            host = f"[{place[0]}]" if ":" in place[0] else place[0]
            sys.stdout.write(f"{self._name} listening on http://{host}:{place[1]}\n")
            sys.stdout.flush()
