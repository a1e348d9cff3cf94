"""One HTTP server in this process, for any ASGI application; its answers do not name the server software."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from worker.domain.errors import ConfigurationError

DRAIN_S = 10
CONNECTIONS = 1000
HEAD_S = 10.0
HEAD_BYTES = 64 * 1024
READER_S = 30
"""Seconds in which a client has to take some of an answer."""


class PromptProtocol(HttpToolsProtocol):
    """Closes a connection on which a request's head is late or endless, or an answer is not read.

    uvicorn itself waits for ever, and keeps whatever comes.
    """

    head_s = HEAD_S
    reader_s = READER_S
    _late: asyncio.TimerHandle | None = None
    _beside_body: int | None = 0
    """Bytes of this request that are not its body: its head, and what follows a body in chunks.

    None: it began in the piece that is being read, whose bytes may be another request's too.
    """
    _body = 0
    """Bytes of the piece that is being read which are a body's."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for the first request, and has the system see to answers that are not read."""
        super().connection_made(transport)
        own = transport.get_extra_info("socket")
        # Or each answer waits 40 ms for the browser's acknowledgement: asyncio sees to it only for sockets of its own.
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * self.reader_s))
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Waits for the rest of a further request on the same connection."""
        if self._late is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()
        self._body = 0
        super().data_received(data)
        self._beside_body = 0 if self._beside_body is None else self._beside_body + len(data) - self._body
        if self._beside_body > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Too long.")

    def on_message_begin(self) -> None:
        """Counts anew."""
        super().on_message_begin()
        self._beside_body = None

    def on_body(self, body: bytes) -> None:
        """Leaves a body to the application, which says how long it may be."""
        self._body += len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Waits no more: of its body the application says how long it may take."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(self.head_s, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def serve(
    app: ASGIApp,
    host: str,
    port: int,
    name: str,
    asked: str,
    ready: Callable[[str], object] = lambda address: None,
) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status. `asked`: the address as the command line has it.

    `ready` is called with the address when it listens.
    """
    with _able_to_listen(asked):
        _Server(_config(app, host, port), name, ready).run()
    return 0


@contextmanager
def serving_beside(
    app: ASGIApp, host: str, port: int, name: str, asked: str, ready: Callable[[str], object]
) -> Iterator[None]:
    """Serves in a thread for as long as the block runs, which has the process's signals to itself."""
    config = _config(app, host, port)
    with _able_to_listen(asked):
        listening = config.bind_socket()
    server = _Beside(config, name, ready)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(DRAIN_S)
        listening.close()


def _config(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host,
        port,
        http=PromptProtocol,
        ws="none",
        log_config=None,
        # Its lines would show query strings.
        access_log=False,
        server_header=False,
        # Its own would believe every proxy on this machine.
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=DRAIN_S,
        lifespan="off",
    )


@contextmanager
def _able_to_listen(asked: str) -> Iterator[None]:
    """Turns the end of the process, with which uvicorn says that it cannot listen, into a sentence."""
    try:
        yield
    except SystemExit:
        raise ConfigurationError(f"{asked}: cannot listen there; is the port in use?") from None


class _Server(uvicorn.Server):
    """A server that ends with status 0 after a signal; uvicorn itself would raise the signal again."""

    def __init__(self, config: uvicorn.Config, name: str, ready: Callable[[str], object]):
        super().__init__(config)
        self._name, self._ready = name, ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Prints where it listens; tests and the demo read that line."""
        await super().startup(sockets)
        if self.started:
            place: Any = (sockets or self.servers[0].sockets)[0].getsockname()
            host = f"[{place[0]}]" if ":" in place[0] else place[0]
            address = f"http://{host}:{place[1]}"
            sys.stdout.write(f"{self._name} listening on {address}\n")
            self._ready(address)
            sys.stdout.flush()


class _Beside(_Server):
    """A server in a thread of another process's work, to which the signals belong."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
