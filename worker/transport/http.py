"""The only place that speaks HTTP to vendors: it tells "never left", "left, no answer" and "answered" apart.

What an answer means is decided by the channels, and whether to call again by the policy. It never retries, follows no
redirect, keeps no cookie, reads no environment variable, raises nothing and logs nothing.
`tests/unit/transport/faults.md` has a row for each fault.
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
from worker.transport.connection import Line, Probe, TooLarge, Wire
from worker.transport.egress.dial import dial
from worker.transport.egress.routes import Route, Routes
from worker.transport.faults import (
    CERTIFICATE_REFUSED,
    OF_CERTIFICATES,
    REMEDIES,
    is_overdue,
    refuses_certificate,
    why_no_answer,
    why_not_connected,
    why_not_trusted,
)
from worker.transport.framing import LONGEST_FRAMING, MAX_ANSWER
from worker.transport.multipart import multipart
from worker.transport.pending_call import EndedCall, OnTheWire, PendingCall, await_any

T = TypeVar("T")

MAKERS = 32
"""Connections that are made side by side at most, for one caller."""
NO_THREAD = "no_thread"
"""The fault of a host that lets this process start no thread."""


class Connection(Protocol):
    """An open connection to one host, good for one call."""

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        """Begins one call, ended by `deadline` (the transport's monotonic clock; None: now + `request.deadline_s`).

        Waits for nothing, but for a body that comes in pieces: that is written to its end.
        """

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        """Begins one call, and waits for its result."""

    def release(self) -> None:
        """Gives the connection back unused; does nothing after a call, or a second time."""


class Transport(Protocol):
    """Calls a vendor in two steps, so that limits are reserved only when there is a connection."""

    def connect(self, request: Request) -> Connection | NotSent:
        """A connection to the request's host, new or kept alive and checked; not a byte of the request leaves."""

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """A connection for each request; new ones are made side by side."""

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """Waits until at least one call has ended, or `timeout_s` seconds are over; returns those that have."""


def call_once(carrier: Transport, request: Request) -> CallResult:
    """One call by a connection of its own, for what reserves no limit in between; waits for the result."""
    connection = carrier.connect(request)
    if isinstance(connection, NotSent):
        return connection
    try:
        return connection.call(request)
    finally:
        connection.release()


class SocketTransport:
    """Transport on sockets of ours, which urllib3 writes and reads.

    Thread-safe; a connection belongs to the thread that asked for it.

    Connections are kept apart by base_url and egress; at most `most_idle` are idle, of all accounts together.
    `max_idle_s` stays below the shortest usual keep-alive of a server (5 s): a call that crosses the server's close is
    an `unknown` outcome.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = boot_clock,
        max_idle_s: float = 4.0,
        most_idle: int = 256,
        probe: Probe | None = None,
        boundary: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._monotonic = monotonic
        self._max_idle_s = max_idle_s
        self._probe = probe
        self._boundary = boundary
        self._routes = Routes(monotonic, max_idle_s=max_idle_s, most_idle=most_idle)
        for name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.poolmanager", "urllib3.util.retry"):
            logging.getLogger(name).addFilter(_QUERY_FILTER)  # adding it again changes nothing

    def connect(self, request: Request) -> Connection | NotSent:
        """A connection to the request's host, new or kept alive and checked; not a byte of the request leaves."""
        [connection] = self.connect_all([request])
        return connection

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NotSent]:
        """A connection for each request; new ones are made side by side."""
        found = [self._guarded(self._kept_or_route, request) for request in requests]
        missing = [(request, route) for request, route in zip(requests, found, strict=True) if isinstance(route, Route)]
        made = iter(self._make_all(missing) if len(missing) > 1 else map(self._make, missing))
        return [next(made) if isinstance(one, Route) else one for one in found]

    def _make_all(self, missing: Sequence[tuple[Request, Route]]) -> list[Connection | NotSent]:
        """A new connection for each, made side by side in as many threads as can be started."""
        # One after the other, the handshakes with a distant host would take longer than a permit lasts. In threads
        # of their own, for one account's dead proxy must not keep busy those that another account needs.
        made: list[Connection | NotSent] = [NotSent(NO_THREAD, 0.0, remedy=REMEDIES[NO_THREAD])] * len(missing)
        waiting = deque(enumerate(missing))

        def work() -> None:
            with suppress(IndexError):  # of an empty deque
                while True:
                    at, one = waiting.popleft()
                    made[at] = self._make(one)

        makers: list[threading.Thread] = []
        with suppress(RuntimeError):  # of a thread that cannot be started: those before it make what it would have made
            for _ in missing[:MAKERS]:
                maker = threading.Thread(target=work, name="connect")
                maker.start()
                makers.append(maker)
        for maker in makers:
            maker.join()
        return made

    def _kept_or_route(self, request: Request) -> Connection | Route:
        """A connection that is kept alive, or else the route for a new one."""
        route = self._routes.to(request.base_url, request.egress)
        line = self._routes.kept_alive(route)
        return route if line is None else _Connection(self, route, line, request.egress)

    def _make(self, missing: tuple[Request, Route]) -> Connection | NotSent:
        request, route = missing
        return self._guarded(lambda: _Connection(self, route, self._new_line(route), request.egress))

    def _guarded(self, find: Callable[..., T], *given: Any) -> T | NotSent:
        began = self._monotonic()
        try:
            return find(*given)
        except Exception as error:  # noqa: BLE001  # requests' and urllib3's errors carry URLs, and those tokens
            reason = why_not_connected(error)
            remedy = OF_CERTIFICATES.get((reason, why_not_trusted(error))) or REMEDIES.get(reason)
            return NotSent(reason, self._monotonic() - began, remedy=remedy)

    def close(self) -> None:
        """Closes idle connections; those in use are closed when they are given back."""
        self._routes.close()

    def _new_line(self, route: Route) -> Line:
        sock = dial(route, self._monotonic)
        try:
            # It gets a socket that is connected, and is left to write requests and to read answers.
            engine = (HTTPSConnection if route.tls else HTTPConnection)(route.host, route.port)
            return Line(engine, sock, self._monotonic)
        except BaseException:
            sock.close()
            raise

    def _give_back(self, route: Route, line: Line, *, used: bool) -> None:
        self._routes.keep(route, line, used=used)

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """Waits until at least one call has ended, or `timeout_s` seconds are over; returns those that have."""
        return await_any(calls, self._monotonic, timeout_s)

    def _begin(self, route: Route, line: Line, request: Request, deadline: float | None) -> PendingCall:
        began = self._monotonic()
        line.wire.begin(began + request.deadline_s if deadline is None else deadline, self._probe)
        try:
            if not line.wire.alive():
                line.close()
                return EndedCall(self._not_alive(line, began))
            body, headers = _prepare(route, request, self._boundary)
            line.write(request.method, route.target(request), body, headers)
        except Exception as error:  # noqa: BLE001  # as in connect; what is certain is known by the wire
            line.close()
            return EndedCall(self._fault(line, error, began))
        except BaseException:
            line.close()
            raise
        return OnTheWire(line, lambda: self._finish(route, line, began))

    def _finish(self, route: Route, line: Line, began: float) -> CallResult:
        done = False
        try:
            raw = line.read_head()
            body = _read_whole(raw, line.wire)
            line.answered = True
            line.wire.reached("answer_read")
            headers = {name.lower(): value for name, value in raw.headers.items()}
            done = line.reusable
            return Reply(raw.status, headers, body, self._monotonic() - began)
        except Exception as error:  # noqa: BLE001  # as in connect; what is certain is known by the wire
            return self._fault(line, error, began)
        finally:
            if done:
                self._give_back(route, line, used=True)
            else:
                line.close()

    def _fault(self, line: Line, error: Exception, began: float) -> CallResult:
        reason, duration = why_no_answer(error, line.wire), self._monotonic() - began
        if line.wire.handed:
            return NoAnswer(reason, duration)
        return NotSent(reason, duration, Unsent.DEADLINE if is_overdue(error) else None)

    def _not_alive(self, line: Line, began: float) -> NotSent:
        cause = Unsent.DROPPED if self._is_old(line) else Unsent.CLOSED_AT_ONCE
        reason = CERTIFICATE_REFUSED if refuses_certificate(line.wire.trouble) else cause.value
        return NotSent(reason, self._monotonic() - began, cause, REMEDIES.get(reason))

    def _is_old(self, line: Line) -> bool:
        """True when the server may have closed the line as idle, which is no sign that the server is ill."""
        return line.answered or line.made_at < self._monotonic() - self._max_idle_s


