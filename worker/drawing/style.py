"""The style sheet of the pages: tokens, layout and messages, joined into one file.

Reads its parts when it is loaded. Does not know how the file is served.
"""

from __future__ import annotations

from importlib.resources import files

DARK = (
    '@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{\n{0}}} }}\n'
    ':root[data-theme="dark"] {{\n{0}}}\n'
)
"""The dark colours hold where the system wants them, and where the page's `data-theme` does."""


def _part(name: str) -> str:
    return (files("worker.drawing") / "css" / name).read_text(encoding="utf-8")


STYLESHEET = "\n".join(
    [_part("tokens.css"), DARK.format(_part("dark.css")), _part("layout.css"), _part("messages.css")]
)


def stylesheet() -> str:
    """The CSS of the design system and of messages, for one file that both pages link to.

    The theme is the system's, unless `<html data-theme="light">` or `"dark"` says otherwise.
    """
    return STYLESHEET
