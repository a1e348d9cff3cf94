"""Proxies that pass bytes on and judge who asks: HTTP (forwarding and CONNECT) and SOCKS5, each also over TLS."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from base64 import b64decode
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

Login = tuple[str, str]


class ProxyServer:
    """Notes in `asked` what it is asked for, and with which user and password; lets only `login` through, if given.

    `hosts` are names that it alone knows, and the local ports that it takes them for.
    """

    def __init__(
        self,
        *,
        socks: bool = False,
        tls: ssl.SSLContext | None = None,
        login: Login | None = None,
        hosts: Mapping[str, int] | None = None,
    ) -> None:
        self._socks, self._tls, self._login, self._hosts = socks, tls, login, hosts or {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[tuple[str, Login | None]] = []
        """`CONNECT host:port`, `SOCKS name host:port` (or `SOCKS address ...`), or `POST URL`; and the login."""
        self.accepted = 0
        self._open: set[socket.socket] = set()
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def url(self, scheme: str, login: str = "") -> str:
        """Its address as the settings name it."""
        return f"{scheme}://{login + '@' if login else ''}127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for sock in tuple(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(120)
        self._listener.close()
        if self._errors and exc[0] is None:
            raise self._errors[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with contextlib.ExitStack() as stack:
                near = stack.enter_context(self._tls.wrap_socket(sock, server_side=True) if self._tls else sock)
                self._open.add(near)
                near.settimeout(30)
                far = (self._socks5 if self._socks else self._http)(near)
                if far is not None:
                    stack.enter_context(far)
                    self._open.add(far)
                    _pump(near, far)
        except OSError:
            pass  # one of the two ends went away
        except BaseException as error:  # noqa: BLE001  # handed to the test's thread
            self._errors.append(error)
        finally:
            sock.close()

    def _http(self, near: socket.socket) -> socket.socket | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = near.recv(1)
            if not byte:
                return None
            head += byte
        lines = head.decode().split("\r\n")
        method, target, _ = lines[0].split()
        headers = dict(line.split(": ", 1) for line in lines[1:-2])
        given = headers.get("Proxy-Authorization")
        login = None
        if given is not None:
            user, _, password = b64decode(given.removeprefix("Basic ")).decode().partition(":")
            login = (user, password)
        self.asked.append((f"{method} {target}", login))
        if self._login not in (None, login):
            near.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return None
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            far = self._reach(host, int(port))
            near.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
            return far
        url = urlsplit(target)
        far = self._reach(url.hostname or "", url.port or 80)
        asked = [f"{method} {url.path}?{url.query} HTTP/1.1", *lines[1:]]
        far.sendall("\r\n".join(line for line in asked if not line.startswith("Proxy-")).encode())
        return far

    def _reach(self, host: str, port: int) -> socket.socket:
        at = ("127.0.0.1", self._hosts[host]) if host in self._hosts else (host, port)
        return socket.create_connection(at)

    def _socks5(self, near: socket.socket) -> socket.socket | None:
        _, count = _exactly(near, 2)
        ways = _exactly(near, count)
        login = None
        if self._login is not None or ways == b"\x02":
            if 2 not in ways:
                near.sendall(b"\x05\xff")
                return None
            near.sendall(b"\x05\x02")
            assert _exactly(near, 1) == b"\x01"
            login = (_text(near), _text(near))
            near.sendall(b"\x01" + bytes([self._login != login]))
        else:
            near.sendall(b"\x05\x00")
        head = near.recv(4)
        if len(head) < 4:
            self.asked.append(("SOCKS", login))
            return None
        kind = {1: "address", 3: "name", 4: "address"}[head[3]]
        host = _text(near) if kind == "name" else socket.inet_ntoa(_exactly(near, 4))
        port = int.from_bytes(_exactly(near, 2), "big")
        self.asked.append((f"SOCKS {kind} {host}:{port}", login))
        far = self._reach(host, port)
        near.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
        return far


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionError
        data += piece
    return data


def _text(sock: socket.socket) -> str:
    return _exactly(sock, _exactly(sock, 1)[0]).decode()


def _pump(near: socket.socket, far: socket.socket) -> None:
    """Passes bytes on, both ways, until one side ends."""
    while True:
        waiting = isinstance(near, ssl.SSLSocket) and near.pending()
        ready = [near] if waiting else select.select([near, far], [], [], 60)[0]
        for sock in ready:
            data = sock.recv(65536)
            if not data:
                return
            (far if sock is near else near).sendall(data)
