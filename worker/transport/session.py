"""The session of requests for all HTTP that is no call of a vendor: notices, token services, files, sign-ins, doctor.

requests follows redirects, decodes bodies and logs in. The adapter below it opens each connection in the way of
`egress/`, for each redirect anew, and bounds bytes, lines and the time of everything together. It obeys no variable of
the environment, stores no cookie and sends nothing twice.
"""

from __future__ import annotations

import http.client
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, cast

import requests
import urllib3
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection

from worker.domain.account import DIRECT, Egress
from worker.domain.call import Reply
from worker.domain.content.web import UnusableAddress, WebAddress, web_address
from worker.outbox.engine.clock import boot_clock
from worker.transport.connection import DeadlinePassed, SocketAdapter, Stream
from worker.transport.egress.dial import Deadline, Dial, dial
from worker.transport.egress.proxy import Addresses, resolve
from worker.transport.egress.routes import Route, Routes
from worker.transport.faults import NotConnected, call_fault, connection_fault, connection_remedy
from worker.transport.framing import MAX_ANSWER, TooLarge

MAX_REDIRECTS = 5
MAX_LINES = 256 * 1024
"""Bytes of an answer's lines, at most: a large file may come in many chunks."""
SLICE_S = 0.2
"""Seconds of a wait after which it is checked whether the process is ending."""
NOT_ALLOWED, BAD_ADDRESS, TOO_MANY_REDIRECTS, TOO_LARGE = "not_allowed", "bad_address", "redirects", "too_large"
"""Faults besides those of `faults.md`: no address of the host is allowed; the URL, or the one that a redirect leads to,
is no http or https address; there are too many redirects; the answer has more bytes or lines than it may have."""

Permits = Callable[[str, str], bool]
"""Tells whether a host may be reached at this address, to which its name has just resolved."""


