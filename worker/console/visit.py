"""The state of one request by a browser: viewer, form token, language and theme; and the paths it may be sent to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import unquote, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from worker.console.page import Redirect, StoredFile, View
from worker.console.viewer import Theme, Viewer
from worker.drawing import Lang

CHOICES = "worker-console-choices"
"""The cookie that remembers language and theme, such as `zh.dark`."""
LANGS, THEMES = ("zh", "en"), ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Visit:
    """The browser that sends a request, and its viewer."""

    viewer: Viewer | None
    """None if this browser has not signed in."""
    lang: Lang
    theme: Theme
    csrf: str = ""
    """The token that every form of this browser carries; empty if its pages have no forms."""
    token: str = ""
    """The value of its session cookie, or the one that this answer sets."""
    can_sign_out: bool = False
    """False where a proxy names the user with each request."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The function for one path. It runs in a thread; for a form only after its origin and token were checked."""

    path: str
    method: Literal["GET", "POST"]
    function: Callable[[Request, Visit, QueryParams], View | Redirect | StoredFile | Response]
    """Gets the fields of the form, which are empty for a GET."""
    is_costly: bool = False
    """Whether it hashes a password or asks an identity provider, and therefore runs in threads of its own."""


def root_of(scope: Mapping[str, Any]) -> str:
    """Returns the path under which the console is mounted, or an empty text."""
    root: str = scope.get("root_path", "")
    return root.rstrip("/")


def cookie_of(request: Request, name: str) -> str:
    """Returns the value of a cookie, or an empty text if there is none.

    As it is: ours have no quotes, and Python takes the square of a quoted value's length to unquote it.
    """
    pairs = (pair.partition("=") for pair in request.headers.get("cookie", "").split(";"))
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")


def choices(request: Request) -> tuple[Lang, Theme]:
    """Returns the language and theme that were chosen in this browser, else those of the browser's settings."""
    lang, _, theme = cookie_of(request, CHOICES).partition(".")
    if lang not in LANGS:
        lang = _accepted_language(request.headers.get("accept-language", ""))
    return cast(Lang, lang), cast(Theme, theme if theme in THEMES else "auto")


def _accepted_language(header: str) -> str:
    """Returns the first of our languages in an Accept-Language header, or Chinese if it names none of them."""
    names = (name.strip()[:2].lower() for name in header[:200].split(","))
    return next((name for name in names if name in LANGS), "zh")


def own_path(text: str) -> Redirect:
    """Returns the page of the console that `text` names, else the first page: no redirect leads to another site."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return Redirect("/")
    path = unquote(parts.path)
    # Browsers read `//host`, `/\host` and `/<tab>/host` as another host. The path is unquoted here and quoted again
    # later, except its slashes, so `/%2Fhost` would become `//host`.
    is_own = text.startswith("/") and not text.startswith("//") and not path.startswith("//")
    if not is_own or "\\" in text or any(ord(sign) < 0x20 for sign in text):
        return Redirect("/")
    return Redirect(path, values_of(QueryParams(parts.query)))


def values_of(query: QueryParams) -> dict[str, list[str]]:
    """Returns all values of each name of a query."""
    return {name: query.getlist(name) for name in query}
