"""The only place that speaks HTTP to vendors: it tells "never left", "left, no answer" and "answered" apart.

What an answer means is decided by the channels, and whether to call again by the policy. It never retries, follows no
redirect, keeps no cookie, reads no environment variable, raises nothing and logs nothing. `docs/transport.md` has a row
for each fault.
"""

from __future__ import annotations

import logging
import re
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

import requests
import urllib3
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from requests.exceptions import InvalidURL
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Url, parse_url
from urllib3.util.ssl_ import create_urllib3_context

from worker.domain.account import Secret
from worker.domain.call import Answered, CallResult, FileBody, NeverLeft, NoAnswer, Reply, Request, Unsent
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.clock import boot_clock
from worker.transport.connection import Line, Probe, TooLarge, is_overdue, why_no_answer, why_not_connected
from worker.transport.framing import MAX_ANSWER
from worker.transport.multipart import multipart
from worker.transport.pending_call import EndedCall, OnTheWire, PendingCall, await_any

T = TypeVar("T")

MAKERS = 32
"""Connections that are made side by side at most."""


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

    def connect(self, request: Request) -> Connection | NeverLeft:
        """A connection to the request's host, new or kept alive and checked; not a byte of the request leaves."""

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NeverLeft]:
        """A connection for each request; new ones are made side by side."""

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """Waits until at least one call has ended, or `timeout_s` seconds are over; returns those that have."""


