"""Shortens and splits text where nothing is torn: no character, link, markup tag, code or id pattern.

What cannot stand alone (a link, a piece of code, a tag) moves as one; elements that are open at a cut are closed there
and opened again in the next piece. Knows no vendor field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from worker.channels.checking.row import Prose

Size = Callable[[str], float]
"""Measures a text; additive: the size of two texts together is the sum of theirs."""

ELLIPSIS = "…"

# One character as people see it: with its accents, variation selectors, skin tones and joined emoji; flags are pairs.
_CLUSTER = (
    "(?:\r\n|[\U0001f1e6-\U0001f1ff]{2}|.)"
    "(?:[\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]|\u200d.){0,16}"
)
_ID = r"\$[A-Za-z]+=[^$\r\n]{1,128}\$"
_URL = r"https?://[!#-;=?-~]+"
_TAG = r"</?[A-Za-z][^<>]*>|<@[^<>]*>"
_ANCHOR = r"<a\b[^<>]*>.*?</a>"
_MARKDOWN = r"\[[^\[\]\n]*\]\([^()\n]*\)|`[^`\n]+`|\*\*[^*\n]+\*\*"
_SCANNERS = {
    prose: re.compile("|".join([*wholes, _ID, _URL, _CLUSTER]), re.DOTALL)
    for prose, wholes in {
        Prose.PLAIN: [],
        Prose.LINKS: [_ANCHOR, _TAG],
        Prose.HTML: [_ANCHOR, _TAG],
        Prose.MARKDOWN: [_MARKDOWN, _TAG],
    }.items()
}
_OPENING = re.compile(r"<([A-Za-z]+)\b[^<>]*(?<!/)>")
_CLOSING = re.compile(r"</([A-Za-z]+)\s*>")
_VOID = frozenset({"br", "hr", "img"})
_LINE_MARK = re.compile(r"> |#{1,6} ")


def truncated(text: str, most: float, size: Size, prose: Prose) -> str | None:
    """The longest beginning that fits with an ellipsis behind it; None when not even one unit does."""
    units = list(_SCANNERS[prose].findall(text))
    kept = units[: _longest(units, 0, "", [], most - size(ELLIPSIS), size)]
    return "".join(kept) + ELLIPSIS + _closing(_open_after(kept, [])) if kept else None


def pieces(text: str, most: float, size: Size, prose: Prose) -> list[str] | None:
    """The text in order, in pieces that each fit and say something; None when a single unit does not fit."""
    units = list(_SCANNERS[prose].findall(text))
    found: list[str] = []
    start, opening, opened = 0, "", list[str]()
    while start < len(units):
        end = _longest(units, start, opening, opened, most, size)
        if end == start:
            return None
        if end < len(units):
            end = _break(units, start, end)
        opened = _open_after(units[start:end], opened)
        found.append(opening + "".join(units[start:end]) + _closing(opened))
        opening = (_line_mark(found[-1], units[end - 1]) if prose is Prose.MARKDOWN else "") + "".join(opened)
        start = end
    return [piece for piece in found if piece.strip()]


def _longest(units: Sequence[str], start: int, opening: str, opened: Sequence[str], most: float, size: Size) -> int:
    """Where the longest run from `start` ends that fits with what closes the elements that are open there."""
    used, stack, best = size(opening), list(opened), start
    for end in range(start, len(units)):
        used += size(units[end])
        if used > most:
            break
        _follow(stack, units[end])
        if used + size(_closing(stack)) <= most:
            best = end + 1
    return best


def _follow(stack: list[str], unit: str) -> None:
    """Keeps the elements that are open: their opening tags, outermost first."""
    if opening := _OPENING.fullmatch(unit):
        if opening[1].lower() not in _VOID:
            stack.append(unit)
    elif (closing := _CLOSING.fullmatch(unit)) and stack and _name(stack[-1]) == closing[1].lower():
        stack.pop()


def _open_after(units: Sequence[str], opened: Sequence[str]) -> list[str]:
    stack = list(opened)
    for unit in units:
        _follow(stack, unit)
    return stack


def _closing(stack: Sequence[str]) -> str:
    return "".join(f"</{_name(tag)}>" for tag in reversed(stack))


def _name(tag: str) -> str:
    found = _OPENING.fullmatch(tag)
    return found[1].lower() if found else ""


def _break(units: Sequence[str], start: int, end: int) -> int:
    """A better place than `end`, in the second half: behind a line's end, else behind a space."""
    second_half = range(end, start + (end - start) // 2, -1)
    lines = (place for place in second_half if units[place - 1].endswith("\n"))
    spaces = (place for place in second_half if units[place - 1].isspace())
    return next(lines, next(spaces, end))


def _line_mark(piece: str, last: str) -> str:
    """The mark of a quotation or heading that goes on in the next piece."""
    if last.endswith("\n"):
        return ""
    found = _LINE_MARK.match(piece.rpartition("\n")[2])
    return found[0] if found else ""