class _Connection:
    def __init__(self, transport: SocketTransport, route: Route, line: Line, egress: Egress) -> None:
        self._transport = transport
        self._route = route
        self._line: Line | None = line
        self._egress = egress

    def __repr__(self) -> str:
        return f"<Connection {self._route.origin}>"

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        if (request.base_url, request.egress) != (self._route.base_url, self._egress):
            self.release()
        line, self._line = self._line, None
        if line is None:
            return EndedCall(NotSent("released", 0.0))
        return self._transport._begin(self._route, line, request, deadline)

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        return self.begin(request, deadline=deadline).result()

    def release(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            self._transport._give_back(self._route, line, used=False)


def _prepare(route: Route, request: Request, boundary: Callable[[], str]) -> tuple[Any, dict[str, str]]:
    """The body and the headers."""
    body: Any = request.body
    headers = {"User-Agent": "im-delivery-worker", "Accept-Encoding": "identity"}
    if route.forwarded:
        headers.update(route.proxy_headers)
    if request.authorization:
        headers["Authorization"] = request.authorization
    if isinstance(request.body, FileBody):
        mark = boundary()
        length, body = multipart(request.body, mark)
        headers["Content-Type"] = f"multipart/form-data; boundary={mark}"
        headers["Content-Length"] = str(length)
    elif request.body is not None:
        headers["Content-Type"] = request.content_type
        headers["Content-Length"] = str(len(request.body))
    return body, headers


def _read_whole(raw: urllib3.HTTPResponse, wire: Wire) -> bytes:
    """The whole body. With neither a length nor chunks, the end of the stream is the end of the answer."""
    if (raw.length_remaining or 0) > MAX_ANSWER:
        raise TooLarge
    chunks, size = [], 0
    # In small pieces: of a body in tiny chunks each byte costs as much as a kilobyte of others.
    while chunk := raw.read(8192):
        size += len(chunk)
        if size > MAX_ANSWER or wire.received - size > LONGEST_FRAMING:
            raise TooLarge
        chunks.append(chunk)
    return b"".join(chunks)


_QUERY = re.compile(r"\?[^\s\"')]*")


class _QueryFilter(logging.Filter):
    """Removes query strings, which hold tokens and keys, from what urllib3 logs: targets of calls, strange headers."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _QUERY.sub("?...", record.getMessage()), ()
        record.exc_info = record.exc_text = None
        return True


_QUERY_FILTER = _QueryFilter()
