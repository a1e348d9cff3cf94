"""The reference pages: what each is made of, and where it lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tools.reference import api, commands, errcodes, settings, simulator, taken
from tools.reference.text import Voice
from tools.site.navigation import Language
from tools.site.stage import DOCS

PAGES: Mapping[str, Callable[[Voice], str]] = {
    "reference/settings.md": settings.page,
    "reference/commands.md": commands.page,
    "reference/errcodes.md": errcodes.page,
    "reference/api.md": api.library_page,
    "reference/messages.md": api.messages_page,
    "reference/taken.md": taken.page,
    "reference/testing.md": api.kit_page,
    "reference/simulator.md": simulator.page,
}
"""By the name in the navigation."""


def made(name: str, say: Voice) -> str:
    """A page as it is to be."""
    return PAGES[name](say)


def place_of(name: str, language: Language) -> Path:
    """The file of a page."""
    return (DOCS / "zh" if language == "zh" else DOCS) / name
