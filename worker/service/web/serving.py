"""Runs one HTTP server in this process for an ASGI application. Answers do not name the server software.

A request costs little here, whatever its sender puts into it. Clients that are silent, slow or endless do not keep
others out.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from worker.domain.errors import ConfigurationError

log = structlog.get_logger()

DRAIN_S = 10
CONNECTIONS = 1000
FILES = 4096
"""Files that the process may have open, if the system allows it."""
OTHER_FILES = 256
"""How many of them are reserved for everything but connections, and for new ones until old ones are closed."""
ACCEPTED_AT_ONCE = 16
"""Connections accepted in one turn of the event loop. It takes some turns until another one can be closed."""
QUEUE = 2048
"""Connections that the system queues until they are accepted."""
QUIET_S = 60.0
"""Seconds without an accept error until the next one is logged."""
HEAD_S = 10.0
HEAD_BYTES = 64 * 1024
PARAMETERS = 1024
"""Parameters and encoded bytes of an address, at most."""
HEADERS = 100
PIPELINED = 8
"""Requests that may begin in one received piece, at most. No browser, proxy or vendor sends two."""
CHUNK_BYTES = 256
"""Average bytes of a body's pieces, at least, once there are more than PIECES. Each piece is a call in Python."""
PIECES = 64
READER_S = 30
"""Seconds within which a client has to read some of an answer."""


class _RequestTooLarge(Exception):
    """A request is larger than any regular client's. uvicorn answers 400 and closes the connection."""


def max_connections() -> int:
    """Returns how many connections there may be: a thousand, or what the limit of open files allows."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if files == resource.RLIM_INFINITY else min(CONNECTIONS, max(files // 4, files - OTHER_FILES))


class PromptProtocol(HttpToolsProtocol):
    """Closes a connection if the head of a request is late or endless, or if an answer is not read.

    uvicorn itself waits for ever, and stores whatever comes. If there are too many connections, the one that has waited
    longest for its client is closed for the new one. uvicorn would answer 503 on all of them.
    """

    head_s = HEAD_S
    reader_s = READER_S
    max_connections = staticmethod(max_connections)
    _timer: asyncio.TimerHandle | None = None
    _other_bytes: int | None = 0
    """Bytes of this request that are not its body: its head, and what follows a body in chunks.

    None if it began in the piece that is being read, whose bytes may belong to another request too.
    """
    _body = 0
    """Bytes of a body in the piece that is being read."""
    _requests_begun = 0
    """Requests that began in the piece that is being read."""
    _pieces = 0
    _piece_bytes = 0
    _waiting: dict[PromptProtocol, None]
    """The server's connections that wait for their clients, to send or to read. The longest waiting is first."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the timer for the first request, and makes the system close a connection whose answer is not read."""
        super().connection_made(transport)
        listener_socket = transport.get_extra_info("socket")
        # Otherwise each answer waits 40 ms for the browser's acknowledgement: asyncio sets this only for its own
        # sockets.
        listener_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            listener_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * self.reader_s))
        # Stored in uvicorn's state of the server, which all its connections share.
        self._waiting = vars(self.server_state).setdefault("waiting", {})
        self._close_oldest()
        self._waiting[self] = None
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Starts the timer for a further request on the same connection, and limits what is not a body."""
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()
        self._body = self._requests_begun = 0
        super().data_received(data)
        self._other_bytes = 0 if self._other_bytes is None else self._other_bytes + len(data) - self._body
        if self._other_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Too long.")

    def on_message_begin(self) -> None:
        """Resets the counters for a new request."""
        super().on_message_begin()
        self._other_bytes = None
        self._requests_begun += 1
        self._pieces = self._piece_bytes = 0
        if self._requests_begun > PIPELINED:
            raise _RequestTooLarge

    def on_url(self, url: bytes) -> None:
        """Refuses an address with too many parameters."""
        super().on_url(url)
        if self.url.count(b"&") + self.url.count(b"%") > PARAMETERS:
            raise _RequestTooLarge

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuses too many headers."""
        super().on_header(name, value)
        if len(self.headers) > HEADERS:
            raise _RequestTooLarge

    def on_body(self, body: bytes) -> None:
        """Refuses a body in too many small pieces. The application limits its length."""
        self._body += len(body)
        self._pieces += 1
        self._piece_bytes += len(body)
        if self._pieces > PIECES and self._piece_bytes < self._pieces * CHUNK_BYTES:
            raise _RequestTooLarge
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Stops the timer. The application limits the time for the body."""
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the timer and forgets the connection."""
        self._stop_timer()
        super().connection_lost(exc)
        self._waiting.pop(self, None)

    def on_message_complete(self) -> None:
        """Counts the connection as working: the whole request has arrived."""
        super().on_message_complete()
        if not self.cycle.response_complete:
            self._waiting.pop(self, None)

    def on_response_complete(self) -> None:
        """Counts the connection as waiting for the next request."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._waiting[self] = None

    def pause_writing(self) -> None:
        """Counts the connection as waiting for its client to read."""
        super().pause_writing()
        self._waiting[self] = None

    def resume_writing(self) -> None:
        """Counts the connection as working again, unless its answer is complete."""
        super().resume_writing()
        if not (self.cycle is None or self.cycle.response_complete or self.cycle.more_body):
            self._waiting.pop(self, None)

    def _close_oldest(self) -> None:
        """Closes the connection that has waited longest for its client, if there are too many."""
        if len(self.connections) > self.max_connections() and self._waiting:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.transport.abort()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.head_s, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def application(*routes: BaseRoute, **options: Any) -> Starlette:
    """Returns the ASGI application of these routes.

    It redirects no path that ends otherwise: behind a proxy with TLS, Starlette's redirect would lead to plain http.
    """
    app = Starlette(routes=routes, **options)
    app.router.redirect_slashes = False
    return app


def serve(
    app: ASGIApp,
    host: str,
    port: int,
    name: str,
    setting: str,
    ready: Callable[[str], object] = lambda address: None,
) -> int:
    """Serves until SIGTERM or SIGINT, and returns the exit status.

    `setting` is the address as the command line has it, for an error. `ready` is called with the address once it
    listens.
    """
    _raise_file_limit()
    with _listen_errors(setting):
        _Server(_config(app, host, port), name, ready).run()
    return 0


@contextmanager
def serving_in_thread(
    app: ASGIApp, host: str, port: int, name: str, setting: str, ready: Callable[[str], object]
) -> Iterator[None]:
    """Serves in a thread until the block ends. The block keeps the process's signals."""
    _raise_file_limit()
    config = _config(app, host, port)
    with _listen_errors(setting):
        listening = config.bind_socket()
    server = _BackgroundServer(config, name, ready)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(DRAIN_S)
        listening.close()


