"""A browser's visit: who is signed in there, the token of its forms, its language and theme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from worker.console.viewer import Theme, Viewer
from worker.drawing import Lang

CHOICES = "console-choices"
"""The cookie that remembers language and theme, such as `zh.dark`."""
LANGS, THEMES = ("zh", "en"), ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser that asks, and the viewer in front of it."""

    viewer: Viewer | None
    """None: this browser has not signed in."""
    csrf: str
    """The token that every form of this browser carries; empty: its page has no forms."""
    lang: Lang
    theme: Theme


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
