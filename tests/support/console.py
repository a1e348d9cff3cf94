"""The console's pages in a test, over ASGI: a viewer who has signed in, asks for pages and sends their forms."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from starlette.requests import Request

from tests.support.runtime import Site
from worker.config.settings import Settings
from worker.console.app import Console
from worker.console.site import Site as ConsoleSite
from worker.console.viewer import EVERY, Role, Viewer
from worker.console.visit import Visit
from worker.drawing import Lang

CSRF = "the-token"
LINK = re.compile(r'(?:href|action)="([^"]*)"')
FIELD = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The page."""
        return self.body.decode()

    def links(self) -> set[str]:
        """Where its links and forms lead, without those that sign out or choose."""
        found = {unescape(link) for link in LINK.findall(self.text)}
        return {link for link in found if link.startswith("/") and not link.startswith(("/static", "/sign", "/choice"))}

    def hidden(self) -> dict[str, str]:
        """The hidden fields of its forms."""
        return {name: unescape(value) for name, value in FIELD.findall(self.text)}


class Door:
    """Knows the viewer without asking."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer

    def visit(self, request: Request) -> Visit:
        """Always the same."""
        return Visit(self._viewer, CSRF, self._viewer.lang, self._viewer.theme)


class Browser:
    """One viewer of the pages."""

    def __init__(
        self,
        site: Site,
        role: Role = "admin",
        accounts: frozenset[str] = frozenset({EVERY}),
        lang: Lang = "en",
        name: str = "zhang",
    ):
        where = ConsoleSite(Settings(), site.database, site.accounts)
        self._app = Console(where, Door(Viewer(name, role, accounts, lang))).app

    def get(self, path: str) -> Answered:
        """A page."""
        return self._ask("GET", path, b"")

    def post(self, path: str, fields: Mapping[str, str]) -> Answered:
        """A form of one of our pages."""
        return self._ask("POST", path, urlencode({"csrf": CSRF, **fields}).encode())

    def give(self, path: str, why: str = "as asked", **fields: str) -> Answered:
        """A command: its preview, then its form, then where that leads."""
        shown = self.get(path)
        assert shown.status == 200, shown.text
        moved = self.post(path.partition("?")[0], {**shown.hidden(), "why": why, **fields})
        return self.get(moved.headers["location"]) if moved.status == 303 else moved

    def crawl(self, *starts: str) -> Iterator[tuple[str, Answered]]:
        """Every page that links lead to, each once."""
        seen, waiting = set(starts), list(starts)
        while waiting:
            path = waiting.pop()
            answered = self.get(path)
            yield path, answered
            fresh = sorted(answered.links() - seen)
            seen.update(fresh)
            waiting += fresh

    def _ask(self, method: str, path: str, body: bytes) -> Answered:
        return asyncio.run(_ask(self._app, method, path, body))


async def _ask(app: Any, method: str, path: str, body: bytes) -> Answered:
    url = urlsplit(path)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = {"host": "localhost", "sec-fetch-site": "same-origin"}
    if method == "POST":
        headers["content-type"] = "application/x-www-form-urlencoded"
    await app(
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(url.path),
            "raw_path": url.path.encode(),
            "query_string": urlencode(parse_qsl(url.query, keep_blank_values=True)).encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        },
        receive,
        send,
    )
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answered(sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:]), told)
