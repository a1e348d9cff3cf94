"""TLS to a vendor inside the TLS to a proxy: what `ssl` offers over sockets only, made of its parts for memory.

It never waits, as the socket below it, and says as that one when it cannot go on. Knows neither proxies nor HTTP.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")

_PIECE = 64 * 1024
"""Bytes taken from the socket below at once."""


class TlsInTls:
    """A TLS connection over one that is TLS already; the methods are those of an `ssl.SSLSocket` that never blocks."""

    def __init__(self, below: ssl.SSLSocket, context: ssl.SSLContext, server_hostname: str) -> None:
        self._below = below
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_hostname=server_hostname)
        self._unsent = b""
        """Bytes of TLS that the socket below has not taken yet."""
        self._taken = 0
        """Bytes of the last `send` that are among them: the same send, repeated, is what takes them away."""

    def __repr__(self) -> str:
        return "<TlsInTls>"

    def fileno(self) -> int:
        """The socket's, to wait for it."""
        return self._below.fileno()

    def setblocking(self, flag: bool) -> None:
        """Sets whether the socket below waits; here it never may."""
        self._below.setblocking(flag)

    def do_handshake(self) -> None:
        """Makes the handshake as far as possible."""
        self._act(self._tls.do_handshake)
        self._flush()

    def version(self) -> str | None:
        """The protocol that both sides agreed on; None before."""
        return self._tls.version()

    def send(self, data: memoryview) -> int:
        """Sends bytes and returns how many; raises SSLWantWriteError until all of these have left."""
        if not self._taken:
            self._flush()
            self._taken = self._act(lambda: self._tls.write(data))
        self._flush()
        taken, self._taken = self._taken, 0
        return taken

    def recv(self, size: int) -> bytes:
        """What has arrived, at most `size` bytes; empty at the end of the stream."""
        buffer = bytearray(size)
        return bytes(buffer[: self.recv_into(memoryview(buffer))])

    def recv_into(self, buffer: memoryview) -> int:
        """Receives what has arrived; 0 at the end of the stream."""
        try:
            # With a buffer it returns how many bytes it has put there.
            return cast(int, self._act(lambda: self._tls.read(len(buffer), cast(Any, buffer))))
        except ssl.SSLEOFError:
            # As sockets of `ssl` do: whether something is missing, HTTP knows.
            return 0

    def pending(self) -> int:
        """Bytes that arrived and are held here, whichever TLS they are in."""
        # The end of the stream counts as one: it, too, is received without waiting.
        return self._tls.pending() + self._arrived.pending + self._arrived.eof + self._below.pending()

    def shutdown(self, how: int) -> None:
        """Shuts the socket down."""
        self._below.shutdown(how)

    def close(self) -> None:
        """Closes the socket."""
        self._below.close()

    def _act(self, step: Callable[[], T]) -> T:
        """Takes a step of TLS, and feeds it with what has arrived until it is done, or more must come."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                # The other side may wait for what is to leave.
                try:
                    self._flush()
                except OSError as unsent:
                    # It may also have answered early, and read no more.
                    self._feed(unsent)
                else:
                    self._feed()

    def _feed(self, unsent: OSError | None = None) -> None:
        """Takes what has arrived; where nothing has, it raises `unsent`, or what the socket below says."""
        try:
            arrived = self._below.recv(_PIECE)
        except OSError as error:
            raise unsent or error from None
        if arrived:
            self._arrived.write(arrived)
        else:
            self._arrived.write_eof()

    def _flush(self) -> None:
        self._unsent += self._leaving.read()
        while self._unsent:
            self._unsent = self._unsent[self._below.send(self._unsent) :]
