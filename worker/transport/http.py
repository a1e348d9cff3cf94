"""Speaks HTTP to vendors, and tells apart whether a request was not sent, is unanswered, or was answered.

All other HTTP goes through `session.py`. The channels decide what an answer means, and the policy decides whether to
call again. It never retries, follows no redirect, stores no cookie, reads no environment variable, raises nothing and
logs nothing. `tests/unit/transport/faults.md` has a row for each fault.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from worker.domain.account import Egress
from worker.domain.call import CallResult, FileBody, NoAnswer, NotSent, Reply, Request, Unsent
from worker.outbox.engine.clock import boot_clock
from worker.transport.connection import Checkpoint, PooledConnection
from worker.transport.egress.dial import Deadline, dial
from worker.transport.egress.proxy import resolve
from worker.transport.egress.routes import Route, Routes
from worker.transport.faults import (
    CERTIFICATE_REFUSED,
    REMEDIES,
    call_fault,
    connection_fault,
    connection_remedy,
    is_deadline_passed,
    refuses_certificate,
)
from worker.transport.framing import MAX_ANSWER, TooLarge
from worker.transport.multipart import multipart
from worker.transport.pending_call import CallInFlight, EndedCall, PendingCall, await_any

T = TypeVar("T")

MAX_CONNECT_THREADS = 32
"""Connections that are opened in parallel for one caller, at most."""
NO_THREAD = "no_thread"
"""The fault of a host that lets this process start no thread."""


class Connection(Protocol):
    """An open connection to one host, for one call."""

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        """Begins one call that ends by `deadline` on the transport's clock, by default `request.deadline_s` from now.

        Does not wait, unless the body comes in pieces: that is written to its end.
        """

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        """Begins one call, and waits for its result."""

    def release(self) -> None:
        """Returns the connection unused. Does nothing after a call, or a second time."""


class Transport(Protocol):
    """Calls a vendor in two steps, so that limits are reserved only once there is a connection."""

    def connect(self, request: Request) -> Connection | NotSent:
        """Returns a connection to the request's host, new or reused. Sends nothing of the request."""

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """Returns a connection for each request. New ones are opened in parallel."""

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """Waits until at least one call has ended, or for `timeout_s` seconds. Returns the calls that have ended."""


def call_once(carrier: Transport, request: Request) -> CallResult:
    """Makes one call on a connection of its own, if no limit must be reserved in between. Waits for the result."""
    connection = carrier.connect(request)
    if isinstance(connection, NotSent):
        return connection
    try:
        return connection.call(request)
    finally:
        connection.release()


