"""One open connection to a vendor: a socket under a total deadline, which records what has left through it.

Uses sockets and urllib3, the engine below requests. Independent of vendors, pools and messages.
"""

from __future__ import annotations

import array
import fcntl
import http.client
import io
import re
import socket
import ssl
import termios
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    InvalidHeader,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util import wait_for_read
from urllib3.util.ssl_match_hostname import CertificateError

from worker.domain.errors import ConfigurationError

_SMALL = 64 * 1024
"""Bodies of at most so many bytes are copied behind their head and sent together with it."""

Probe = Callable[[str], None]


class DeadlinePassed(TimeoutError):
    """The call's total time is used up."""


class TooLarge(Exception):
    """The answer is longer than any vendor's answer may be."""


class FileFault(Exception):
    """The file could not be read, or has more or fewer bytes than its size says."""


class Wire:
    """Takes the place of the HTTP engine's socket: each send and receive has what is left of the deadline.

    Bytes that had arrived by the deadline are still read, so that a process which was stopped and continued does not
    lose an answer that it has. Bytes that arrive later are not read.
    """

    def __init__(self, sock: socket.socket, monotonic: Callable[[], float]) -> None:
        self._sock = sock
        self._monotonic = monotonic
        self._streams = 0
        self._closing = False
        self.begin(0.0, None)

    def __repr__(self) -> str:
        return "<Wire>"

    def begin(self, deadline: float, probe: Probe | None) -> None:
        """Forgets the call before, and sets the deadline of this one."""
        self._deadline = deadline
        self._probe = probe
        self._grace: int | None = None
        self._held: list[bytes] | None = None
        self.handed = False
        """True when a byte of the request was given to the socket: without an answer the call is in doubt."""
        self.written = False
        self.write_failed = False
        self.received = 0
        self.eof = False
        self.late = False

    def hold(self) -> None:
        """Keeps what is sent until `flush`."""
        # http.client writes head and body one after the other, which would cost a second system call.
        self._held = []

    def flush(self) -> None:
        """Sends what was kept, in one piece."""
        held, self._held = self._held, None
        if held:
            self.sendall(b"".join(held))

    def sendall(self, data: bytes) -> None:
        """Sends all of it before the deadline."""
        if self._held is not None:
            self._held.append(data)
            return
        view = memoryview(data)
        while view:
            remaining = self._deadline - self._monotonic()
            if remaining <= 0:
                raise DeadlinePassed
            if not self.handed:
                self.reached("first_byte")
                # Before the send: when that fails, the kernel may have taken bytes all the same.
                self.handed = True
            self._sock.settimeout(remaining)
            try:
                view = view[self._sock.send(view) :]
            except TimeoutError:
                raise DeadlinePassed from None
            except OSError:
                self.write_failed = True
                raise

    def receive_into(self, buffer: memoryview) -> int:
        """Receives what is there, waiting no longer than the deadline; 0 at the end of the stream."""
        remaining = self._deadline - self._monotonic()
        if remaining <= 0:
            return self._receive_late(buffer)
        self._sock.settimeout(remaining)
        try:
            return self._count(self._sock.recv_into(buffer))
        except TimeoutError:
            return self._receive_late(buffer)

    def _receive_late(self, buffer: memoryview) -> int:
        self.late = True
        if self._grace is None:
            self._grace = self._arrived()
        self._sock.settimeout(0)
        try:
            count = self._sock.recv_into(buffer)
        except (BlockingIOError, ssl.SSLWantReadError):
            raise DeadlinePassed from None
        if count and self._grace <= 0:
            # More than had arrived by the deadline: the server goes on sending.
            raise DeadlinePassed
        self._grace -= count
        return self._count(count)

    def _arrived(self) -> int:
        waiting = array.array("i", [0])
        fcntl.ioctl(self._sock.fileno(), termios.FIONREAD, waiting)
        return waiting[0] + (self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0)

    def _count(self, count: int) -> int:
        self.received += count
        self.eof = self.eof or not count
        return count

    def reached(self, label: str) -> None:
        """Calls the probe, if there is one, with the name of a step."""
        if self._probe is not None:
            self._probe(label)

    def alive(self) -> bool:
        """True when the peer has neither closed the connection nor sent anything unasked."""
        if not wait_for_read(self._sock, timeout=0.0):
            return True
        if not isinstance(self._sock, ssl.SSLSocket):
            return False
        # TLS 1.3 servers send session tickets after the handshake: readable, yet no data and no end.
        self._sock.settimeout(0)
        try:
            self._sock.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False
        return False

    # What http.client and urllib3 call on a socket:

    def settimeout(self, timeout: float | None) -> None:
        """Does nothing: the deadline is the only timeout."""

    def shutdown(self, how: int) -> None:
        """Shuts the socket down."""
        self._sock.shutdown(how)

    def makefile(self, mode: str) -> io.BufferedReader:
        """The stream from which http.client reads the answer."""
        self._streams += 1
        return io.BufferedReader(_AnswerStream(self))

    def close(self) -> None:
        """Closes the socket, or leaves that to the stream that is still open."""
        # http.client closes its socket before the body is read.
        self._closing = True
        if not self._streams:
            self._sock.close()

    def stream_closed(self) -> None:
        """Closes the socket after the answer's stream, where `close` has left that."""
        self._streams -= 1
        if self._closing and not self._streams:
            self._sock.close()