class WebError(requests.RequestException):
    """No complete answer came. Neither its text nor what caused it holds a URL."""

    def __init__(self, reason: str, remedy: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


class Web:
    """Opens sessions in one process. Thread-safe. Tests replace `dial` and `resolve`."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = boot_clock,
        dial: Dial = dial,
        resolve: Callable[[str, int], Addresses] = resolve,
    ) -> None:
        self.monotonic, self.dial, self.resolve = monotonic, dial, resolve
        # Sessions share what their TLS needs, but no connection.
        self.routes = Routes(monotonic, max_idle_s=0.0, max_idle=0)

    def session(
        self,
        deadline_s: float,
        *,
        max_bytes: int = MAX_ANSWER,
        egress: Egress = DIRECT,
        permits: Permits | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> requests.Session:
        """Returns a session for one task of one thread, to be used in a `with`. All failures are WebErrors.

        Everything that is done with it ends within `deadline_s` seconds, apart from resolving names, or soon after the
        process is `stopping`. A body may have `max_bytes`, decoded or not. `permits` is for an egress without a proxy.
        """
        deadline = _Deadline(self.monotonic, self.monotonic() + deadline_s, stopping)
        return _Session(_Adapter(self, deadline, max_bytes, egress, permits))


class _Session(requests.Session):
    def __init__(self, adapter: BaseAdapter) -> None:
        super().__init__()
        # Else proxies and authorities would be those of the environment, and passwords those of ~/.netrc.
        self.trust_env = False
        self.max_redirects = MAX_REDIRECTS
        self.headers = CaseInsensitiveDict(
            {"User-Agent": "im-delivery-worker", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
        )
        self.adapters.clear()
        self.mount("", adapter)

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """See `requests.Session.request`. Raises WebError."""
        try:
            return super().request(*args, **options)
        except WebError:
            raise
        except requests.TooManyRedirects:
            reason = TOO_MANY_REDIRECTS
        except (requests.RequestException, ValueError):
            reason = BAD_ADDRESS
        # Outside the handler, because the errors of requests hold the URL.
        raise WebError(reason)


class _Adapter(BaseAdapter):
    """Sends each request of one session on a connection of its own."""

    def __init__(self, web: Web, deadline: _Deadline, max_bytes: int, egress: Egress, permits: Permits | None) -> None:
        super().__init__()
        self._web, self._deadline, self._max_bytes = web, deadline, max_bytes
        self._egress, self._permits, self._open = egress, permits, ExitStack()

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Sends a request and reads the head of the answer. Proxies, certificates and times are the session's own."""
        wire: _Wire | None = None
        try:
            to = web_address(request.url)
            route = self._web.routes.to(f"{to.scheme}://{to.host_header}", self._egress)
            wire = self._connect(route)
            raw = _exchange(wire, route, to, request)
        except Exception as error:  # noqa: BLE001  whatever it is, its text may hold the URL
            fault = self._fault(error, wire)
        else:
            response = requests.Response()
            response.status_code, response.headers = raw.status, CaseInsensitiveDict(raw.headers)
            response.request, response.url = request, request.url or ""
            # Else requests would guess it, which takes long. All that is read as text is JSON.
            response.encoding = "utf-8"
            response.raw = _Body(raw, wire, self._max_bytes)
            return response
        raise fault

    def _connect(self, route: Route) -> _Wire:
        self._deadline.remaining_s()
        until = min(self._deadline.until, self._web.monotonic() + route.egress.connect_timeout_s)
        sock = self._web.dial(route, _Deadline(self._web.monotonic, until, self._deadline.stopping), self._addresses)
        # The socket itself: the adapter leaves it open until an answer was read.
        self._open.callback(sock.close)
        return _Wire(sock, self._deadline, self._max_bytes)

    def _addresses(self, host: str, port: int) -> Addresses:
        """Resolves a name once: the connection goes to an address that was checked."""
        addresses = self._web.resolve(host, port)
        if self._permits is not None:
            addresses = [entry for entry in addresses if self._permits(host, str(entry[1][0]))]
        if not addresses:
            raise NotConnected(NOT_ALLOWED)
        return addresses

    def _fault(self, error: Exception, wire: _Wire | None) -> WebError:
        if isinstance(error, UnusableAddress):
            return WebError(BAD_ADDRESS)
        if wire is not None:
            return WebError(call_fault(error, wire))
        is_late = self._web.monotonic() >= self._deadline.until
        return WebError("deadline" if is_late else connection_fault(error), connection_remedy(error))

    def close(self) -> None:
        """Closes all connections."""
        self._open.close()


class _Deadline(Deadline):
    """The deadline of a session, which also passes when the process is ending."""

    def __init__(self, monotonic: Callable[[], float], until: float, stopping: Callable[[], bool]) -> None:
        super().__init__(monotonic, until)
        self.stopping = stopping

    def wait(self, sock: Stream, event: int, max_s: float | None = None) -> bool:
        """Waits as `Deadline.wait` does, without `max_s` for `SLICE_S` seconds at a time."""
        if max_s is not None:
            return super().wait(sock, event, max_s)
        while not super().wait(sock, event, SLICE_S):
            if self.stopping():
                raise DeadlinePassed
        return True


class _Wire(SocketAdapter):
    """A socket with the bounds of a session."""

    max_lines = MAX_LINES

    def __init__(self, sock: Stream, deadline: _Deadline, max_bytes: int) -> None:
        super().__init__(sock, deadline.monotonic)
        self._deadline, self._max_received = deadline, max_bytes + 2 * MAX_LINES
        self.begin(deadline.until, None)

    def _wait(self, event: int) -> bool:
        return self._deadline.wait(self._sock, event)

    def _count(self, count: int) -> int:
        # A compressed body may be endless and yet decode to nothing.
        if self.received + count > self._max_received:
            raise TooLarge
        return super()._count(count)


def _exchange(wire: _Wire, route: Route, to: WebAddress, request: requests.PreparedRequest) -> urllib3.HTTPResponse:
    """Writes a request, and reads the head of its answer."""
    method, body = request.method or "GET", request.body
    target = f"{route.origin}{to.target}" if route.forwarded else to.target
    headers: Mapping[str, Any] = {**request.headers, **route.proxy_headers}
    engine = (HTTPSConnection if route.tls else HTTPConnection)(route.host, route.port)
    engine.auto_open = 0
    # The adapter has all methods that the engine calls on a socket.
    engine.sock = cast(Any, wire)
    engine.request(method, target, body, headers)
    wire.written = True
    # Not the engine's own answer, which would log the URL of one that is no HTTP.
    answer = http.client.HTTPResponse(cast(Any, wire), method=method)
    answer.begin()
    if wire.eof:
        # http.client takes the end of the stream for the end of the head, so it reports nothing.
        raise http.client.IncompleteRead(b"")
    if answer.headers.get_payload():
        # http.client ignores everything after a line that is no header.
        raise http.client.BadStatusLine("header")
    fields = urllib3.HTTPHeaderDict(answer.headers.items())
    return urllib3.HTTPResponse(answer, fields, answer.status, preload_content=False, request_method=method)


class _Body:
    """The body of an answer, as requests reads it. Without cookies, for which requests would look here."""

    def __init__(self, raw: urllib3.HTTPResponse, wire: _Wire, max_bytes: int) -> None:
        self._raw, self._wire, self._max_bytes = raw, wire, max_bytes
        announced = raw.headers.get("content-length", "")
        # No int(), which raises for more than 4,300 digits.
        self._size = math.inf if announced.isdecimal() and float(announced) > max_bytes else 0

    def read(self, size: int) -> bytes:
        """Returns at most `size` decoded bytes, or none at the end. Raises WebError."""
        try:
            return self._read(size)
        except Exception as error:  # noqa: BLE001  every fault has a name
            fault = call_fault(error, self._wire)
        raise WebError(fault)

    def _read(self, size: int) -> bytes:
        piece = b"" if self._size > self._max_bytes else self._raw.read(size, decode_content=True)
        self._size += len(piece)
        if self._size > self._max_bytes:
            raise TooLarge
        return piece

    def close(self) -> None:
        """Does nothing: the session closes the connection."""


def reply_of(response: requests.Response) -> Reply:
    """Returns the whole answer as a value. Raises WebError."""
    return Reply(
        response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.content
    )
