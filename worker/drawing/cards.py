"""Which fields a template card has by its type (90236, 模板卡片消息); a field of another type is not shown.

Does not know how they look.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.drawing.node import Node, narrowed, raw
from worker.drawing.shown import Channel

COMMON = frozenset({"card_type", "source", "main_title"})
NOTICE = COMMON | {"action_menu", "quote_area", "horizontal_content_list", "card_action"}
FIELDS: Mapping[str, frozenset[str]] = {
    "text_notice": NOTICE | {"jump_list", "emphasis_content", "sub_title_text"},
    "news_notice": NOTICE | {"jump_list", "image_text_area", "card_image", "vertical_content_list"},
    "button_interaction": NOTICE | {"sub_title_text", "button_selection", "button_list", "replace_text"},
    "vote_interaction": COMMON | {"checkbox", "submit_button", "replace_text"},
    "multiple_interaction": COMMON | {"select_list", "submit_button", "replace_text"},
}
"""By card_type, of a send and of an update."""


NOT_FROM_WEBHOOKS = frozenset({"action_menu"})
"""Their cards call nothing back (99110 消息推送配置说明)."""


def defined(card: Node, channel: Channel) -> Node:
    """The card with the fields of its type alone; of a type that is not known with all of them."""
    names = FIELDS.get(str(raw(card["card_type"])))
    if names is None:
        return card
    return narrowed(card, names - NOT_FROM_WEBHOOKS if channel == "wecom_webhook" else names)
