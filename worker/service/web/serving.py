"""One HTTP server in this process, for any ASGI application; its answers do not name the server software.

A request costs little here, whatever its sender puts into it, and clients that are silent, slow or endless do not keep
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
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from worker.domain.errors import ConfigurationError

log = structlog.get_logger()

DRAIN_S = 10
CONNECTIONS = 1000
FILES = 4096
"""Files that the process may have open, where the system lets it."""
OTHER_FILES = 256
"""Files among them that are kept for all else, and for new connections until old ones are closed."""
ACCEPTED_AT_ONCE = 16
"""Connections that are accepted in one turn of the event loop; it takes some turns until one can be closed again."""
QUEUE = 2048
"""Connections that the system keeps until they are accepted."""
QUIET_S = 60.0
"""Seconds without an accept error until the next one is logged."""
HEAD_S = 10.0
HEAD_BYTES = 64 * 1024
PARAMETERS = 1024
"""Most parameters and encoded bytes of an address."""
HEADERS = 100
PIPELINED = 8
"""Most requests that begin in one piece of what is received; no browser, proxy or vendor sends two."""
CHUNK_BYTES = 256
"""Least bytes of a body's pieces on average, once there are more than PIECES; each is a call of Python's."""
PIECES = 64
READER_S = 30
"""Seconds in which a client has to take some of an answer."""


class _TooMuch(Exception):
    """A request is more than any client of ours sends; uvicorn answers 400 and closes the connection."""


def most_connections() -> int:
    """Returns how many connections there may be: a thousand, or what the limit of open files leaves for them."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if files == resource.RLIM_INFINITY else min(CONNECTIONS, max(files // 4, files - OTHER_FILES))


class PromptProtocol(HttpToolsProtocol):
    """Closes a connection on which a request's head is late or endless, or an answer is not read.

    uvicorn itself waits for ever, and keeps whatever comes. When there are too many connections, the one that has
    waited longest for its client is closed for a new one; uvicorn would answer 503 on all of them.
    """

    head_s = HEAD_S
    reader_s = READER_S
    most = staticmethod(most_connections)
    _late: asyncio.TimerHandle | None = None
    _beside_body: int | None = 0
    """Bytes of this request that are not its body: its head, and what follows a body in chunks.

    None: it began in the piece that is being read, whose bytes may be another request's too.
    """
    _body = 0
    """Bytes of the piece that is being read which are a body's."""
    _begun = 0
    """Requests that began in the piece that is being read."""
    _pieces = 0
    _piece_bytes = 0
    _waiting: dict[PromptProtocol, None]
    """The connections of the server that wait for their clients, to send or to read; the longest first."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for the first request, and has the system see to answers that are not read."""
        super().connection_made(transport)
        own = transport.get_extra_info("socket")
        # Or each answer waits 40 ms for the browser's acknowledgement: asyncio sees to it only for sockets of its own.
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * self.reader_s))
        # In what uvicorn keeps of a server, which all its connections share.
        self._waiting = vars(self.server_state).setdefault("waiting", {})
        self._make_room()
        self._waiting[self] = None
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Waits for the rest of a further request on the same connection."""
        if self._late is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()
        self._body = self._begun = 0
        super().data_received(data)
        self._beside_body = 0 if self._beside_body is None else self._beside_body + len(data) - self._body
        if self._beside_body > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Too long.")

    def on_message_begin(self) -> None:
        """Counts anew."""
        super().on_message_begin()
        self._beside_body = None
        self._begun += 1
        self._pieces = self._piece_bytes = 0
        if self._begun > PIPELINED:
            raise _TooMuch

    def on_url(self, url: bytes) -> None:
        """Takes an address with the usual number of parameters."""
        super().on_url(url)
        if self.url.count(b"&") + self.url.count(b"%") > PARAMETERS:
            raise _TooMuch

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes the usual number of headers."""
        super().on_header(name, value)
        if len(self.headers) > HEADERS:
            raise _TooMuch

    def on_body(self, body: bytes) -> None:
        """Leaves a body to the application, which says how long it may be."""
        self._body += len(body)
        self._pieces += 1
        self._piece_bytes += len(body)
        if self._pieces > PIECES and self._piece_bytes < self._pieces * CHUNK_BYTES:
            raise _TooMuch
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Waits no more: of its body the application says how long it may take."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        self._stop_waiting()
        super().connection_lost(exc)
        self._waiting.pop(self, None)

    def on_message_complete(self) -> None:
        """Does not wait for the client any more: the request is there."""
        super().on_message_complete()
        if not self.cycle.response_complete:
            self._waiting.pop(self, None)

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._waiting[self] = None

    def pause_writing(self) -> None:
        """Waits for the client to read."""
        super().pause_writing()
        self._waiting[self] = None

    def resume_writing(self) -> None:
        """Goes on with the answer."""
        super().resume_writing()
        if not (self.cycle is None or self.cycle.response_complete or self.cycle.more_body):
            self._waiting.pop(self, None)

    def _make_room(self) -> None:
        """Closes the connection that has waited longest for its client, when this one is one too many."""
        if len(self.connections) > self.most() and self._waiting:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.transport.abort()

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
    _raise_file_limit()
    with _able_to_listen(asked):
        _Server(_config(app, host, port), name, ready).run()
    return 0


@contextmanager
def serving_beside(
    app: ASGIApp, host: str, port: int, name: str, asked: str, ready: Callable[[str], object]
) -> Iterator[None]:
    """Serves in a thread for as long as the block runs, which has the process's signals to itself."""
    _raise_file_limit()
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


def _raise_file_limit() -> None:
    """Lets the process have a file for each connection, where the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a sandbox may forbid the call: then there are fewer connections
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
        backlog=ACCEPTED_AT_ONCE,
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
        asyncio.get_running_loop().set_exception_handler(accept_errors_once())
        await super().startup(sockets)
        for own in (one for server in self.servers for one in server.sockets):
            with socket.socket(fileno=os.dup(own.fileno())) as listener:
                listener.listen(QUEUE)
        if self.started:
            place: Any = (sockets or self.servers[0].sockets)[0].getsockname()
            host = f"[{place[0]}]" if ":" in place[0] else place[0]
            address = f"http://{host}:{place[1]}"
            sys.stdout.write(f"{self._name} listening on {address}\n")
            self._ready(address)
            sys.stdout.flush()


def accept_errors_once() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Returns a loop's handler that logs once that no connection is accepted; asyncio would do so all the time."""
    quiet_until = 0.0

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal quiet_until
        error = context.get("exception")
        # asyncio's own words for it (selector_events.py).
        if not isinstance(error, OSError) or "accept()" not in context["message"]:
            loop.default_exception_handler(context)
            return
        if loop.time() >= quiet_until:
            log.error("connections_wait", error=error.strerror, remedy="raise the limit of open files (ulimit -n)")
        quiet_until = loop.time() + QUIET_S

    return handle


class _Beside(_Server):
    """A server in a thread of another process's work, to which the signals belong."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
