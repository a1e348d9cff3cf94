"""A door in front of a service; no other client of the service notices it.

Open, it lets bytes through. Shut, the service is away. Slammed, it takes every connection and closes it at once.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Door:
    """Forwards one local port to a service."""

    host: str
    port: int
    back: Callable[[bytes], bytes] = bytes
    """What becomes of what the service says."""
    slams: bool = False
    """Whether callers are taken, and sent away before they said anything."""
    slammed: int = 0
    """How many were."""
    tls: ssl.SSLContext | None = None
    """What callers speak with it; None: what the service speaks."""
    _pairs: list[socket.socket] = field(default_factory=list)
    _listener: socket.socket | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Around both: a caller who comes while the door is being shut is cut as well."""

    def __post_init__(self) -> None:
        self.at = 0
        self.open()

    def open(self) -> None:
        """Lets callers in again, on the same port."""
        listener = socket.create_server(("127.0.0.1", self.at), backlog=128)
        self.at = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """Cuts every connection and refuses new ones."""
        with self._lock:
            listener, self._listener = self._listener, None
            for one in [*([listener] if listener else []), *self._pairs]:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
            self._pairs.clear()

    close = shut

    def slam(self) -> None:
        """Cuts every connection, and from now on each that is made."""
        self.slams = True
        self.shut()
        self.open()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:  # the door was shut
                return
            if self.slams:
                self.slammed += 1
                caller.close()
                continue
            with contextlib.suppress(OSError):
                self._connect(listener, caller)

    def _connect(self, listener: socket.socket, caller: socket.socket) -> None:
        """Lets a caller through, unless the service or the door is gone meanwhile."""
        with contextlib.ExitStack() as unless_through:
            unless_through.enter_context(caller)
            if self.tls is not None:
                caller = unless_through.enter_context(self.tls.wrap_socket(caller, server_side=True))
            inside = unless_through.enter_context(socket.create_connection((self.host, self.port)))
            for one in (caller, inside):  # else small packets wait 40 ms for an acknowledgement
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._listener is not listener:
                    return
                self._pairs += [caller, inside]
                unless_through.pop_all()
            for pump in ((caller, inside, bytes), (inside, caller, self.back)):
                threading.Thread(target=_pump, args=pump, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(change(data))
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
