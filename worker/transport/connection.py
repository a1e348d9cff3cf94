"""One open connection to a vendor: a socket with one deadline for the whole call, which records what was sent.

Uses sockets and urllib3, the engine below requests. Knows nothing of vendors, pools, proxies and messages.
"""

from __future__ import annotations

import array
import fcntl
import http.client
import io
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
from worker.transport.framing import MAX_ANSWER, MAX_LINES, AnswerEnd, AnswerStream

_RECV_BYTES = 64 * 1024
"""Bytes received at once. A request of up to twice as many is sent in one piece."""
_MAX_GATHERED = MAX_LINES + MAX_ANSWER
"""Bytes of an answer that are collected before it is read. Reading waits for the rest of a longer answer."""
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a non-blocking socket raises instead of waiting."""

Checkpoint = Callable[[str], None]
Stream = socket.socket | TlsInTls
"""A connected socket, with or without TLS, or with TLS twice."""


class DeadlinePassed(TimeoutError):
    """The total time of the call is over."""


class FileFault(Exception):
    """The file could not be read, or its length differs from its stated size."""


class SocketAdapter:
    """Stands in for the HTTP engine's socket, so that every send and receive ends by one deadline.

    Bytes that arrived before the deadline are still read, so that a process which was stopped and continued does not
    lose an answer that it has. Later bytes are not read.
    """

    max_lines: float = MAX_LINES
    """The answer is too large after so many bytes of its lines."""

    def __init__(self, sock: Stream, monotonic: Callable[[], float]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._pending: Callable[[], int] | None = getattr(sock, "pending", None)
        """Returns how many bytes TLS has buffered. None without TLS."""
        self._monotonic = monotonic
        self._streams = 0
        self._closing = False
        self.begin(0.0, None)

    def __repr__(self) -> str:
        return "<SocketAdapter>"

    def begin(self, deadline: float, checkpoint: Checkpoint | None) -> None:
        """Forgets the previous call, and sets the deadline of this one."""
        self.deadline = deadline
        self._checkpoint = checkpoint
        self._late_bytes: int | None = None
        self._buffered: list[bytes] | None = None
        self._unsent: deque[memoryview] = deque()
        self._gathered = bytearray()
        self._answer_end = AnswerEnd()
        self._read_offset = 0
        self._stream_end: OSError | bool = False
        """What followed the collected bytes: True for the end of the stream, or an error. False if nothing did yet."""
        self.may_be_sent = False
        """True once a byte of the request was given to the socket. Without an answer, the call is then in doubt."""
        self.written = False
        self.write_failed = False
        self.received = 0
        self.eof = False
        self.late = False
        self.read_error: OSError | None = None
        """The error that `is_alive` met, if it was not just the end of the stream."""

    def fileno(self) -> int:
        """Returns the socket's file descriptor, for polling."""
        return self._sock.fileno()

    # -- the request --------------------------------------------------------------------------------------------------

    def buffer(self) -> None:
        """Buffers what is sent until `push`."""
        self._buffered = []

    def push(self) -> bool:
        """Sends what the socket takes without waiting. Returns True if nothing is left."""
        if self._buffered is not None:
            self._unsent, self._buffered = deque(_joined(self._buffered)), None
        while self._unsent:
            if self._monotonic() >= self.deadline:
                raise DeadlinePassed
            if not self.may_be_sent:
                self.checkpoint("first_byte")
                # Set before the send: even if it fails, the kernel may have taken bytes.
                self.may_be_sent = True
            try:
                rest = self._unsent[0][self._sock.send(self._unsent[0]) :]
            except _WOULD_BLOCK:
                return False
            except OSError:
                self.write_failed = True
                raise
            self._unsent.popleft()
            if rest:
                self._unsent.appendleft(rest)
        return True

    def wait_to_write(self) -> None:
        """Waits until the socket takes more. Raises `DeadlinePassed`."""
        if not self._wait(select.POLLOUT):
            raise DeadlinePassed

    def sendall(self, data: bytes) -> None:
        """Sends all data before the deadline, or buffers it."""
        if self._buffered is not None:
            self._buffered.append(data)
            return
        self._unsent.append(memoryview(data))
        while not self.push():
            self.wait_to_write()

    # -- the answer ---------------------------------------------------------------------------------------------------

    def gather(self) -> bool:
        """Receives what has arrived, without waiting. Returns True if the answer seems complete."""
        while not self._stream_end and len(self._gathered) <= _MAX_GATHERED:
            try:
                arrived = self._sock.recv(_RECV_BYTES)
            except _WOULD_BLOCK:
                break
            except OSError as error:
                self._stream_end = error
                break
            self._stream_end = not arrived
            self._gathered += arrived
            if len(arrived) < _RECV_BYTES and self._pending is None:
                break
        return (
            bool(self._stream_end)
            or len(self._gathered) > _MAX_GATHERED
            or self._answer_end.is_complete(self._gathered)
        )

    def receive_into(self, buffer: memoryview) -> int:
        """Receives what has arrived, or waits until the deadline for it. Returns 0 at the end of the stream."""
        if self._read_offset < len(self._gathered):
            piece = memoryview(self._gathered)[self._read_offset : self._read_offset + len(buffer)]
            buffer[: len(piece)] = piece
            self._read_offset += len(piece)
            return self._count(len(piece))
        if isinstance(self._stream_end, OSError):
            raise self._stream_end
        if self._stream_end:
            return self._count(0)
        while self._monotonic() < self.deadline:
            try:
                return self._count(self._sock.recv_into(buffer))
            except _WOULD_BLOCK:
                if not self._wait(select.POLLIN):
                    break
        return self._receive_late(buffer)

    def _wait(self, event: int) -> bool:
        """Returns False if the socket is not ready for the event by the deadline."""
        poller = select.poll()
        poller.register(self._sock.fileno(), event)
        return bool(poller.poll(max(0.0, self.deadline - self._monotonic()) * 1000))

    def _receive_late(self, buffer: memoryview) -> int:
        self.late = True
        if self._late_bytes is None:
            self._late_bytes = self._arrived()
        try:
            count = self._sock.recv_into(buffer)
        except _WOULD_BLOCK:
            raise DeadlinePassed from None
        if count and self._late_bytes <= 0:
            # The server has sent more than had arrived by the deadline, and goes on sending.
            raise DeadlinePassed
        self._late_bytes -= count
        return self._count(count)

    def _arrived(self) -> int:
        waiting = array.array("i", [0])
        fcntl.ioctl(self._sock.fileno(), termios.FIONREAD, waiting)
        return waiting[0] + (self._pending() if self._pending else 0)

    def _count(self, count: int) -> int:
        self.received += count
        self.eof = self.eof or not count
        return count

    def checkpoint(self, label: str) -> None:
        """Calls the tests' checkpoint, if there is one, with the name of a step."""
        if self._checkpoint is not None:
            self._checkpoint(label)

    @property
    def ended(self) -> bool:
        """True if the stream ended right after the answer. With TLS this is seen before the connection itself ends."""
        return bool(self._stream_end)

    def is_alive(self) -> bool:
        """Returns False if the peer has closed the connection, or has sent something without a request."""
        poller = select.poll()
        poller.register(self._sock.fileno(), select.POLLIN)
        # A poll does not see what TLS has already taken from the socket.
        if not poller.poll(0) and not (self._pending and self._pending()):
            return True
        if self._pending is None:
            return False
        # TLS 1.3 servers send session tickets after the handshake: the socket is readable, yet there is no data and no
        # end.
        try:
            self._sock.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError as error:
            self.read_error = error
        return False

    # What http.client and urllib3 call on a socket:

    def settimeout(self, timeout: float | None) -> None:
        """Does nothing: the deadline is the only timeout."""

    def shutdown(self, how: int) -> None:
        """Shuts the socket down."""
        self._sock.shutdown(how)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Returns the stream from which http.client reads the answer."""
        self._streams += 1
        return AnswerStream(_SocketStream(self), self.max_lines)

    def close(self) -> None:
        """Closes the socket, or leaves that to the stream that is still open."""
        # http.client closes its socket before the body is read.
        self._closing = True
        if not self._streams:
            self._sock.close()

    def stream_closed(self) -> None:
        """Closes the socket after the answer's stream, if `close` has left that."""
        self._streams -= 1
        if self._closing and not self._streams:
            self._sock.close()


