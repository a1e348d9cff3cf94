"""The style sheet: one file, both themes whole, readable contrast, nothing fetched from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from worker.console.rendering import TONES as COLOURS
from worker.drawing import STYLESHEET

CSS = files("worker.drawing") / "css"
TEXT, CONTROL = 4.5, 3.0
"""WCAG 2.2 AA: contrast of text (1.4.3), and of the edges of controls and of focus (1.4.11)."""
GROUNDS = ("page", "surface", "sunken")
TONES = sorted({*COLOURS.values()})
PAIRS = (
    *((ink, ground, TEXT) for ink in ("ink", "muted", "link", "bad", "good", "warning") for ground in GROUNDS),
    *((tone, ground, TEXT) for tone in TONES for ground in (f"{tone}-tint", "surface")),
    ("on-accent", "accent", TEXT),
    ("muted", "gone-tint", TEXT),
    *(("edge", ground, CONTROL) for ground in ("surface", "page")),
    *(("focus", ground, CONTROL) for ground in GROUNDS),
)


def colours(name: str) -> dict[str, str]:
    """The tokens of one file that are colours."""
    text = (CSS / name).read_text(encoding="utf-8")
    return dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6});", text))


LIGHT, DARK = colours("tokens.css"), colours("dark.css")


def luminance(colour: str) -> float:
    """Of the definition in WCAG."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_what_is_read_stands_out(theme: dict[str, str]) -> None:
    """Texts and states on every ground they stand on, and the edges of controls."""
    found = {(ink, ground): (round(contrast(theme[ink], theme[ground]), 2), least) for ink, ground, least in PAIRS}

    assert {pair: measured for pair, measured in found.items() if measured[0] < measured[1]} == {}


def test_the_dark_theme_has_every_colour() -> None:
    """A colour that only one theme knows is unreadable in the other."""
    assert LIGHT.keys() == DARK.keys()


def test_a_theme_holds_by_the_system_and_by_the_page() -> None:
    """The page's own choice wins over the system's."""
    css = STYLESHEET

    assert '@media (prefers-color-scheme: dark) { :root:not([data-theme="light"]) {' in css
    assert ':root[data-theme="dark"] {' in css
    assert css.count(f"--page: #{DARK['page']};") == 2


def test_nothing_is_fetched() -> None:
    """No font, picture or sheet of another server, and none of this one."""
    assert re.findall(r"url\(|@import|https?:", STYLESHEET) == []


def test_every_variable_is_a_token() -> None:
    """A misspelt name would be a colour that is not there."""
    css = STYLESHEET

    assert set(re.findall(r"var\(--([a-z0-9-]+)", css)) - set(re.findall(r"--([a-z0-9-]+):", css)) == set()


def test_every_tone_has_its_class() -> None:
    """State badges are coloured by it."""
    assert [tone for tone in TONES if f".tone-{tone} {{" not in STYLESHEET] == []