class _AnswerStream(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._wire.stream_closed()


class Line:
    """A connection for one call at a time, given to requests' adapter in the place of a pool."""

    def __init__(self, engine: HTTPConnection, monotonic: Callable[[], float]) -> None:
        self._engine = engine
        engine.connect()
        # Only connect() connects: a request on a closed line must fail, not open another connection unnoticed.
        engine.auto_open = 0
        self.wire = Wire(engine.sock, monotonic)
        # The wire has all methods that the engine calls on a socket.
        engine.sock = cast(Any, self.wire)
        self.made_at, self.idle_since = monotonic(), 0.0
        self.answered = False

    def __repr__(self) -> str:
        return f"<Line {self._engine.host}:{self._engine.port}>"

    def urlopen(
        self,
        *,
        method: str,
        url: str,
        body: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str],
        **_pool: object,
    ) -> urllib3.BaseHTTPResponse:
        """Writes one request and reads the head of its answer. No retry, no redirect, no second connection."""
        wire = self.wire
        if body is None or (isinstance(body, bytes) and len(body) <= _SMALL):
            wire.hold()
        try:
            self._engine.request(method, url, body, headers, preload_content=False, decode_content=False)
            wire.flush()
            wire.written = True
            wire.reached("request_written")
        except OSError:
            # A vendor may refuse an upload before its end and close: its answer, if there is one, counts.
            if not wire.write_failed:
                raise
        response = self._engine.getresponse()
        if wire.eof:
            # http.client takes the end of the stream for the end of the head, so it reports nothing.
            raise http.client.IncompleteRead(b"")
        if response.status < 200:
            raise http.client.BadStatusLine("interim")
        wire.reached("answer_half")
        return response

    @property
    def reusable(self) -> bool:
        """True after a complete answer to a complete request, where neither side wants to close the connection."""
        return self._engine.sock is not None and self.wire.written and not self.wire.late

    def close(self) -> None:
        """Closes the socket; does nothing when it is closed already."""
        self._engine.close()


_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})")


def why_not_connected(error: Exception, *, proxied: bool = False) -> str:
    """The class of a fault before there was a connection."""
    prefix = "proxy_" if proxied and _any(error, NameResolutionError, NewConnectionError, ConnectTimeoutError) else ""
    if status := next((found[1] for cause in _causes(error) if (found := _TUNNEL_REFUSED.search(str(cause)))), None):
        return f"proxy_{status}"
    for kinds, reason in (
        ((ConfigurationError,), "proxy_setting"),
        ((socket.gaierror, LocationParseError), "dns"),
        ((ConnectionRefusedError,), "refused"),
        ((TimeoutError,), "connect_timeout"),
        # Before ConnectTimeoutError, of which urllib3 makes it a subclass.
        ((NewConnectionError,), "unreachable"),
        ((ConnectTimeoutError,), "connect_timeout"),
        ((ssl.SSLError, CertificateError), "tls"),
        ((http.client.RemoteDisconnected,), "proxy_reset"),
        ((http.client.HTTPException,), "proxy_garbled"),
        ((ConnectionError,), "reset"),
    ):
        if _any(error, *kinds):
            return prefix + reason
    return type(error).__name__


def why_no_answer(error: Exception, wire: Wire) -> str:
    """The class of a fault on an open connection, by what the wire recorded and what was raised."""
    reset = _any(error, ConnectionError)
    for holds, reason in (
        (is_overdue(error), "read_timeout" if wire.written and not wire.received else "deadline"),
        (_any(error, TooLarge), "too_large"),
        (_any(error, FileFault), "file"),
        (not wire.handed, type(error).__name__),
        (wire.write_failed, "reset_during_request"),
        (wire.received and (wire.eof or reset), "cut"),
        (wire.eof or reset, "reset_after_request"),
        (_any(error, ssl.SSLError), "tls"),
        (_any(error, http.client.HTTPException, InvalidHeader), "garbled"),
    ):
        if holds:
            return reason
    return type(error).__name__


def is_overdue(error: Exception) -> bool:
    """True when the call ended because its deadline had passed."""
    return _any(error, DeadlinePassed)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _any(error: BaseException, *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in _causes(error))
