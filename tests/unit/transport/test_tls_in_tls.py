"""TLS inside TLS over a socket that the test moves by hand: what arrived is read, and what is in memory counts."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

from tests.unit.transport.fault_table import Clock, tls_server_context
from worker.transport.connection import SocketAdapter
from worker.transport.egress.tls_in_tls import TlsInTls

BODY = b"x" * 100_000


class Below:
    """Stands for the TLS to the proxy; what arrives by it is handed over, and nothing is readable on its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.arrived: list[bytes] = []
        self.left = bytearray()
        self.refuses: OSError | None = None

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        self._sock.setblocking(flag)

    def pending(self) -> int:
        return 0

    def send(self, data: bytes) -> int:
        if self.refuses:
            raise self.refuses
        self.left += data
        return len(data)

    def recv(self, size: int) -> bytes:
        if not self.arrived:
            raise ssl.SSLWantReadError
        return self.arrived.pop(0)


class Ends:
    """Both ends of a connection whose handshake is made."""

    def __init__(self, near: socket.socket) -> None:
        authority, context = tls_server_context()
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        self.below = Below(near)
        self.client = TlsInTls(cast(Any, self.below), trusting, "127.0.0.1")
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self._in, self._out, server_side=True)
        for shake in (self.client.do_handshake, self._serve, self.client.do_handshake, self._serve):
            with suppress(ssl.SSLWantReadError):
                shake()
        with pytest.raises(ssl.SSLWantReadError):
            self.client.recv(1)  # takes in the session tickets

    def _serve(self) -> None:
        self._in.write(bytes(self.below.left))
        self.below.left.clear()
        try:
            self.server.do_handshake()
        finally:
            self.deliver()

    def deliver(self, more: bytes = b"") -> None:
        """Hands what the server has written to the client's socket, in one piece."""
        self.below.arrived.append(self._out.read() + more)


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The two ends."""
    near, far = socket.socketpair()
    with near, far:
        yield Ends(near)


@pytest.mark.parametrize("refusal", [BrokenPipeError(), ssl.SSLWantWriteError()], ids=["closed", "full"])
def test_an_early_answer_is_read_though_the_rest_of_the_request_cannot_leave(ends: Ends, refusal: OSError) -> None:
    """A vendor, or its proxy, that answers before it has the body and takes no more of it."""
    ends.server.write(b"413")
    ends.deliver()
    ends.below.refuses = refusal

    with pytest.raises(type(refusal)):
        ends.client.send(memoryview(BODY))

    assert ends.client.recv(10) == b"413"
    with pytest.raises(type(refusal)):
        ends.client.recv(10)


def close(ends: Ends) -> None:
    """The server's closing, behind its answer."""
    with suppress(ssl.SSLWantReadError):
        ends.server.unwrap()


def speak(ends: Ends) -> None:
    """Words that answer no request."""
    ends.server.write(b"408")


def stay(ends: Ends) -> None:
    """Nothing more."""


@pytest.mark.parametrize(("then", "alive"), [(stay, True), (close, False), (speak, False)])
def test_what_sits_in_memory_ends_a_connection(ends: Ends, then: Callable[[Ends], None], alive: bool) -> None:
    """Closing or unasked bytes that came in one piece with the answer: the socket itself has nothing to read."""
    wire = SocketAdapter(ends.client, Clock())
    ends.server.write(b"ok")
    then(ends)
    ends.deliver()

    assert ends.client.recv(2) == b"ok"
    assert alive == wire.is_alive()


def test_the_end_of_the_stream_below_ends_a_connection(ends: Ends) -> None:
    """The proxy's closing was taken in while more was looked for."""
    wire = SocketAdapter(ends.client, Clock())
    ends.below.arrived.append(b"")
    ends.client.recv(1)

    assert not wire.is_alive()
