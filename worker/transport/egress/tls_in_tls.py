"""TLS to a vendor inside the TLS to a proxy, which `ssl` offers only over sockets. Built from its memory BIOs.

Like the socket below it, it never waits, and raises the same errors if it cannot go on. Knows neither proxies nor HTTP.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")

_PIECE = 64 * 1024
"""Bytes received from the outer socket at once."""


class TlsInTls:
    """A TLS connection inside another one, with the methods of a non-blocking `ssl.SSLSocket`."""

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, server_hostname: str) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._unsent = b""
        """Encrypted bytes that the outer socket has not taken yet."""
        self._accepted = 0
        """Bytes of the last `send` that are among them. The caller repeats the same send until they have left."""

    def __repr__(self) -> str:
        return "<TlsInTls>"

    def fileno(self) -> int:
        """Returns the socket's file descriptor, for polling."""
        return self._outer.fileno()

    def setblocking(self, flag: bool) -> None:
        """Sets whether the outer socket waits. It must never wait here."""
        self._outer.setblocking(flag)

    def do_handshake(self) -> None:
        """Continues the handshake as far as possible."""
        self._run(self._tls.do_handshake)
        self._flush()

    def version(self) -> str | None:
        """Returns the protocol that both sides agreed on, or None before the handshake."""
        return self._tls.version()

    def send(self, data: memoryview) -> int:
        """Sends bytes and returns how many. Raises SSLWantWriteError until all of them have left."""
        if not self._accepted:
            self._flush()
            self._accepted = self._run(lambda: self._tls.write(data))
        self._flush()
        accepted, self._accepted = self._accepted, 0
        return accepted

    def recv(self, size: int) -> bytes:
        """Returns what has arrived, at most `size` bytes. Empty at the end of the stream."""
        buffer = bytearray(size)
        return bytes(buffer[: self.recv_into(memoryview(buffer))])

    def recv_into(self, buffer: memoryview) -> int:
        """Receives what has arrived. Returns 0 at the end of the stream."""
        try:
            # With a buffer, `read` returns how many bytes it has written there.
            return cast(int, self._run(lambda: self._tls.read(len(buffer), cast(Any, buffer))))
        except ssl.SSLEOFError:
            # Sockets of `ssl` do the same. HTTP finds out whether something is missing.
            return 0

    def pending(self) -> int:
        """Returns how many bytes are buffered here, in either TLS."""
        # The end of the stream counts as one byte: it, too, is received without waiting.
        return self._tls.pending() + self._incoming.pending + self._incoming.eof + self._outer.pending()

    def shutdown(self, how: int) -> None:
        """Shuts the socket down."""
        self._outer.shutdown(how)

    def close(self) -> None:
        """Closes the socket."""
        self._outer.close()

    def _run(self, operation: Callable[[], T]) -> T:
        """Runs one operation of TLS, and feeds it with what has arrived until it is done or more must come."""
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                # The other side may be waiting for what is still to be sent.
                try:
                    self._flush()
                except OSError as unsent:
                    # The other side may also have answered early, and no longer read.
                    self._feed(unsent)
                else:
                    self._feed()

    def _feed(self, unsent: OSError | None = None) -> None:
        """Passes on what has arrived. If nothing has, it raises `unsent`, or the error of the outer socket."""
        try:
            arrived = self._outer.recv(_PIECE)
        except OSError as error:
            raise unsent or error from None
        if arrived:
            self._incoming.write(arrived)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        self._unsent += self._outgoing.read()
        while self._unsent:
            self._unsent = self._unsent[self._outer.send(self._unsent) :]
