"""Draws a message: its type's template, marks beside what was changed, and a list of what people do not see.

Reads its templates when it is loaded, and nothing afterwards: no clock, no file, no network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from worker.drawing.marks import alterations, by_place, mark
from worker.drawing.node import MOST_LISTED, Node, Trace, place_of, rest, take
from worker.drawing.shown import Lang, Shown
from worker.drawing.words import says

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Characters that no page may hold: control characters, and halves of surrogate pairs, which UTF-8 cannot write."""
TEMPLATES: Mapping[str, str] = {"text": "text.html"}
"""The template of a type, whichever channel."""
ROOTS: Mapping[str, str] = {"wecom_external": ""}
"""Where `altered` begins to count, where that is not the type."""


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("worker.drawing"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for name in made.list_templates():
        made.get_template(name)
    return made


ENVIRONMENT = _environment()


def draw(shown: Shown, lang: Lang = "zh") -> Markup:
    """One `<article class="message ...">` of safe HTML: without scripts, styles, foreign pictures and unsafe links.

    Never raises, whatever the content holds; a type that is not known shows its fields.
    """
    page = _page(shown, lang)
    drawn = ENVIRONMENT.get_template("message.html").render(page)
    return Markup(UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", drawn))


def _page(shown: Shown, lang: Lang) -> dict[str, Any]:
    say, altered = says(lang), by_place(shown.altered)
    trace = Trace(altered)
    root = Node(shown.content, ROOTS.get(shown.channel, shown.msgtype), trace)

    def text(node: Node) -> Markup:
        """A field's text with its mark."""
        return Markup('<span class="text">{}</span>{}').format(take(node), mark(altered.get(place_of(node)), say))

    return {
        "shown": shown,
        "lang": lang,
        "say": say,
        "root": root,
        "text": text,
        "template": TEMPLATES.get(shown.msgtype, "unknown.html"),
        "alterations": list(alterations(altered, say)),
        "rest": lambda: list(rest(root)),
        "most_listed": MOST_LISTED,
    }
