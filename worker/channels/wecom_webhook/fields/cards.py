"""Rows of the two template cards of a webhook (page 99110, 模版卡片类型); they have no callbacks and no updates.

"Suggested" lengths only warn: clients shorten what is longer, and no error is documented. They are not those of an
application's cards.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.checking.row import Either, FieldRule, Row

R = FieldRule
Rows = tuple[Row, ...]
LINK_TYPES = (0, 1, 2)

CARD_TYPE = R("card_type", required=True, code=42031)


def _links(parent: str) -> Rows:
    """The rows of an object with `type` 1 (url) or 2 (mini program)."""
    return (
        R(f"{parent}.url", when=("type", 1), code=42028),
        R(f"{parent}.appid", when=("type", 2), code=42030),
        R(f"{parent}.pagepath"),
    )


def _title(*, required: bool) -> Rows:
    return (
        R("main_title", dict, required=True, missing=42033),
        R("main_title.title", required=required, advised=26, missing=42033),
        R("main_title.desc", advised=30),
    )


_SOURCE = (
    R("source", dict),
    R("source.icon_url"),
    R("source.desc", advised=13),
    R("source.desc_color", int, allowed=(0, 1, 2, 3)),
)
_QUOTE_AREA = (
    R("quote_area", dict),
    R("quote_area.type", int, allowed=LINK_TYPES),
    *_links("quote_area"),
    R("quote_area.title"),
    R("quote_area.quote_text"),
)
_EMPHASIS = (
    R("emphasis_content", dict),
    R("emphasis_content.title", advised=10),
    R("emphasis_content.desc", advised=15),
)
_PICTURES = (
    R("card_image", dict, required=True, missing=42044),
    R("card_image.url", required=True, missing=42044),
    R("card_image.aspect_ratio", float, between=(1.3, 2.25), note="the page allows 1.3 to less than 2.25"),
    R("image_text_area", dict),
    R("image_text_area.type", int, allowed=LINK_TYPES),
    *_links("image_text_area"),
    R("image_text_area.title"),
    R("image_text_area.desc"),
    R("image_text_area.image_url", required=True),
)
_VERTICAL = (
    R("vertical_content_list", list, entries=(0, 4), code=42036),
    R("vertical_content_list[].title", required=True, advised=26, missing=42033),
    R("vertical_content_list[].desc", advised=112),
)
_HORIZONTAL = (
    R("horizontal_content_list", list, entries=(0, 6), code=42035),
    R("horizontal_content_list[].type", int, allowed=(0, 1, 2, 3)),
    R("horizontal_content_list[].keyname", required=True, advised=5, missing=42027),
    R("horizontal_content_list[].value", advised=26),
    R("horizontal_content_list[].url", when=("type", 1), code=42028),
    R("horizontal_content_list[].media_id", when=("type", 2), media="file", code=42029),
    R("horizontal_content_list[].userid", when=("type", 3), code=42050),
)
_JUMPS = (
    R("jump_list", list, entries=(0, 3), code=42042),
    R("jump_list[].type", int, allowed=LINK_TYPES),
    R("jump_list[].title", required=True, advised=13, missing=42033),
    *_links("jump_list[]"),
)
_CARD_ACTION = (
    R("card_action", dict, required=True, missing=42045),
    R("card_action.type", int, required=True, allowed=(1, 2), missing=42045, code=42045),
    *_links("card_action"),
)
_SHARED = (CARD_TYPE, *_SOURCE, *_QUOTE_AREA, *_HORIZONTAL, *_JUMPS, *_CARD_ACTION)

CARDS: Mapping[str, Rows] = {
    "text_notice": (
        *_SHARED,
        *_title(required=False),
        *_EMPHASIS,
        R("sub_title_text", advised=112),
        Either(("main_title.title", "sub_title_text"), 42033),
    ),
    "news_notice": (*_SHARED, *_title(required=True), *_PICTURES, *_VERTICAL),
}
"""Rows of a card, by card_type."""
CARD_TYPES = tuple(CARDS)
