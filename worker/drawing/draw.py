"""Draws a message: its type's template, badges at changed fields, and a list of what people do not see.

It also defines how every page is escaped and styled. Its templates and style sheets are read on import. Afterwards it
uses no clock, no file, no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from worker.drawing.marks import alterations, by_path
from worker.drawing.message_view import Channel, Lang, MessageView
from worker.drawing.node import MAX_LISTED, Coverage, Node, altered_of, narrowed, plain, raw, rest
from worker.drawing.renderer import Renderer
from worker.drawing.words import Say, says

_LIKE: Mapping[str, str] = {
    **dict.fromkeys(("image", "voice", "video", "file"), "media"),
    "markdown_v2": "markdown",
    **dict.fromkeys(("mpnews", "exlink"), "news"),
    "miniprogram_notice": "miniprogram",
    **dict.fromkeys(("pop_window", "popWindow"), "window"),
    "sysMsg": "system",
}
"""Types that look like others, and the template that they share."""
_OF_NO_TYPE = frozenset({"message", "parts", "card", "campaign", "unknown", "media", "window", "system"})
"""Templates that are not named like a type."""

NO_CLASS = re.compile(r"\W")
"""Characters that no class name of the style sheet has."""
PRESSED = frozenset({"template_card", "markdown", "campaign"})
"""Templates with buttons or choices."""

CARD = frozenset({"card_type", "source", "main_title"})
NOTICE = CARD | {"action_menu", "quote_area", "horizontal_content_list", "card_action"}
CARD_FIELDS: Mapping[str, frozenset[str]] = {
    "text_notice": NOTICE | {"jump_list", "emphasis_content", "sub_title_text"},
    "news_notice": NOTICE | {"jump_list", "image_text_area", "card_image", "vertical_content_list"},
    "button_interaction": NOTICE | {"sub_title_text", "button_selection", "button_list", "replace_text"},
    "vote_interaction": CARD | {"checkbox", "submit_button", "replace_text"},
    "multiple_interaction": CARD | {"select_list", "submit_button", "replace_text"},
}
"""The fields of a card by its card_type (90236, 模板卡片消息), of a send and of an update. Others are not shown."""
NOT_FROM_WEBHOOKS = frozenset({"action_menu"})
"""Cards of webhooks do not call back (99110 消息推送配置说明)."""


def environment(package: str, folder: str = "templates") -> Environment:
    """Returns the templates of a package: escaped, strict about missing variables, and read once."""
    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


ENVIRONMENT = environment("worker.drawing")
for _name in ENVIRONMENT.list_templates():
    ENVIRONMENT.get_template(_name)
_NAMES = {name.removesuffix(".html") for name in ENVIRONMENT.list_templates()}
TEMPLATES: Mapping[str, str] = {**{name: name for name in _NAMES - _OF_NO_TYPE}, **_LIKE}
"""The template of a type, for any channel: the one named like it. A campaign has its own."""


DARK = (
    '@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{\n{0}}} }}\n'
    ':root[data-theme="dark"] {{\n{0}}}\n'
)
"""The dark colours apply if the system prefers them, or if the page's `data-theme` says so."""


def _css(name: str) -> str:
    return (files("worker.drawing") / "css" / name).read_text(encoding="utf-8")


STYLESHEET = "\n".join([_css("tokens.css"), DARK.format(_css("dark.css")), _css("layout.css"), _css("messages.css")])
"""The CSS of the design system and of messages, for one file that both pages link to.

The theme is the system's, unless `<html data-theme="light">` or `"dark"` says otherwise.
"""


def draw(shown: MessageView, lang: Lang = "zh") -> Markup:
    """Draws one `<article class="message ...">` of safe HTML, without scripts, styles and foreign pictures.

    Never raises, whatever the content is. An unknown type shows its fields.
    """
    return Markup(ENVIRONMENT.get_template("message.html").render(_page(shown, says(lang))))


def _page(shown: MessageView, say: Say) -> dict[str, Any]:
    """Returns the variables of the templates."""
    is_campaign = shown.channel == "wecom_external"
    template = "campaign" if is_campaign else TEMPLATES.get(plain(shown.msgtype), "unknown")
    sent, now = _sent(shown), _updated(shown)
    root = now or sent
    is_live = shown.actions is not None and shown.state == "shown" and template in PRESSED
    return {
        "shown": shown,
        "channel": shown.channel,
        "type": plain(shown.msgtype),
        "class_of": lambda text: NO_CLASS.sub("-", text),
        "say": say,
        "sheet": Renderer(shown, say, is_live),
        "inert": Renderer(shown, say, is_live=False),
        "root": _defined(root, shown.channel) if template == "template_card" else root,
        "before": _defined(sent, shown.channel) if now else None,
        "replacement": plain(_update(shown).get("replace_name")),
        "template": f"{template}.html",
        "is_unknown": template == "unknown",
        "tags": list(_tags(shown)),
        "alterations": list(alterations(altered_of(root), say)),
        "rest": lambda: list(rest(root)),  # called last: it lists what was not drawn before
        "most_listed": MAX_LISTED,
    }


def _sent(shown: MessageView) -> Node:
    """Returns the content. Paths in a campaign start at its body, all others at the name of the type."""
    path = "" if shown.channel == "wecom_external" else plain(shown.msgtype)
    return Node(shown.content, path, Coverage(by_path(shown.altered)))


def _defined(card: Node, channel: Channel) -> Node:
    """Returns the card with only the fields of its type. An unknown type keeps all."""
    names = CARD_FIELDS.get(str(raw(card["card_type"])))
    if names is None:
        return card
    return narrowed(card, names - NOT_FROM_WEBHOOKS if channel == "wecom_webhook" else names)


def _update(shown: MessageView) -> Mapping[str, Any]:
    return shown.update if isinstance(shown.update, Mapping) else {}


def _updated(shown: MessageView) -> Node | None:
    """Returns the card that replaced the first one."""
    card = _update(shown).get("template_card")
    return Node(card, "template_card", Coverage(by_path(_update(shown).get("altered")))) if card else None


def _tags(shown: MessageView) -> Iterator[str]:
    """Yields what stands above the message, as keys of terms."""
    if shown.state == "recalled":
        yield "recalled"
    if shown.update:
        yield "updated"
    if shown.mentioned:
        yield "mentioned"
    if shown.safe in (1, 2):
        yield f"safe_{shown.safe}"