class SocketTransport:
    """Transport on our own sockets, which urllib3 writes and reads.

    Thread-safe. A connection belongs to the thread that requested it.

    Connections are pooled by base_url and egress. At most `max_idle` are idle, of all accounts together. `max_idle_s`
    is shorter than the shortest usual keep-alive of a server (5 s): a call that crosses the server's close would be an
    `unknown` outcome.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = boot_clock,
        max_idle_s: float = 4.0,
        max_idle: int = 256,
        probe: Checkpoint | None = None,
        boundary: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._monotonic = monotonic
        self._max_idle_s = max_idle_s
        self._probe = probe
        self._boundary = boundary
        self._routes = Routes(monotonic, max_idle_s=max_idle_s, max_idle=max_idle)
        for name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.poolmanager", "urllib3.util.retry"):
            logging.getLogger(name).addFilter(_QUERY_FILTER)  # adding it again changes nothing

    def connect(self, request: Request) -> Connection | NotSent:
        """Returns a connection to the request's host, new or reused. Sends nothing of the request."""
        [connection] = self.connect_all([request])
        return connection

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """Returns a connection for each request. New ones are opened in parallel."""
        idle_or_routes = [self._or_fault(self._idle_or_route, request) for request in requests]
        missing = [
            (request, route)
            for request, route in zip(requests, idle_or_routes, strict=True)
            if isinstance(route, Route)
        ]
        opened = iter(self._open_all(missing) if len(missing) > 1 else map(self._open_one, missing))
        return [next(opened) if isinstance(item, Route) else item for item in idle_or_routes]

    def _open_all(self, missing: Sequence[tuple[Request, Route]]) -> list[Connection | NotSent]:
        """Opens a connection for each request, in parallel, in as many threads as can be started."""
        # One after the other, the handshakes with a distant host would take longer than a permit lasts. The threads are
        # not pooled, because one account's dead proxy must not keep busy those that another account needs.
        opened: list[Connection | NotSent] = [NotSent(NO_THREAD, 0.0, remedy=REMEDIES[NO_THREAD])] * len(missing)
        waiting = deque(enumerate(missing))

        def work() -> None:
            with suppress(IndexError):  # of an empty deque
                while True:
                    n, item = waiting.popleft()
                    opened[n] = self._open_one(item)

        threads: list[threading.Thread] = []
        with suppress(RuntimeError):  # a thread cannot be started: the others do its work
            for _ in missing[:MAX_CONNECT_THREADS]:
                thread = threading.Thread(target=work, name="connect")
                thread.start()
                threads.append(thread)
        for thread in threads:
            thread.join()
        return opened

    def _idle_or_route(self, request: Request) -> Connection | Route:
        """Returns an idle connection, or else the route for a new one."""
        route = self._routes.to(request.base_url, request.egress)
        connection = self._routes.take_idle(route)
        return route if connection is None else _Connection(self, route, connection, request.egress)

    def _open_one(self, missing: tuple[Request, Route]) -> Connection | NotSent:
        request, route = missing
        return self._or_fault(lambda: _Connection(self, route, self._new_connection(route), request.egress))

    def _or_fault(self, find: Callable[..., T], *arguments: Any) -> T | NotSent:
        began = self._monotonic()
        try:
            return find(*arguments)
        except Exception as error:  # noqa: BLE001  # requests' and urllib3's errors carry URLs, and those tokens
            return NotSent(connection_fault(error), self._monotonic() - began, remedy=connection_remedy(error))

    def close(self) -> None:
        """Closes idle connections. Those in use are closed when they are given back."""
        self._routes.close()

    def _new_connection(self, route: Route) -> PooledConnection:
        deadline = Deadline(self._monotonic, self._monotonic() + route.egress.connect_timeout_s)
        sock = dial(route, deadline, resolve)
        try:
            # The engine gets a connected socket. It only writes requests and reads answers.
            engine = (HTTPSConnection if route.tls else HTTPConnection)(route.host, route.port)
            return PooledConnection(engine, sock, self._monotonic)
        except BaseException:
            sock.close()
            raise

    def _give_back(self, route: Route, connection: PooledConnection, *, used: bool) -> None:
        self._routes.give_back(route, connection, used=used)

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """Waits until at least one call has ended, or for `timeout_s` seconds. Returns the calls that have ended."""
        return await_any(calls, self._monotonic, timeout_s)

    def _begin(
        self, route: Route, connection: PooledConnection, request: Request, deadline: float | None
    ) -> PendingCall:
        began = self._monotonic()
        connection.adapter.begin(began + request.deadline_s if deadline is None else deadline, self._probe)
        try:
            if not connection.adapter.is_alive():
                connection.close()
                return EndedCall(self._closed_by_vendor(connection, began))
            body, headers = _prepare(route, request, self._boundary)
            connection.write(request.method, route.target(request), body, headers)
        except Exception as error:  # noqa: BLE001  # as in connect; the adapter knows what is certain
            connection.close()
            return EndedCall(self._fault(connection, error, began))
        except BaseException:
            connection.close()
            raise
        return CallInFlight(connection, lambda: self._finish(route, connection, began))

    def _finish(self, route: Route, connection: PooledConnection, began: float) -> CallResult:
        is_reusable = False
        try:
            raw = connection.read_head()
            body = _read_whole(raw)
            connection.has_answered = True
            connection.adapter.checkpoint("answer_read")
            headers = {name.lower(): value for name, value in raw.headers.items()}
            is_reusable = connection.reusable
            return Reply(raw.status, headers, body, self._monotonic() - began)
        except Exception as error:  # noqa: BLE001  # as in connect; the adapter knows what is certain
            return self._fault(connection, error, began)
        finally:
            if is_reusable:
                self._give_back(route, connection, used=True)
            else:
                connection.close()

    def _fault(self, connection: PooledConnection, error: Exception, began: float) -> CallResult:
        reason, duration = call_fault(error, connection.adapter), self._monotonic() - began
        if connection.adapter.may_be_sent:
            return NoAnswer(reason, duration)
        return NotSent(reason, duration, Unsent.DEADLINE if is_deadline_passed(error) else None)

    def _closed_by_vendor(self, connection: PooledConnection, began: float) -> NotSent:
        cause = Unsent.DROPPED if self._may_be_idle_close(connection) else Unsent.CLOSED_AT_ONCE
        reason = CERTIFICATE_REFUSED if refuses_certificate(connection.adapter.read_error) else cause.value
        return NotSent(reason, self._monotonic() - began, cause, REMEDIES.get(reason))

    def _may_be_idle_close(self, connection: PooledConnection) -> bool:
        """Returns True if the server may have closed the connection as idle, which is no sign of a fault."""
        return connection.has_answered or connection.opened_at < self._monotonic() - self._max_idle_s


