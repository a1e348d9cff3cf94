"""A browser's visit: its viewer, the token of its forms, its language and theme; and where it may be sent to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import unquote, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from worker.console.page import Moved, StoredFile, View
from worker.console.viewer import Theme, Viewer
from worker.drawing import Lang

CHOICES = "worker-console-choices"
"""The cookie that remembers language and theme, such as `zh.dark`."""
LANGS, THEMES = ("zh", "en"), ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser that asks, and the viewer in front of it."""

    viewer: Viewer | None
    """None: this browser has not signed in."""
    lang: Lang
    theme: Theme
    csrf: str = ""
    """The token that every form of this browser carries; empty: its page has no forms."""
    token: str = ""
    """What its cookie holds, or will hold after this answer."""
    can_sign_out: bool = False
    """False where a proxy names the user with each request."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers one path; it runs in a thread, for a form only after its origin and token were checked."""

    path: str
    method: Literal["GET", "POST"]
    function: Callable[[Request, Visit, QueryParams], View | Moved | StoredFile | Response]
    """Gets the form's fields; those of a GET are empty."""
    is_costly: bool = False
    """It hashes a password, or asks a provider: it runs in threads of its own."""


def root_of(scope: Mapping[str, Any]) -> str:
    """The path under which the console is mounted; empty: none."""
    root: str = scope.get("root_path", "")
    return root.rstrip("/")


def choices(request: Request) -> tuple[Lang, Theme]:
    """The language and theme that this browser has chosen, or that its settings ask for."""
    lang, _, theme = request.cookies.get(CHOICES, "").partition(".")
    if lang not in LANGS:
        lang = _wanted(request.headers.get("accept-language", ""))
    return cast(Lang, lang), cast(Theme, theme if theme in THEMES else "auto")


def _wanted(accepted: str) -> str:
    """The first of our languages in an Accept-Language header; Chinese where it names none."""
    named = (one.strip()[:2].lower() for one in accepted[:200].split(","))
    return next((one for one in named if one in LANGS), "zh")


def own_path(text: str) -> Moved:
    """Returns the page of the console that `text` names, else the first page: no redirect leads to another site."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return Moved("/")
    path = unquote(parts.path)
    # What a browser takes for the beginning of a host, or drops before it looks: `//host`, `/\host`, `/<tab>/host`. The
    # path is quoted anew, but for its slashes: `/%2Fhost` would become `//host`.
    is_own = text.startswith("/") and not text.startswith("//") and not path.startswith("//")
    if not is_own or "\\" in text or any(ord(sign) < 0x20 for sign in text):
        return Moved("/")
    return Moved(path, values_of(QueryParams(parts.query)))


def values_of(query: QueryParams) -> dict[str, list[str]]:
    """All values of each name."""
    return {name: query.getlist(name) for name in query}
