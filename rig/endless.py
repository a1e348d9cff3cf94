"""A vendor whose answers never end, after some that are right: a beginning, and then the same bytes again and again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress

_HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS: Mapping[str, tuple[bytes, bytes]] = {
    "line": (b"HTTP/1.1 200 ", b"a"),
    "header": (_HEAD + b"a: ", b"b"),
    "chunk": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"a"),
    "text": (_HEAD + b'Content-Type: application/json\r\n\r\n{"errcode": 0, "errmsg": "', b"a"),
}
"""What does not end -> how its answer begins, and goes on."""
RIGHT = 16
"""Calls that are answered, so that several are made at a time."""
_RIGHT_ANSWER = _HEAD + b'Content-Length: 27\r\nConnection: close\r\n\r\n{"errcode":0,"errmsg":"ok"}'
_ACCOUNT = """
[accounts.{name}]
channel = "wecom_webhook"
edition = "robot"
limits = {{ robot_minute = 100000 }}
secret = {{ file = "FOLDER/secret" }}
base_url = "{url}"
"""
_PIECE, _PAUSE_S = 16 * 1024, 0.005


class EndlessVendor:
    """Listens on a port of its own, and answers in threads until it is closed."""

    def __init__(self, kind: str) -> None:
        self._begin, self._more = ENDLESS[kind]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closed = threading.Event()
        self.calls = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends all answers."""
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if not connection.recv(64 * 1024):
                return
            self.calls += 1
            if self.calls <= RIGHT:
                connection.sendall(_RIGHT_ANSWER)
                return
            connection.sendall(self._begin)
            while not self._closed.is_set():
                connection.sendall(self._more * _PIECE)
                time.sleep(_PAUSE_S)


@contextmanager
def endless_vendors() -> Iterator[dict[str, EndlessVendor]]:
    """One of each kind, by its name in `ENDLESS`."""
    with ExitStack() as scope:
        yield {name: scope.enter_context(closing(EndlessVendor(name))) for name in ENDLESS}


def accounts_of(vendors: Mapping[str, EndlessVendor]) -> str:
    """Returns the tables of an account for each of these vendors, of the vendor's name."""
    return "".join(_ACCOUNT.format(name=name, url=vendor.url) for name, vendor in vendors.items())