class RequestsTransport:
    """Transport on requests. Thread-safe; a connection belongs to the thread that asked for it.

    Connections are kept apart by base_url and proxy. `max_idle_s` stays below the shortest usual keep-alive of a server
    (5 s): a call that crosses the server's close is an `unknown` outcome.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = boot_clock,
        connect_timeout_s: float = 5.0,
        pool_size: int = 64,
        max_idle_s: float = 4.0,
        probe: Probe | None = None,
        verify: bool | str = True,
        boundary: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._monotonic = monotonic
        self._connect_timeout_s = connect_timeout_s
        self._pool_size = pool_size
        self._max_idle_s = max_idle_s
        self._probe = probe
        self._boundary = boundary
        self._verify = verify
        if isinstance(verify, str):
            # A bundle of the caller's that cannot be read is an error here, not in the first call.
            _ = self._tls
        self._makers = ThreadPoolExecutor(MAKERS, "connect")  # its threads come when they are needed
        self._routes: dict[tuple[str, str | None], _Route] = {}
        self._closed = False
        for name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.poolmanager", "urllib3.util.retry"):
            logging.getLogger(name).addFilter(_QUERY_FILTER)  # adding it again changes nothing

    def connect(self, request: Request) -> Connection | NeverLeft:
        """A connection to the request's host, new or kept alive and checked; not a byte of the request leaves."""
        [connection] = self.connect_all([request])
        return connection

    def connect_all(self, requests: Sequence[Request]) -> list[Connection | NeverLeft]:
        """A connection for each request; new ones are made side by side."""
        found = [self._guarded(request, self._kept_or_route, request) for request in requests]
        missing = [
            (request, route) for request, route in zip(requests, found, strict=True) if isinstance(route, _Route)
        ]
        # One after the other, the handshakes with a distant host would take longer than a permit lasts.
        made = iter((self._makers.map if len(missing) > 1 else map)(self._make, missing))
        return [next(made) if isinstance(one, _Route) else one for one in found]

    def _kept_or_route(self, request: Request) -> Connection | _Route:
        """A connection that is kept alive, or else the route for a new one."""
        via = request.proxy.read() if isinstance(request.proxy, Secret) else request.proxy
        route = self._route(request.base_url, via)
        line = self._kept_alive(route)
        return route if line is None else _Connection(self, route, line, request.proxy)

    def _make(self, missing: tuple[Request, _Route]) -> Connection | NeverLeft:
        request, route = missing
        return self._guarded(request, lambda: _Connection(self, route, self._new_line(route), request.proxy))

    def _guarded(self, request: Request, find: Callable[..., T], *given: Any) -> T | NeverLeft:
        began = self._monotonic()
        try:
            return find(*given)
        except Exception as error:  # noqa: BLE001  # requests' and urllib3's errors carry URLs, and those tokens
            reason = why_not_connected(error, proxied=request.proxy is not None)
            return NeverLeft(reason, self._monotonic() - began)

    def close(self) -> None:
        """Closes idle connections; those in use are closed when they are given back."""
        self._closed = True
        for route in tuple(self._routes.values()):
            while route.idle:
                route.idle.pop().close()

    def _route(self, base_url: str, via: str | None) -> _Route:
        route = self._routes.get((base_url, via))
        if route is None:
            headers = HTTPAdapter().proxy_headers(via) if via else {}
            route = self._routes.setdefault((base_url, via), _Route.to(base_url, via, headers))
        return route

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """The TLS settings, made with the first https connection: reading the certificate authorities takes 18 ms."""
        context = create_urllib3_context()
        if self._verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH if self._verify is True else self._verify)
        return context

    def _kept_alive(self, route: _Route) -> Line | None:
        oldest = self._monotonic() - self._max_idle_s
        while True:
            try:
                line = route.idle.pop()
            except IndexError:
                return None
            if line.idle_since >= oldest and line.wire.alive():
                return line
            line.close()

    def _new_line(self, route: _Route) -> Line:
        host, port = (route.proxy.host or "", route.proxy.port) if route.proxy else (route.host, route.port)
        timeout = self._connect_timeout_s
        if route.scheme == "http":
            engine = HTTPConnection(host, port, timeout=timeout, proxy=route.proxy)
        else:
            tls: dict[str, Any] = {"ssl_context": self._tls, "cert_reqs": self._tls.verify_mode}
            engine = HTTPSConnection(host, port, timeout=timeout, proxy=route.proxy, **tls)
            if route.proxy:
                # Through a CONNECT tunnel.
                engine.set_tunnel(route.host, route.port, headers=route.proxy_headers, scheme="http")
        try:
            return Line(engine, self._monotonic)
        except BaseException:
            engine.close()
            raise

    def _give_back(self, route: _Route, line: Line, *, used: bool) -> None:
        # Given back unused it keeps its age: the server counts its keep-alive from the last traffic.
        if used or not line.idle_since:
            line.idle_since = self._monotonic()
        if len(route.idle) >= self._pool_size:
            line.close()
            return
        route.idle.append(line)
        if self._closed:
            self.close()

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """Waits until at least one call has ended, or `timeout_s` seconds are over; returns those that have."""
        return await_any(calls, self._monotonic, timeout_s)

    def _begin(self, route: _Route, line: Line, request: Request, deadline: float | None) -> PendingCall:
        began = self._monotonic()
        line.wire.begin(began + request.deadline_s if deadline is None else deadline, self._probe)
        try:
            if not line.wire.alive():
                line.close()
                cause = Unsent.DROPPED if self._is_old(line) else Unsent.CLOSED_AT_ONCE
                return EndedCall(NeverLeft(cause.value, self._monotonic() - began, cause))
            prepared = _prepare(route, request, self._boundary)
            line.write(prepared.method, prepared.url, prepared.body, prepared.headers)
        except Exception as error:  # noqa: BLE001  # as in connect; what is certain is known by the wire
            line.close()
            return EndedCall(self._fault(line, error, began))
        except BaseException:
            line.close()
            raise
        return OnTheWire(line, lambda: self._finish(route, line, began))

    def _finish(self, route: _Route, line: Line, began: float) -> CallResult:
        done = False
        try:
            response = _response(line.read_head())
            body = _read_whole(response.raw)
            line.answered = True
            line.wire.reached("answer_read")
            headers = {name.lower(): value for name, value in response.raw.headers.items()}
            done = line.reusable
            return Answered(Reply(response.status_code, headers, body), self._monotonic() - began)
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
        return NeverLeft(reason, duration, Unsent.DEADLINE if is_overdue(error) else None)

    def _is_old(self, line: Line) -> bool:
        """True when the server may have closed the line as idle, which is no sign that the server is ill."""
        return line.answered or line.made_at < self._monotonic() - self._max_idle_s


