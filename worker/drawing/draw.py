"""Draws a message: its type's template, marks beside what was changed, and a list of what people do not see.

Reads its templates when it is loaded, and nothing afterwards: no clock, no file, no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from worker.drawing.cards import defined
from worker.drawing.marks import alterations, by_place
from worker.drawing.node import MOST_LISTED, Node, Trace, clean, plain, raw, rest
from worker.drawing.sheet import Sheet
from worker.drawing.shown import Lang, Shown
from worker.drawing.words import says

TEMPLATES: Mapping[str, str] = {
    **{name: name for name in ("text", "textcard", "news", "template_card", "link", "sms", "mail", "badge")},
    **dict.fromkeys(("image", "voice", "video", "file"), "media"),
    **dict.fromkeys(("markdown", "markdown_v2"), "markdown"),
    **dict.fromkeys(("mpnews", "exlink"), "news"),
    **dict.fromkeys(("miniprogram_notice", "miniprogram"), "miniprogram"),
    **dict.fromkeys(("pop_window", "popWindow"), "window"),
    "sysMsg": "system",
}
"""The template of a type, whichever channel; a campaign has one of its own."""

PRESSED = frozenset({"template_card", "markdown", "campaign"})
"""Templates with something to press."""


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
    return Markup(ENVIRONMENT.get_template("message.html").render(_page(shown, lang)))


def _page(shown: Shown, lang: Lang) -> dict[str, Any]:
    say, msgtype, update = says(lang), plain(shown.msgtype), shown.update if isinstance(shown.update, Mapping) else {}
    is_campaign = shown.channel == "wecom_external"
    replaced = update.get("template_card")
    altered = by_place((update.get("altered") or ()) if replaced else shown.altered)
    sent = Node(shown.content, "" if is_campaign else msgtype, Trace(by_place(shown.altered)))
    root = Node(replaced, "template_card", Trace(altered)) if replaced else sent
    template = "campaign" if is_campaign else TEMPLATES.get(msgtype, "unknown")
    is_live = shown.actions is not None and shown.state == "shown" and template in PRESSED
    return {
        "shown": shown,
        "channel": shown.channel,
        "type": msgtype,
        "type_class": re.sub(r"\W", "-", msgtype),
        "say": say,
        "sheet": Sheet(shown, say, is_live),
        "inert": Sheet(shown, say, is_live=False),
        "root": defined(root) if template == "template_card" else root,
        "before": defined(sent) if replaced else None,
        "replacement": clean(str(update.get("replace_name") or "")),
        "template": f"{template}.html",
        "is_unknown": template == "unknown",
        "tags": list(_tags(shown)),
        "alterations": list(alterations(altered, say)),
        "rest": lambda: list(rest(root)),
        "most_listed": MOST_LISTED,
        "card_class": lambda card: re.sub(r"\W", "-", plain(raw(card["card_type"]))),
    }


def _tags(shown: Shown) -> Iterator[str]:
    """What stands above the message, as words to say."""
    if shown.state == "recalled":
        yield "recalled"
    if shown.update:
        yield "updated"
    if shown.mentioned:
        yield "mentioned"
    if shown.safe in (1, 2):
        yield f"safe_{shown.safe}"
