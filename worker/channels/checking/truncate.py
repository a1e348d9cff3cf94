"""Shortens and splits text without tearing a character, link, markup tag, code or id pattern.

What cannot stand alone (a link, a piece of code, a tag) moves as a whole. Elements that are open at a cut are closed
there and opened again in the next piece. Knows no vendor field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from worker.channels.checking.row import Prose

Size = Callable[[str], float]
"""Measures a text. The size of two joined texts is the sum of their sizes."""

ELLIPSIS = "…"
MAX_PIECES = 999
"""The number before each piece of a robot's text has three digits."""

_ID = r"\$[A-Za-z]+=[^$\r\n]{1,128}\$"
_URL = r"https?://[!#-;=?-~]+"
_TAG = r"(?P<tag></?[A-Za-z][^<>]*>|<@[^<>]*>)"
# Never across the beginning of another link. Otherwise each open one would be read to the end of the text.
_ANCHOR = r"<a\b[^<>]*>[^<]*+(?:<(?!/?a\b)[^<]*+)*+</a>"
# Both end after their last line. Fenced code that is never closed reaches to the end of the text.
_FENCE = (
    r"(?:\A|(?<=\n)) {0,3}(?P<fence>`{3,}|~{3,})[^\n]*+"
    r"(?:\n(?! {0,3}(?P=fence))[^\n]*+)*+(?:\n[^\n]*+\n?|\n?\Z)"
)
_TABLE = (
    r"(?:\A|(?<=\n))[^|\n]*+\|[^\n]*+\n *+\|?+ *+(?::?+-++:?+ *+\| *+)++(?::?+-++:?+ *+)?+\|?+ *+\r?+"
    r"(?:\n[^|\n]*+\|[^\n]*+)*+\n?"
)
# A picture, which would be a link without its mark, or a link; an address may have brackets. Code, bold, italic.
_MARKDOWN = (
    r"!?\[[^\[\]\n]*\]\((?:[^()\n]++|\([^()\n]*+\))*+\)|`[^`\n]+`"
    r"|\*{2,3}[^*\n]+\*{2,3}|\*(?!\s)[^*\n]{1,200}(?<!\s)\*"
)
_WHOLES = {
    prose: re.compile("|".join([*wholes, _ID, _URL]), re.DOTALL)
    for prose, wholes in {
        Prose.PLAIN: [],
        Prose.LINKS: [_ANCHOR, _TAG],
        Prose.MARKDOWN: [_MARKDOWN, _TAG],
        Prose.BLOCKS: [_FENCE, _TABLE, _MARKDOWN, _TAG],
    }.items()
}
CODE = re.compile(rf"{_FENCE}|`[^`\n]+`")
"""Fenced code and inline code."""
_OPENING = re.compile(r"<([A-Za-z]+)\b[^<>]*(?<!/)>")
_CLOSING = re.compile(r"</([A-Za-z]+)\s*>")
# Pages 90236 and 99110 have no others that end. `List<String>` in a log is text, to which nothing may be added.
_ELEMENTS = frozenset({"a", "div", "font"})
_LINE_MARK = re.compile(r"(?:> ?){1,3}|#{1,6} ")


class _Unit(NamedTuple):
    """Text that stays together: one visible character, or what cannot stand alone with the marks around it."""

    text: str
    tag: str = ""
    """The tag in it, or an empty text."""


def truncated(text: str, most: float, size: Size, prose: Prose) -> str | None:
    """Returns the longest beginning that fits with an ellipsis, or None if not even one unit does.

    Unlike in `pieces`, a table or fenced code may end in the middle, so that a report that is mostly code can be
    shortened.
    """
    units = _units(text, Prose.MARKDOWN if prose is Prose.BLOCKS else prose)
    kept = units[: _longest(units, 0, "", [], most - size(ELLIPSIS), size)]
    return _joined(kept) + ELLIPSIS + _closing(_open_after(kept, [])) if kept else None


