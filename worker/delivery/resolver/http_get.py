"""One GET to one address, for files behind a URL: the only place that speaks HTTP to servers that are not vendors'.

It connects to the address it is given, never to what a name resolves to by then, and follows no redirect. All waiting
ends at one instant. It raises `Trouble` with a class such as `refused` or `cut`, whose text and causes hold no URL.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, cast

from requests.adapters import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from worker.domain.content.web import WebAddress
from worker.transport.connection import DeadlinePassed, Stream, Wire
from worker.transport.egress.dial import Deadline, secure
from worker.transport.egress.proxy import look_up
from worker.transport.faults import NotConnected, why_no_answer, why_not_connected
from worker.transport.framing import LONGEST_FRAMING

PIECE = 64 * 1024
CONNECT_S = 10.0
SLICE_S = 0.2
"""Seconds that a wait lasts before it is checked whether the process is ending."""


class Trouble(Exception):
    """No complete answer came, and a later try may get one. Its text is a class: `dns`, `refused`, `tls`, `cut`."""


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """An answer whose body is still to be read."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    chunks: Iterator[bytes] = field(repr=False)
    """The body in pieces as they arrive; raises Trouble when it breaks off."""


class Web(Protocol):
    """What fetching needs of the network; tests replace it."""

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a name, as text; Trouble when it has none."""
        ...

    def get(
        self, to: WebAddress, address: str, within_s: float, stopping: Callable[[], bool]
    ) -> AbstractContextManager[WebAnswer]:
        """Asks the server at exactly this address.

        All of it, reading the body included, ends within `within_s` seconds, or soon after the process is `stopping`.
        """
        ...


class _Watch(Deadline):
    """Bounds every wait of one request by one instant, and by the end of the process."""

    def __init__(self, monotonic: Callable[[], float], until: float, stopping: Callable[[], bool]) -> None:
        super().__init__(monotonic, until)
        self._stopping = stopping

    def wait(self, sock: Stream, event: int, most_s: float | None = SLICE_S) -> bool:
        """Waits for the socket, `SLICE_S` seconds at a time."""
        while not super().wait(sock, event, most_s):
            if self._stopping():
                # Nothing is waited for any more; who asks sees that the process is ending.
                raise DeadlinePassed
        return True


class _WatchedWire(Wire):
    """A wire whose reads end when the process does."""

    def __init__(self, sock: Stream, watch: _Watch) -> None:
        super().__init__(sock, watch.monotonic)
        self._below, self._watch = sock, watch
        self.begin(watch.until, None)

    def receive_into(self, buffer: memoryview) -> int:
        """See `Wire.receive_into`."""
        # TLS may have decrypted bytes already; waiting for the socket would then wait for bytes that never come.
        if not (isinstance(self._below, ssl.SSLSocket) and self._below.pending()):
            self._watch.wait(self._below, select.POLLIN)
        return super().receive_into(buffer)


class SocketWeb:
    """The network itself. Certificates are checked against the URL's host, not against the address."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic, verify: str = DEFAULT_CA_BUNDLE_PATH):
        self._monotonic, self._verify = monotonic, verify

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """See `Web.addresses`."""
        try:
            found = look_up(host, port)
        except NotConnected as error:
            raise Trouble(error.reason) from None
        return list(dict.fromkeys(str(address[0]) for _, address in found))

    @contextmanager
    def get(self, to: WebAddress, address: str, within_s: float, stopping: Callable[[], bool]) -> Iterator[WebAnswer]:
        """See `Web.get`."""
        wire = self._connect(to, address, _Watch(self._monotonic, self._monotonic() + within_s, stopping))
        response = http.client.HTTPResponse(cast(Any, wire), method="GET")
        try:
            _ask(wire, to, response)
            headers = {name.lower(): value for name, value in response.getheaders()}
            yield WebAnswer(response.status, headers, _chunks(response, wire))
        finally:
            response.close()
            wire.close()

    def _connect(self, to: WebAddress, address: str, watch: _Watch) -> Wire:
        """An open connection, for https with a checked certificate."""
        reason, sock = "", cast(Stream | None, None)
        try:
            sock = socket.create_connection((address, to.port), timeout=min(CONNECT_S, watch.left_s()))
            sock.setblocking(False)
            if to.scheme == "https":
                sock = secure(sock, self._tls, to.host, watch)
        except Exception as error:  # noqa: BLE001  whatever it is, its text may hold the host
            reason = why_not_connected(error)
        if sock is None or reason:
            if sock is not None:
                sock.close()
            raise Trouble(reason)
        return _WatchedWire(sock, watch)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = create_urllib3_context()
        context.load_verify_locations(self._verify)
        return context


def _ask(wire: Wire, to: WebAddress, response: http.client.HTTPResponse) -> None:
    """Sends the request and reads the head of the answer."""
    fault = ""
    try:
        wire.sendall(_request(to))
        wire.written = True
        response.begin()
        if wire.eof:
            # http.client takes the end of the stream for the end of the head, so it reports nothing.
            fault = "cut"
        elif not response.headers.is_multipart() and response.headers.get_payload():
            # http.client ignores all that follows a line that is no header.
            fault = "garbled"
    except Exception as error:  # noqa: BLE001  as above
        fault = why_no_answer(error, wire)
    if fault:
        raise Trouble(fault)


def _request(to: WebAddress) -> bytes:
    lines = [
        f"GET {to.target} HTTP/1.1",
        f"Host: {to.host_header}",
        "User-Agent: im-delivery-worker",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Connection: close",
    ]
    if to.authorization is not None:
        lines.append(f"Authorization: {to.authorization}")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii")


def _chunks(response: http.client.HTTPResponse, wire: Wire) -> Iterator[bytes]:
    """The body in pieces; raises Trouble when fewer bytes come than were announced, or little beside its framing."""
    size = 0
    while True:
        fault = ""
        try:
            chunk = response.read1(PIECE)
        except Exception as error:  # noqa: BLE001  as above
            chunk, fault = b"", why_no_answer(error, wire)
        # http.client reports nothing when the body breaks off: `length` is what it still expects.
        if fault or (not chunk and response.length):
            raise Trouble(fault or "cut")
        if not chunk:
            return
        size += len(chunk)
        if wire.received - size > LONGEST_FRAMING + size:
            raise Trouble("too_large")
        yield chunk
