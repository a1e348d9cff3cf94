"""A web without a network: names resolve as told, pages answer as told, and what was asked is written down.

Only the sockets are replaced: whatever the session does with an answer, a redirect or an address, it does here, too.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import requests

from tests.support.scripted_transport import ScriptedTransport
from worker.domain.call import Reply, Request
from worker.transport.connection import DeadlinePassed, Stream
from worker.transport.egress.dial import Deadline, Resolve
from worker.transport.egress.proxy import Addresses
from worker.transport.egress.routes import Route
from worker.transport.faults import NotConnected
from worker.transport.session import Web

PUBLIC = "93.184.215.14"


@dataclass(frozen=True)
class Page:
    """What is behind one URL."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    breaks: bool = False
    """The body breaks off in its middle."""
    endless: bool = False
    """The body comes again and again."""


@dataclass(frozen=True)
class Fault:
    """No connection is made."""

    reason: str


def moved(to: str, status: int = 302) -> Page:
    """A redirect."""
    return Page(status=status, headers={"location": to})


Told = Page | Fault | Callable[[], Page]


@dataclass(frozen=True)
class Asked:
    """One request that was made, or was to be made."""

    url: str
    address: str
    authorization: str | None = None


class ScriptedWeb(Web):
    """`pages`: URL -> what it answers, a fault before any answer, or a list of both, one after the other.

    `carrier` answers what is no page.
    """

    def __init__(
        self,
        pages: dict[str, Told | list[Told]] | None = None,
        names: dict[str, list[list[str]]] | None = None,
        carrier: ScriptedTransport | None = None,
        monotonic: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__(monotonic=monotonic, dial=self._dial, resolve=self._resolve)
        self.pages = pages or {}
        self.names = names or {}
        """Host -> what it resolves to, one time after the other; the last stays. Without: one public address."""
        self.asked: list[Asked] = []
        self.resolved: list[str] = []
        self.given = 0
        """Bytes of bodies that were taken."""
        self.deadlines: list[float] = []
        """Seconds that each session had."""
        self._carrier = carrier
        self._guard = threading.Lock()

    def session(self, deadline_s: float, **options: Any) -> requests.Session:
        """See `Web.session`."""
        self.deadlines.append(deadline_s)
        return super().session(deadline_s, **options)

    def answer(self, route: Route, address: str, request: bytes) -> Page:
        """What one request is answered."""
        head, _, body = request.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        url = f"{route.scheme}://{headers['host']}{target}"
        with self._guard:
            self.asked.append(Asked(url, address, headers.get("authorization")))
            told = self._next(url)
        if told is not None:
            assert not isinstance(told, Fault)
            return told if isinstance(told, Page) else told()
        assert self._carrier is not None, f"nothing is behind {url}"
        parts = urlsplit(url)
        result = self._carrier.make(
            Request(
                method,
                f"{parts.scheme}://{parts.netloc}",
                parts.path,
                dict(parse_qsl(parts.query)),
                body or None,
                headers.get("content-type", ""),
                self.deadlines[-1],
                route.egress,
            )
        )
        if not isinstance(result, Reply):
            raise DeadlinePassed
        return Page(result.body, result.status, {**result.headers})

    def _next(self, url: str) -> Told | None:
        """Takes what is told next of a URL, whatever login it has in `pages`."""
        key = next((key for key in self.pages if re.sub("//.*@", "//", key) == url), url)
        told = self.pages.get(key)
        if isinstance(told, list):
            return told.pop(0) if len(told) > 1 else told[0]
        return told

    def _resolve(self, host: str, port: int) -> Addresses:
        with self._guard:
            self.resolved.append(host)
            answers = self.names.get(host, [[PUBLIC]])
            found = answers.pop(0) if len(answers) > 1 else answers[0]
        if not found:
            raise NotConnected("dns")
        return [(0, (address, port)) for address in found]

    def _dial(self, route: Route, deadline: Deadline, resolve: Resolve) -> Stream:
        [(_, (address, _)), *_] = resolve(route.host, route.port)
        with self._guard:
            for url, told in self.pages.items():
                fault = told[0] if isinstance(told, list) else told
                if urlsplit(url).hostname == route.host and isinstance(fault, Fault):
                    self._next(url)
                    self.asked.append(Asked(url, address))
                    raise NotConnected(fault.reason)
        return cast(Stream, _Peer(self, route, address))


class _Peer:
    """A socket whose other end answers at once, and closes."""

    def __init__(self, web: ScriptedWeb, route: Route, address: str) -> None:
        self._web, self._route, self._address = web, route, address
        self._request = b""
        self._pieces: Iterator[bytes] | None = None
        self._rest = memoryview(b"")
        self._nothing: tuple[socket.socket, socket.socket] | None = None

    def setblocking(self, flag: bool) -> None:
        """Does nothing."""

    def send(self, data: memoryview) -> int:
        """Takes all."""
        self._request += data
        return len(data)

    def recv_into(self, buffer: memoryview) -> int:
        """Never waits."""
        if self._pieces is None:
            self._pieces = self._answer(self._web.answer(self._route, self._address, self._request))
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def _answer(self, page: Page) -> Iterator[bytes]:
        length = {} if page.endless else {"content-length": str(len(page.body))}
        lines = [f"{name}: {value}\r\n" for name, value in {**length, **page.headers}.items()]
        yield f"HTTP/1.1 {page.status} said\r\n{''.join(lines)}\r\n".encode("latin-1")
        is_first = True
        while page.body and (is_first or page.endless):
            self._web.given += len(page.body)
            yield page.body[: len(page.body) // 2] if page.breaks else page.body
            is_first = False

    def fileno(self) -> int:
        """A socket at which nothing has arrived, for the bytes that may still be read after the deadline."""
        self._nothing = self._nothing or socket.socketpair()
        return self._nothing[0].fileno()

    def close(self) -> None:
        """Closes what is open."""
        for end in self._nothing or ():
            end.close()
