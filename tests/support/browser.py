"""A browser without a screen: asks an ASGI application, keeps its cookies, fills in the forms of its pages."""

from __future__ import annotations

import asyncio
import atexit
import re
import threading
from collections.abc import Coroutine, Iterable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.support.asgi import exchange

FORM = "application/x-www-form-urlencoded"
_RUNNER = asyncio.Runner()
"""The main thread's event loop for all pages: one made and ended for each took as long as some pages."""
atexit.register(_RUNNER.close)


@dataclass
class Form:
    """A form of a page, with what it sends as it is."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """What a browser got."""

    status: int
    text: str
    headers: Mapping[str, str]
    set_cookies: tuple[str, ...]
    body: bytes = field(default=b"", repr=False)
    """Its bytes, of which `text` is only a reading."""

    @property
    def location(self) -> str:
        """Where it is sent to."""
        return self.headers["location"]

    @property
    def forms(self) -> dict[str, Form]:
        """The forms by the path they post to."""
        return {form.action: form for form in self._read.found}

    @property
    def links(self) -> list[str]:
        """Where its links lead."""
        return self._read.links

    @cached_property
    def _read(self) -> _Forms:
        return _Forms(self.text)


_TAG = re.compile(r"""<(form|input|a)\s((?:"[^"]*"|'[^']*'|[^"'<>])*)>""")
_ATTRIBUTE = re.compile(r"""([^\s"'=/]+)(?:=(?:"([^"]*)"|'([^']*)'|([^\s"']+)))?""")


class _Forms:
    """The forms and links of a page, by its tags alone: a parser of all that stands between takes ten times as long."""

    def __init__(self, text: str):
        self.found: list[Form] = []
        self.links: list[str] = []
        for tag, attributes in _TAG.findall(text):
            self._read(tag, {name: unescape("".join(value)) for name, *value in _ATTRIBUTE.findall(attributes)})

    def _read(self, tag: str, given: dict[str, str]) -> None:
        if tag == "form":
            self.found.append(Form(given.get("action", "")))
        is_ticked = given.get("type") != "checkbox" or "checked" in given
        if tag == "input" and "name" in given and self.found and is_ticked:
            self.found[-1].fields[given["name"]] = given.get("value", "")
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


def _run(asking: Coroutine[Any, Any, Shown]) -> Shown:
    if threading.current_thread() is threading.main_thread():
        return _RUNNER.run(asking, context=copy_context())
    return asyncio.run(asking)


class Browser:
    """One browser at one address."""

    def __init__(
        self, app: Any, *, host: str = "localhost", client: str = "127.0.0.1", scheme: str = "http", root: str = ""
    ):
        self._app, self.host, self.client, self.scheme, self._root = app, host, client, scheme, root
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Shown:
        """Asks for a page."""
        return _run(self._ask("GET", path, b"", headers))

    def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Shown:
        """Posts a form, as a page of the same site does unless `headers` say otherwise."""
        own = {"sec_fetch_site": "same-origin", "content_type": FORM}
        return _run(self._ask("POST", path, urlencode(fields).encode(), {**own, **headers}))

    def send(self, method: str, path: str, body: bytes | Iterable[bytes | None] = b"", **headers: str) -> Shown:
        """Anything else; a body of several pieces arrives piece by piece, and one that ends with None never ends."""
        return _run(self._ask(method, path, body, headers))

    def submit(self, page: Shown, action: str, **filled: str) -> Shown:
        """Fills in a form of a page and posts it."""
        return self.post(action, {**page.forms[action].fields, **filled})

    async def _ask(
        self, method: str, path: str, body: bytes | Iterable[bytes | None], headers: Mapping[str, str]
    ) -> Shown:
        return self._kept(await exchange(self._app, self._scope(method, path, headers), body))

    def _scope(self, method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
        given = {"host": self.host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            given.setdefault("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        parts = urlsplit(path)
        return {
            "method": method,
            "scheme": self.scheme,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": self._root,
            # Bytes that are no text stand as `surrogateescape` writes them.
            "headers": [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in given.items()],
            "client": (self.client, 1),
        }

    def _kept(self, sent: list[dict[str, Any]]) -> Shown:
        headers = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
        set_cookies = tuple(value for name, value in headers if name == "set-cookie")
        for line in set_cookies:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        body = b"".join(part.get("body", b"") for part in sent[1:])
        return Shown(sent[0]["status"], body.decode(errors="replace"), dict(headers), set_cookies, body)