class _Connection:
    def __init__(self, transport: RequestsTransport, route: _Route, line: Line, proxy: str | Secret | None) -> None:
        self._transport = transport
        self._route = route
        self._line: Line | None = line
        self._proxy = proxy

    def __repr__(self) -> str:
        return f"<Connection {self._route.origin}>"

    def begin(self, request: Request, *, deadline: float | None = None) -> PendingCall:
        if (request.base_url, request.proxy) != (self._route.base_url, self._proxy):
            self.release()
        line, self._line = self._line, None
        if line is None:
            return EndedCall(NeverLeft("released", 0.0))
        return self._transport._begin(self._route, line, request, deadline)

    def call(self, request: Request, *, deadline: float | None = None) -> CallResult:
        return self.begin(request, deadline=deadline).result()

    def release(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            self._transport._give_back(self._route, line, used=False)


@dataclass(frozen=True, slots=True, repr=False)
class _Route:
    """The way to a base_url, with or without a proxy, worked out once; and the connections that are kept to it."""

    base_url: str
    scheme: str
    host: str
    port: int
    origin: str
    prefix: str
    proxy: Url | None
    proxy_headers: Mapping[str, str]
    idle: deque[Line] = field(default_factory=deque)

    @classmethod
    def to(cls, base_url: str, via: str | None, proxy_headers: Mapping[str, str]) -> _Route:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidURL
        port = parts.port or (443 if parts.scheme == "https" else 80)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        prefix = parts.path.rstrip("/")
        proxy = None
        if via:
            url = parse_url(via)
            if url.scheme != "http" or not url.host:
                raise ConfigurationError("a proxy is written http://[user:password@]host:port")
            # User and password are sent in a header of their own.
            proxy = url._replace(auth=None, port=url.port or 80)
        return cls(base_url, parts.scheme, parts.hostname, port, origin, prefix, proxy, proxy_headers)

    def target(self, request: Request) -> str:
        """The target in the request line: absolute for a forwarding proxy, else the path."""
        query = f"?{urlencode(request.query)}" if request.query else ""
        path = f"{self.prefix}{request.path}{query}"
        return f"{self.origin}{path}" if self.forwarded else path

    @property
    def forwarded(self) -> bool:
        return self.proxy is not None and self.scheme == "http"


def _response(raw: urllib3.BaseHTTPResponse) -> requests.Response:
    # Without cookies, encodings and the request: nothing reads them, and the request holds the token.
    response = requests.Response()
    response.status_code, response.raw = raw.status, raw
    return response


class _Prepared(requests.PreparedRequest):
    """A request of requests, made directly: its own preparing costs more than sending."""

    method: str
    url: str
    body: Any


def _prepare(route: _Route, request: Request, boundary: Callable[[], str]) -> _Prepared:
    prepared = _Prepared()
    prepared.method, prepared.url = request.method, route.target(request)
    headers = {"User-Agent": "im-delivery-worker", "Accept-Encoding": "identity"}
    if route.forwarded:
        headers.update(route.proxy_headers)
    if isinstance(request.body, FileBody):
        mark = boundary()
        length, prepared.body = multipart(request.body, mark)
        headers["Content-Type"] = f"multipart/form-data; boundary={mark}"
        headers["Content-Length"] = str(length)
    elif request.body is not None:
        prepared.body = request.body
        headers["Content-Type"] = request.content_type
        headers["Content-Length"] = str(len(request.body))
    prepared.headers = CaseInsensitiveDict(headers)
    return prepared


def _read_whole(raw: urllib3.HTTPResponse) -> bytes:
    """The whole body. With neither a length nor chunks, the end of the stream is the end of the answer."""
    if (raw.length_remaining or 0) > MAX_ANSWER:
        raise TooLarge
    chunks, size = [], 0
    while chunk := raw.read(65536):
        size += len(chunk)
        if size > MAX_ANSWER:
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