class _Connection:
    def __init__(self, transport: SocketTransport, route: Route, connection: PooledConnection, egress: Egress) -> None:
        self._transport = transport
        self._route = route
        self._connection: PooledConnection | None = connection
        self._egress = egress

    def __repr__(self) -> str:
        return f"<Connection {self._route.origin}>"

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        if (request.base_url, request.egress) != (self._route.base_url, self._egress):
            self.release()
        connection, self._connection = self._connection, None
        if connection is None:
            return EndedCall(NotSent("released", 0.0))
        return self._transport._begin(self._route, connection, request, deadline)

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        return self.begin(request, deadline=deadline).result()

    def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport._give_back(self._route, connection, used=False)


def _prepare(route: Route, request: Request, boundary: Callable[[], str]) -> tuple[Any, dict[str, str]]:
    """Returns the body and the headers of a request."""
    body: Any = request.body
    headers = {"User-Agent": "im-delivery-worker", "Accept-Encoding": "identity"}
    if route.forwarded:
        headers.update(route.proxy_headers)
    if isinstance(request.body, FileBody):
        separator = boundary()
        length, body = multipart(request.body, separator)
        headers["Content-Type"] = f"multipart/form-data; boundary={separator}"
        headers["Content-Length"] = str(length)
    elif request.body is not None:
        headers["Content-Type"] = request.content_type
        headers["Content-Length"] = str(len(request.body))
    return body, headers


def _read_whole(raw: urllib3.HTTPResponse) -> bytes:
    """Reads the whole body. With neither a length nor chunks, the answer ends with the stream."""
    if (raw.length_remaining or 0) > MAX_ANSWER:
        raise TooLarge
    chunks, size = [], 0
    # In small pieces: in a body of tiny chunks, each byte takes as long as a kilobyte otherwise.
    while chunk := raw.read(8192):
        size += len(chunk)
        if size > MAX_ANSWER:
            raise TooLarge
        chunks.append(chunk)
    return b"".join(chunks)


_QUERY = re.compile(r"\?[^\s\"')]*")


class _QueryFilter(logging.Filter):
    """Removes query strings, which hold tokens and keys, from what urllib3 logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _QUERY.sub("?...", record.getMessage()), ()
        record.exc_info = record.exc_text = None
        return True


_QUERY_FILTER = _QueryFilter()
