"""A web without a network: names resolve as told, pages answer as told, and what was asked is written down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.delivery.resolver.http_get import FetchError, WebAnswer
from worker.domain.content.web import WebAddress

PUBLIC = "93.184.215.14"


@dataclass(frozen=True)
class Page:
    """What is behind one URL."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: int = 4
    """In so many chunks."""
    breaks: str | None = None
    """The fault with which the body breaks off in its middle."""
    endless: bool = False
    """The body comes again and again."""


def moved(to: str, status: int = 302) -> Page:
    """A redirect."""
    return Page(status=status, headers={"location": to})


Told = Page | FetchError | Callable[[], Page]


@dataclass(frozen=True)
class Asked:
    """One request that was made."""

    url: str
    address: str
    authorization: str | None
    within_s: float


class ScriptedWeb:
    """`pages`: URL -> what it answers, a fault before any answer, or a list of both, one after the other."""

    def __init__(
        self, pages: dict[str, Told | list[Told]] | None = None, names: dict[str, list[list[str]]] | None = None
    ) -> None:
        self.pages = pages or {}
        self.names = names or {}
        """Host -> what it resolves to, one time after the other; the last stays. Without: one public address."""
        self.asked: list[Asked] = []
        self.resolved: list[str] = []
        self.given = 0
        """Bytes of bodies that were taken."""
        self._guard = threading.Lock()

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """See `Web`."""
        with self._guard:
            self.resolved.append(host)
            answers = self.names.get(host, [[PUBLIC]])
            found = answers.pop(0) if len(answers) > 1 else answers[0]
        if not found:
            raise FetchError("dns")
        return found

    @contextmanager
    def get(self, to: WebAddress, address: str, within_s: float, stopping: Callable[[], bool]) -> Iterator[WebAnswer]:
        """See `Web`."""
        with self._guard:
            self.asked.append(Asked(to.url, address, to.authorization, within_s))
            told = self.pages[to.url]
            if isinstance(told, list):
                told = told.pop(0) if len(told) > 1 else told[0]
        if isinstance(told, FetchError):
            raise told
        page = told if isinstance(told, Page) else told()
        yield WebAnswer(page.status, page.headers, self._counted(page))

    def _counted(self, page: Page) -> Iterator[bytes]:
        for chunk in _chunks(page):
            self.given += len(chunk)
            yield chunk


def _chunks(page: Page) -> Iterator[bytes]:
    size = max(1, -(-len(page.body) // page.pieces))
    for at in range(0, len(page.body), size):
        if page.breaks and at >= len(page.body) // 2:
            raise FetchError(page.breaks)
        yield page.body[at : at + size]
    if page.endless:
        yield from _chunks(page)