def pieces(text: str, most: float, size: Size, prose: Prose) -> list[str] | None:
    """Splits the text in order into pieces that each fit and are not blank.

    Returns None if a single unit does not fit, or if there would be more than `MAX_PIECES` pieces.
    """
    units = _units(text, prose)
    found: list[str] = []
    start, opening, opened = 0, "", list[str]()
    while start < len(units):
        end = _longest(units, start, opening, opened, most, size)
        if end == start or len(found) == MAX_PIECES:
            return None
        if end < len(units):
            end = _break(units, start, end)
        opened = _open_after(units[start:end], opened)
        found.append(opening + _joined(units[start:end]) + _closing(opened))
        mark = _line_mark(found[-1], units[end - 1].text) if prose in (Prose.MARKDOWN, Prose.BLOCKS) else ""
        opening = mark + "".join(opened)
        start = end
    return [piece for piece in found if piece.strip()]


def _units(text: str, prose: Prose) -> list[_Unit]:
    """Splits the text into units, which end where a character ends (UAX 29) and nothing that stays whole goes on."""
    from wcwidth import iter_graphemes  # takes a while to import, and few texts are ever cut

    tags: dict[int, str] = {}
    inside: set[int] = set()
    for whole in _WHOLES[prose].finditer(text):
        inside.update(range(whole.start() + 1, whole.end()))
        if whole.lastgroup == "tag":
            tags[whole.start()] = whole[0]
    units, start = [], 0
    for end in accumulate(map(len, iter_graphemes(text))):
        if end not in inside:
            tag = next((tags[at] for at in range(start, end) if at in tags), "") if tags else ""
            units.append(_Unit(text[start:end], tag))
            start = end
    return units


def _joined(units: Sequence[_Unit]) -> str:
    return "".join(unit.text for unit in units)


def _longest(units: Sequence[_Unit], start: int, opening: str, opened: Sequence[str], most: float, size: Size) -> int:
    """Returns where the longest run from `start` ends that fits together with the closing tags of its elements."""
    stack = list(opened)
    used = size(opening) + size(_closing(stack))
    for end in range(start, len(units)):
        used += size(units[end].text)
        if units[end].tag:
            innermost, depth = stack[-1:], len(stack)
            _follow(stack, units[end].tag)
            used += size(_closing(stack[depth:]))
            used -= size(_closing(innermost)) if len(stack) < depth else 0
        if used > most:  # what follows cannot shorten it: a closing tag is as long as the one it replaces
            return end
    return len(units)


def _follow(stack: list[str], tag: str) -> None:
    """Updates the opening tags of the open elements, outermost first."""
    if opening := _OPENING.fullmatch(tag):
        if opening[1].lower() in _ELEMENTS:
            stack.append(tag)
    elif (closing := _CLOSING.fullmatch(tag)) and stack and _name(stack[-1]) == closing[1].lower():
        stack.pop()


def _open_after(units: Sequence[_Unit], opened: Sequence[str]) -> list[str]:
    stack = list(opened)
    for unit in units:
        if unit.tag:
            _follow(stack, unit.tag)
    return stack


def _closing(stack: Sequence[str]) -> str:
    return "".join(f"</{_name(tag)}>" for tag in reversed(stack))


def _name(tag: str) -> str:
    found = _OPENING.fullmatch(tag)
    return found[1].lower() if found else ""


def _break(units: Sequence[_Unit], start: int, end: int) -> int:
    """Returns a better cut than `end` in the second half: after a line's end, or else after a space."""
    second_half = range(end, start + (end - start) // 2, -1)
    lines = (place for place in second_half if units[place - 1].text.endswith("\n"))
    spaces = (place for place in second_half if units[place - 1].text.isspace())
    return next(lines, next(spaces, end))


def _line_mark(piece: str, last: str) -> str:
    """Returns the mark of a quotation or heading that continues in the next piece."""
    if last.endswith("\n"):
        return ""
    found = _LINE_MARK.match(piece.rpartition("\n")[2])
    return found[0] if found else ""
