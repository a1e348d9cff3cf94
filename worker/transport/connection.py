"""One open connection to a vendor: a socket under a total deadline, which records what has left through it.

Uses sockets and urllib3, the engine below requests. Independent of vendors, pools, proxies and messages.
"""

from __future__ import annotations

import array
import fcntl
import http.client
import io
import math
import select
import socket
import ssl
import termios
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection

from worker.transport.egress.tls_in_tls import TlsInTls
from worker.transport.framing import LONGEST_FRAMING, LONGEST_HEAD, MAX_ANSWER, AnswerEnd

_SMALL = 64 * 1024
"""Bytes received at once; twice as many of a request are copied together to be sent at once."""
_MOST_GATHERED = LONGEST_HEAD + MAX_ANSWER
"""Bytes of an answer that are taken before it is read; the rest of one that has more is waited for."""
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a socket that never blocks raises instead of waiting."""

Probe = Callable[[str], None]
Stream = socket.socket | TlsInTls
"""A connected socket, with or without TLS, or with TLS twice."""


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

    most: float = math.inf
    """Bytes of an answer after which it is too large."""

    def __init__(self, sock: Stream, monotonic: Callable[[], float]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._pending: Callable[[], int] | None = getattr(sock, "pending", None)
        """How many bytes TLS holds; None: there is no TLS."""
        self._monotonic = monotonic
        self._streams = 0
        self._closing = False
        self.begin(0.0, None)

    def __repr__(self) -> str:
        return "<Wire>"

    def begin(self, deadline: float, probe: Probe | None) -> None:
        """Forgets the call before, and sets the deadline of this one."""
        self.deadline = deadline
        self._probe = probe
        self._grace: int | None = None
        self._held: list[bytes] | None = None
        self._unsent: deque[memoryview] = deque()
        self._gathered = bytearray()
        self._answer_end = AnswerEnd()
        self._served = 0
        self._end: OSError | bool = False
        """What came behind the gathered bytes: the end of the stream or an error; False: nothing yet."""
        self.handed = False
        """True when a byte of the request was given to the socket: without an answer the call is in doubt."""
        self.written = False
        self.write_failed = False
        self.received = 0
        self.eof = False
        self.late = False
        self.trouble: OSError | None = None
        """What `alive` met, where it met more than the end."""

    def fileno(self) -> int:
        """The socket's, to wait for it."""
        return self._sock.fileno()

    # -- the request --------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Keeps what is sent until it is pushed."""
        self._held = []

    def push(self) -> bool:
        """Sends what the socket takes at once; True: nothing is left."""
        if self._held is not None:
            self._unsent, self._held = deque(_few_pieces(self._held)), None
        while self._unsent:
            if self._monotonic() >= self.deadline:
                raise DeadlinePassed
            if not self.handed:
                self.reached("first_byte")
                # Before the send: when that fails, the kernel may have taken bytes all the same.
                self.handed = True
            try:
                rest = self._unsent[0][self._sock.send(self._unsent[0]) :]
            except _NOT_NOW:
                return False
            except OSError:
                self.write_failed = True
                raise
            self._unsent.popleft()
            if rest:
                self._unsent.appendleft(rest)
        return True

    def wait_to_write(self) -> None:
        """Waits until the socket takes more; raises `DeadlinePassed`."""
        if not self._wait(select.POLLOUT):
            raise DeadlinePassed

    def sendall(self, data: bytes) -> None:
        """Sends all of it before the deadline, or keeps it."""
        if self._held is not None:
            self._held.append(data)
            return
        self._unsent.append(memoryview(data))
        while not self.push():
            self.wait_to_write()

    # -- the answer ---------------------------------------------------------------------------------------------------

    def gather(self) -> bool:
        """Takes what has arrived, without waiting; True when the answer seems whole, so that it can be read."""
        while not self._end and len(self._gathered) <= _MOST_GATHERED:
            try:
                arrived = self._sock.recv(_SMALL)
            except _NOT_NOW:
                break
            except OSError as error:
                self._end = error
                break
            self._end = not arrived
            self._gathered += arrived
            if len(arrived) < _SMALL and self._pending is None:
                break
        return bool(self._end) or len(self._gathered) > _MOST_GATHERED or self._answer_end.is_in(self._gathered)

    def receive_into(self, buffer: memoryview) -> int:
        """Receives what is there, waiting no longer than the deadline; 0 at the end of the stream."""
        if self._served < len(self._gathered):
            piece = memoryview(self._gathered)[self._served : self._served + len(buffer)]
            buffer[: len(piece)] = piece
            self._served += len(piece)
            return self._count(len(piece))
        if isinstance(self._end, OSError):
            raise self._end
        if self._end:
            return self._count(0)
        while self._monotonic() < self.deadline:
            try:
                return self._count(self._sock.recv_into(buffer))
            except _NOT_NOW:
                if not self._wait(select.POLLIN):
                    break
        return self._receive_late(buffer)

    def _wait(self, event: int) -> bool:
        """False when the socket is not ready for it by the deadline."""
        poller = select.poll()
        poller.register(self._sock.fileno(), event)
        return bool(poller.poll(max(0.0, self.deadline - self._monotonic()) * 1000))

    def _receive_late(self, buffer: memoryview) -> int:
        self.late = True
        if self._grace is None:
            self._grace = self._arrived()
        try:
            count = self._sock.recv_into(buffer)
        except _NOT_NOW:
            raise DeadlinePassed from None
        if count and self._grace <= 0:
            # More than had arrived by the deadline: the server goes on sending.
            raise DeadlinePassed
        self._grace -= count
        return self._count(count)

    def _arrived(self) -> int:
        waiting = array.array("i", [0])
        fcntl.ioctl(self._sock.fileno(), termios.FIONREAD, waiting)
        return waiting[0] + (self._pending() if self._pending else 0)

    def _count(self, count: int) -> int:
        self.received += count
        if self.received > self.most:
            # Trailers without an end, which http.client reads for as long as they come.
            raise TooLarge
        self.eof = self.eof or not count
        return count

    def reached(self, label: str) -> None:
        """Calls the probe, if there is one, with the name of a step."""
        if self._probe is not None:
            self._probe(label)

    @property
    def ended(self) -> bool:
        """True when the end of the stream came right behind the answer, with TLS before the connection itself ends."""
        return bool(self._end)

    def alive(self) -> bool:
        """True when the peer has neither closed the connection nor sent anything unasked, as far as it arrived."""
        poller = select.poll()
        poller.register(self._sock.fileno(), select.POLLIN)
        # What TLS has taken from the socket already, no poll sees.
        if not poller.poll(0) and not (self._pending and self._pending()):
            return True
        if self._pending is None:
            return False
        # TLS 1.3 servers send session tickets after the handshake: readable, yet no data and no end.
        try:
            self._sock.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError as error:
            self.trouble = error
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


