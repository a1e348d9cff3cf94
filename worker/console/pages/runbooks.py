"""The runbooks, as the documents have them: an operator reads what to do where the problem is shown."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from worker.console.page import ConsoleRequest, View
from worker.drawing import Lang

_HEADING = re.compile(r"(?P<words>.*?)(?: \{ #(?P<anchor>[\w-]+) \})?")
_PLACES = {"en": "docs/runbooks.md", "zh": "docs/zh/runbooks.md"}
"""In a checkout; an installed package has them below its own folder."""


def runbooks(request: ConsoleRequest) -> View:
    """Shows all runbooks; a problem leads to its own by an anchor."""
    return View.of("runbooks.html", request.term("runbooks.title"), text=runbook_page(request.viewer.lang))


@cache
def runbook_page(lang: Lang) -> Markup:
    """Returns the runbooks in a language as HTML, without the title."""
    package = Path(__file__).resolve().parents[2]
    place = next(place for folder in (package, package.parent) if (place := folder / _PLACES[lang]).is_file())
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(place.read_text(encoding="utf-8"))[3:]
    for heading, words in pairwise(tokens):
        if heading.type == "heading_open":
            _name(heading, words)
    for token in tokens:
        token.children = token.children and _without_links_to_documents(token.children)
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _name(heading: Token, words: Token) -> None:
    """Gives a heading its anchor: the one it ends with, or its words."""
    match = _HEADING.fullmatch(words.content)
    assert match is not None
    assert words.children
    heading.attrSet("id", match["anchor"] or re.sub(r"[^\w\- ]", "", match["words"].lower()).replace(" ", "-"))
    words.children[-1].content = words.children[-1].content.partition(" { #")[0]


def _without_links_to_documents(tokens: list[Token]) -> list[Token]:
    """Returns the tokens of a line without its links to other documents, which the console does not have."""
    kept, is_left_out = list[Token](), False
    for token in tokens:
        if token.type == "link_open":
            is_left_out = not str(token.attrGet("href")).startswith("#")
        if not (is_left_out and token.type in ("link_open", "link_close")):
            kept.append(token)
    return kept
