"""Sends one GET to one address, for files behind a URL. No other module speaks HTTP to servers that are not vendors'.

It connects to exactly the given address, whatever the name resolves to by then. `download.py` follows redirects. The
whole request has one deadline. It raises `FetchError` with a class such as `refused` or `cut`, whose text and causes
hold no URL.
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
from worker.transport.connection import DeadlinePassed, SocketAdapter, Stream
from worker.transport.egress.dial import Deadline, secure
from worker.transport.egress.proxy import resolve
from worker.transport.faults import NotConnected, call_fault, connection_fault
from worker.transport.framing import MAX_LINES

PIECE = 64 * 1024
MAX_FILE_LINES = 1024 * 1024
"""Bytes of the answer's lines, at most: a large file may come in many chunks."""
CONNECT_S = 10.0
SLICE_S = 0.2
"""Seconds of a wait after which it is checked whether the process is ending."""


class FetchError(Exception):
    """No complete answer came, but a later try may get one. Its text is a class: `dns`, `refused`, `tls`, `cut`."""


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """An answer whose body is still to be read."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    chunks: Iterator[bytes] = field(repr=False)
    """The body in pieces as they arrive. Raises FetchError if it breaks off."""


class Web(Protocol):
    """The network, as far as fetching needs it. Tests replace it."""

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """Returns the addresses of a name as text. Raises FetchError if it has none."""
        ...

    def get(
        self, to: WebAddress, address: str, within_s: float, stopping: Callable[[], bool]
    ) -> AbstractContextManager[WebAnswer]:
        """Sends the request to the server at exactly this address.

        Everything, including reading the body, ends within `within_s` seconds, or soon after the process is `stopping`.
        """
        ...


class _Watch(Deadline):
    """The deadline of one request, which also passes when the process is ending."""

    def __init__(self, monotonic: Callable[[], float], until: float, stopping: Callable[[], bool]) -> None:
        super().__init__(monotonic, until)
        self._stopping = stopping

    def wait(self, sock: Stream, event: int, most_s: float | None = SLICE_S) -> bool:
        """Waits for the socket, `SLICE_S` seconds at a time."""
        while not super().wait(sock, event, most_s):
            if self._stopping():
                # The caller checks by itself whether the process is ending.
                raise DeadlinePassed
        return True


class _WatchedWire(SocketAdapter):
    """A wire whose reads end when the process does."""

    max_lines = MAX_FILE_LINES

    def __init__(self, sock: Stream, watch: _Watch) -> None:
        super().__init__(sock, watch.monotonic)
        self._below, self._watch = sock, watch
        self.begin(watch.until, None)

    def receive_into(self, buffer: memoryview) -> int:
        """See `SocketAdapter.receive_into`."""
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
            resolved = resolve(host, port)
        except NotConnected as error:
            raise FetchError(error.reason) from None
        return list(dict.fromkeys(str(address[0]) for _, address in resolved))

    @contextmanager
    def get(self, to: WebAddress, address: str, within_s: float, stopping: Callable[[], bool]) -> Iterator[WebAnswer]:
        """See `Web.get`."""
        wire = self._connect(to, address, _Watch(self._monotonic, self._monotonic() + within_s, stopping))
        response = http.client.HTTPResponse(cast(Any, wire), method="GET")
        try:
            _send_request(wire, to, response)
            headers = {name.lower(): value for name, value in response.getheaders()}
            yield WebAnswer(response.status, headers, _chunks(response, wire))
        finally:
            response.close()
            wire.close()

    def _connect(self, to: WebAddress, address: str, watch: _Watch) -> SocketAdapter:
        """Opens a connection, for https with a checked certificate."""
        reason, sock = "", cast(Stream | None, None)
        try:
            sock = socket.create_connection((address, to.port), timeout=min(CONNECT_S, watch.remaining_s()))
            sock.setblocking(False)
            if to.scheme == "https":
                sock = secure(sock, self._tls, to.host, watch)
        except Exception as error:  # noqa: BLE001  whatever it is, its text may hold the host
            reason = connection_fault(error)
        if sock is None or reason:
            if sock is not None:
                sock.close()
            raise FetchError(reason)
        return _WatchedWire(sock, watch)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = create_urllib3_context()
        context.load_verify_locations(self._verify)
        return context


def _send_request(wire: SocketAdapter, to: WebAddress, response: http.client.HTTPResponse) -> None:
    """Sends the request and reads the head of the answer."""
    fault = ""
    try:
        wire.sendall(_request(to))
        wire.written = True
        response.begin()
        if wire.eof:
            # http.client treats the end of the stream as the end of the head, so it reports nothing.
            fault = "cut"
        elif response.headers.get_payload():
            # http.client ignores everything after a line that is no header.
            fault = "garbled"
    except Exception as error:  # noqa: BLE001  as above
        fault = call_fault(error, wire)
    if fault:
        raise FetchError(fault)


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


def _chunks(response: http.client.HTTPResponse, wire: SocketAdapter) -> Iterator[bytes]:
    """Yields the body in pieces. Raises FetchError if bytes are missing or if the framing is longer than the body."""
    size = 0
    while True:
        fault = ""
        try:
            chunk = response.read1(PIECE)
        except Exception as error:  # noqa: BLE001  as above
            chunk, fault = b"", call_fault(error, wire)
        # http.client reports nothing when the body breaks off: `length` is what it still expects.
        if fault or (not chunk and response.length):
            raise FetchError(fault or "cut")
        if not chunk:
            return
        size += len(chunk)
        if wire.received - size > MAX_LINES + size:
            raise FetchError("too_large")
        yield chunk
