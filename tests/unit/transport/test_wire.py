"""The socket under a deadline, without HTTP around it."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.unit.transport.fault_table import Clock
from worker.transport.connection import DeadlinePassed, SocketAdapter
from worker.transport.faults import call_fault, connection_fault

Pair = tuple[SocketAdapter, socket.socket, Clock]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A wire with ten seconds left, its other end and its clock."""
    near, far = socket.socketpair()
    clock = Clock()
    with near, far:
        wire = SocketAdapter(near, clock)
        wire.begin(clock() + 10, None)
        yield wire, far, clock


def received(wire: SocketAdapter, size: int = 1) -> bytes:
    """One receive."""
    buffer = bytearray(size)
    return bytes(buffer[: wire.receive_into(memoryview(buffer))])


def test_what_came_before_the_deadline_is_read_and_nothing_later(pair: Pair) -> None:
    """A drip that goes on after the deadline ends where the buffer ended at the deadline."""
    wire, far, clock = pair
    far.send(b"ab")
    clock.pass_deadline()
    early = received(wire)
    far.send(b"cdef")

    assert early + received(wire) == b"ab"
    with pytest.raises(DeadlinePassed):
        received(wire)
    assert wire.late


def test_end_of_stream_is_seen_after_the_deadline(pair: Pair) -> None:
    """An answer that ends by the close is whole when data and close were there in time."""
    wire, far, clock = pair
    far.send(b"ab")
    far.close()
    clock.pass_deadline()

    assert [received(wire, 2), received(wire, 2)] == [b"ab", b""]
    assert wire.eof


def test_nothing_there_at_the_deadline(pair: Pair) -> None:
    """An empty buffer is not waited for."""
    wire, _far, clock = pair
    clock.pass_deadline()

    with pytest.raises(DeadlinePassed):
        received(wire)


def test_hold_sends_once(pair: Pair) -> None:
    """What is held has not left; flush sends it as one, and an empty flush sends nothing."""
    wire, far, _clock = pair
    wire.push()
    wire.buffer()
    wire.sendall(b"head")
    wire.sendall(b"body")

    assert not wire.may_be_sent
    wire.push()
    assert wire.may_be_sent
    assert far.recv(100) == b"headbody"


def test_shutdown_cuts(pair: Pair) -> None:
    """urllib3 may cut the socket from another thread."""
    wire, far, _clock = pair

    wire.shutdown(socket.SHUT_RDWR)

    assert far.recv(1) == b""


def test_stream_outlives_the_closed_socket(pair: Pair) -> None:
    """http.client closes the socket before it reads a body that ends by the close; the stream goes on."""
    wire, far, _clock = pair
    stream = wire.makefile("rb")
    far.send(b"ab")
    far.close()

    wire.close()

    assert stream.read() == b"ab"
    stream.close()
    stream.raw.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        wire.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), "connect_timeout"),
        (OSError(errno.EHOSTUNREACH, "no route"), "unreachable"),
        (ConnectionResetError(), "reset"),
        (ssl.SSLError(), "tls"),
        (RuntimeError("secret"), "RuntimeError"),
    ],
)
def test_reasons_before_the_connection(error: Exception, expected: str) -> None:
    """Faults that cannot be made on one machine at will have their class, too."""
    assert connection_fault(error) == expected


def test_broken_chunk_with_the_connection_still_open_is_garbled(pair: Pair) -> None:
    """An incomplete read without the end of the stream is not a cut."""
    wire, _far, _clock = pair
    wire.may_be_sent, wire.received = True, 5

    assert call_fault(http.client.IncompleteRead(b""), wire) == "garbled"
