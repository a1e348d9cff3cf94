"""A server that does exactly what a script says with each connection, byte by byte."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Self

Script = Callable[["Peer"], None]


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def read_head(self) -> bytes:
        """Up to the empty line, not a byte more."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            byte = self.sock.recv(1)
            if not byte:
                return data
            data += byte
        return data

    def read_request(self) -> bytes:
        """Head and body."""
        head = self.read_head()
        length = re.search(rb"content-length: (\d+)", head, re.I)
        body = b""
        while length and len(body) < int(length[1]) and (chunk := self.sock.recv(65536)):
            body += chunk
        return head + body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_closed(self) -> None:
        """Until the client has closed or reset."""
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass


class RawServer:
    """Runs one script per accepted connection, in order; what a script raised comes out of `with`."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.accepted = 0
        self.seen: list[bytes] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shut()
        self._thread.join(120)
        self._listener.close()
        if self._error is not None and exc[0] is None:
            raise self._error

    def shut(self) -> None:
        """Take no more connections, and reset those that were not accepted."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        for script in self._scripts:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                with self._wrapped(sock) as wrapped:
                    wrapped.settimeout(30)
                    script(Peer(wrapped))
            except ssl.SSLError:
                pass  # a handshake the client broke off
            except BaseException as error:  # noqa: BLE001  # handed to the test's thread
                self._error = error
                return

    def _wrapped(self, sock: socket.socket) -> socket.socket:
        try:
            return self._tls.wrap_socket(sock, server_side=True) if self._tls else sock
        except BaseException:
            sock.close()
            raise


def response(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer with its Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


OK_BODY = b'{"errcode":0,"errmsg":"ok"}'


def answer(data: bytes = response(OK_BODY), then: Script | None = None) -> Script:
    """Read one request, send `data`, then do `then` (default: close)."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(data)
        if then is not None:
            then(peer)

    return script