def _few_pieces(pieces: Sequence[bytes]) -> Iterator[memoryview]:
    """The same bytes, each piece for a system call; a small body with its head, which http.client writes before it."""
    if sum(len(piece) for piece in pieces) <= 2 * _SMALL:
        pieces = [b"".join(pieces)]
    return (memoryview(piece) for piece in pieces if piece)


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
    """A connection for one call at a time: urllib3's, which writes a request and reads its answer in two steps."""

    def __init__(self, engine: HTTPConnection, sock: Stream, monotonic: Callable[[], float]) -> None:
        self._engine = engine
        # The socket is connected. A request on a closed line must fail, not open another connection unnoticed.
        engine.auto_open = 0
        self.wire = Wire(sock, monotonic)
        self.wire.most = LONGEST_FRAMING + MAX_ANSWER
        # The wire has all methods that the engine calls on a socket.
        engine.sock = cast(Any, self.wire)
        self.made_at, self.idle_since = monotonic(), 0.0
        self.answered = False

    def __repr__(self) -> str:
        return f"<Line {self._engine.host}:{self._engine.port}>"

    def write(self, method: str, url: str, body: bytes | Iterable[bytes] | None, headers: Mapping[str, str]) -> None:
        """Writes one request, as far as the socket takes it at once; a body that comes in pieces, to its end."""
        if body is None or isinstance(body, bytes):
            self.wire.hold()
        with self._refused_early():
            self._engine.request(method, url, body, headers, preload_content=False, decode_content=False)
        self.push()

    def push(self) -> bool:
        """Writes what the socket takes at once; True when the request is written, or refused before its end."""
        wire = self.wire
        if wire.written or wire.write_failed:
            return True
        with self._refused_early():
            if not wire.push():
                return False
            wire.written = True
            wire.reached("request_written")
        return True

    def read_head(self) -> urllib3.HTTPResponse:
        """Writes what is left and reads the head of the answer. No retry, no redirect, no second connection."""
        wire = self.wire
        while not self.push():
            wire.wait_to_write()
        response = self._engine.getresponse()
        if wire.eof:
            # http.client takes the end of the stream for the end of the head, so it reports nothing.
            raise http.client.IncompleteRead(b"")
        if response.status < 200:
            raise http.client.BadStatusLine("interim")
        wire.reached("answer_half")
        return response

    @contextmanager
    def _refused_early(self) -> Iterator[None]:
        """A vendor may refuse an upload before its end and close: its answer, if there is one, counts."""
        try:
            yield
        except OSError:
            if not self.wire.write_failed:
                raise

    @property
    def reusable(self) -> bool:
        """True after a complete answer to a complete request, where neither side wants to close the connection."""
        return self._engine.sock is not None and self.wire.written and not self.wire.late and not self.wire.ended

    def close(self) -> None:
        """Closes the socket; does nothing when it is closed already."""
        self._engine.close()
