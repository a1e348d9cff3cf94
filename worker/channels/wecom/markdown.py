"""Markup that clients show as it is typed, by the lists of the pages 90236 (markdown消息) and 99110 (both types)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from worker.channels.checking.blocks import blocks, inline_code, without_code, without_fences

_PICTURE = re.compile(r"!\[[^\[\]\n]*\]\([^()\n]*\)")
_LIST = re.compile(r"^ *(?:[-+*]|[0-9]+\.) ", re.MULTILINE)
_HEADING = (
    re.compile(r"^ {0,3}(?:#{1,6}(?=[^#\s])|#{7})", re.MULTILINE),
    "holds a heading without a blank behind its 1 to 6 #, shown as typed",
)
_STRUCK = (re.compile(r"~~[^~\n]+~~"), "holds ~~struck text~~, shown as typed")
_SHOWN_AS_TYPED: Mapping[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "markdown": (
        (
            re.compile(r"<font\b(?!\s+color\s*=\s*[\"']?(?:info|comment|warning)[\"']?\s*>)", re.IGNORECASE),
            "holds a font besides the colours info, comment and warning, shown as typed",
        ),
        _HEADING,
        (
            re.compile(r"</?(?!font\b)[A-Za-z][^<>]*>", re.IGNORECASE),
            "holds an HTML tag besides <font>, shown as typed",
        ),
        (re.compile(r"(?<![*\w])\*(?![*\s])[^*\n]+\*(?![*\w])"), "holds *italics*, shown as typed"),
        _STRUCK,
        (re.compile(r"^ {0,3}(?:-{3,}|\*{3,}|_{3,}) *$", re.MULTILINE), "holds a rule of ---, shown as typed"),
    ),
    "markdown_v2": (
        _HEADING,
        (re.compile(r"</?(?!font\b)[A-Za-z][^<>]*>", re.IGNORECASE), "holds an HTML tag, shown as typed"),
        _STRUCK,
    ),
}


def cautions(msgtype: str, text: str) -> Iterator[str]:
    """A sentence for each sort of markup in a text that its type does not have."""
    prose = without_code(text)
    if msgtype == "markdown":
        if any(block.whole for block in blocks(text)) or _PICTURE.search(prose) or _LIST.search(prose):
            yield "holds a table, code block, list or picture, shown as typed; only a robot's markdown_v2 has them"
        code = without_fences(text)
        if any("\n" in code[start:end] for start, end in inline_code(code)):
            yield "holds code over two lines, shown as typed"
    yield from (sentence for pattern, sentence in _SHOWN_AS_TYPED.get(msgtype, ()) if pattern.search(prose))