def _raise_file_limit() -> None:
    """Raises the limit of open files for the connections, if the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with suppress(OSError, ValueError):  # a sandbox may forbid the call: then there are fewer connections
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _config(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host,
        port,
        http=PromptProtocol,
        ws="none",
        log_config=None,
        # uvicorn's access log would show query strings.
        access_log=False,
        server_header=False,
        # uvicorn's own handling would trust every proxy on this machine.
        proxy_headers=False,
        workers=1,  # else out of WEB_CONCURRENCY, where a word is a traceback
        backlog=ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=DRAIN_S,
        lifespan="off",
    )


@contextmanager
def _listen_errors(setting: str) -> Iterator[None]:
    """Turns uvicorn's exit, if it cannot listen, into a ConfigurationError."""
    try:
        yield
    except SystemExit:
        raise ConfigurationError(f"{setting}: cannot listen there; check whether the port is in use") from None


class _Server(uvicorn.Server):
    """A server that ends with status 0 after a signal. uvicorn itself would raise the signal again."""

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
        """Prints where it listens. Tests and the demo read that line."""
        asyncio.get_running_loop().set_exception_handler(accept_errors_once())
        await super().startup(sockets)
        for listener_socket in (one for server in self.servers for one in server.sockets):
            with socket.socket(fileno=os.dup(listener_socket.fileno())) as listener:
                listener.listen(QUEUE)
        if self.started:
            address: Any = (sockets or self.servers[0].sockets)[0].getsockname()
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            address = f"http://{host}:{address[1]}"
            sys.stdout.write(f"{self._name} listening on {address}\n")
            self._ready(address)
            sys.stdout.flush()


def accept_errors_once() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Returns a loop's handler that logs once that no connection is accepted. asyncio would log it all the time."""
    quiet_until = 0.0

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal quiet_until
        error = context.get("exception")
        # asyncio's text for it (selector_events.py).
        if not isinstance(error, OSError) or "accept()" not in context["message"]:
            loop.default_exception_handler(context)
            return
        if loop.time() >= quiet_until:
            log.error("connections_wait", error=error.strerror, remedy="raise the limit of open files (ulimit -n)")
        quiet_until = loop.time() + QUIET_S

    return handle


class _BackgroundServer(_Server):
    """A server in a thread. The signals belong to the rest of the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