def _joined(pieces: Sequence[bytes]) -> Iterator[memoryview]:
    """Returns the same bytes in pieces for one system call each. A small body is joined with its head."""
    if sum(len(piece) for piece in pieces) <= 2 * _RECV_BYTES:
        pieces = [b"".join(pieces)]
    return (memoryview(piece) for piece in pieces if piece)


class _SocketStream(io.RawIOBase):
    def __init__(self, adapter: SocketAdapter) -> None:
        self._adapter = adapter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._adapter.receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._adapter.stream_closed()


class PooledConnection:
    """A connection that calls use one after the other. urllib3 writes the request and reads the answer in two steps."""

    def __init__(self, engine: HTTPConnection, sock: Stream, monotonic: Callable[[], float]) -> None:
        self._engine = engine
        # The socket is connected. A request on a closed connection must fail, not silently open another one.
        engine.auto_open = 0
        self.adapter = SocketAdapter(sock, monotonic)
        # The adapter has all methods that the engine calls on a socket.
        engine.sock = cast(Any, self.adapter)
        self.opened_at, self.idle_since = monotonic(), 0.0
        self.has_answered = False

    def __repr__(self) -> str:
        return f"<PooledConnection {self._engine.host}:{self._engine.port}>"

    def write(self, method: str, url: str, body: bytes | Iterable[bytes] | None, headers: Mapping[str, str]) -> None:
        """Writes as much of a request as the socket takes without waiting. A body in pieces is written to its end."""
        if body is None or isinstance(body, bytes):
            self.adapter.buffer()
        with self._ignoring_early_close():
            self._engine.request(method, url, body, headers, preload_content=False, decode_content=False)
        self.push()

    def push(self) -> bool:
        """Writes what the socket takes without waiting. Returns True once the request is written or refused."""
        adapter = self.adapter
        if adapter.written or adapter.write_failed:
            return True
        with self._ignoring_early_close():
            if not adapter.push():
                return False
            adapter.written = True
            adapter.checkpoint("request_written")
        return True

    def read_head(self) -> urllib3.HTTPResponse:
        """Writes what is left, and reads the head of the answer. No retry, no redirect, no second connection."""
        adapter = self.adapter
        while not self.push():
            adapter.wait_to_write()
        response = self._engine.getresponse()
        if adapter.eof:
            # http.client takes the end of the stream for the end of the head, so it reports nothing.
            raise http.client.IncompleteRead(b"")
        if response.status < 200:
            raise http.client.BadStatusLine("interim")
        adapter.checkpoint("answer_half")
        return response

    @contextmanager
    def _ignoring_early_close(self) -> Iterator[None]:
        """Ignores a failed write: a vendor may refuse an upload before its end and close, and its answer counts."""
        try:
            yield
        except OSError:
            if not self.adapter.write_failed:
                raise

    @property
    def reusable(self) -> bool:
        """True after a complete answer to a complete request, if neither side wants to close the connection."""
        return (
            self._engine.sock is not None and self.adapter.written and not self.adapter.late and not self.adapter.ended
        )

    def close(self) -> None:
        """Closes the socket. Does nothing if it is closed already."""
        self._engine.close()
