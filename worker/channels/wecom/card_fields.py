"""Rows of the parts that cards of applications (page 90236) and of webhooks (page 99110) have in common.

The parts are the same objects; each caller brings the lengths that its page suggests. Those only warn: clients shorten
what is longer, and no error is documented. Only applications have ids translated.
"""

from __future__ import annotations

from worker.channels.checking.row import FieldRule, Row

R = FieldRule
Rows = tuple[Row, ...]
LINK_TYPES = (0, 1, 2)

CARD_TYPE = R("card_type", required=True, code=42031)


def links(parent: str) -> Rows:
    """The rows of an object with `type` 1 (url) or 2 (mini program)."""
    return (
        R(f"{parent}.url", when=("type", 1), code=42028),
        R(f"{parent}.appid", when=("type", 2), code=42030),
        R(f"{parent}.pagepath"),
    )


def source(desc: int, *, translated: bool = False) -> Rows:
    """The line at the top, without its colour."""
    return (R("source", dict), R("source.icon_url"), R("source.desc", advised=desc, translated=translated))


SOURCE_COLOR = R("source.desc_color", int, allowed=(0, 1, 2, 3))
QUOTE_AREA = (
    R("quote_area", dict),
    R("quote_area.type", int, allowed=LINK_TYPES),
    *links("quote_area"),
    R("quote_area.title"),
    R("quote_area.quote_text"),
)
IMAGE_TEXT_AREA = (
    R("image_text_area", dict),
    R("image_text_area.type", int, allowed=LINK_TYPES),
    *links("image_text_area"),
    R("image_text_area.title"),
    R("image_text_area.desc"),
    R("image_text_area.image_url", required=True),
)
CARD_IMAGE = (
    R("card_image.url", required=True, code=42044),
    R("card_image.aspect_ratio", float, between=(1.3, 2.25), note="the page allows 1.3 to 2.25"),
)
"""The fields of `card_image`; whether the object has to be there differs."""
NOTICE_ACTION = (
    R("card_action", dict, required=True, code=42045),
    R("card_action.type", int, required=True, allowed=(1, 2), code=42045),
    *links("card_action"),
)


def emphasis(title: int, desc: int) -> Rows:
    """The figure of a text notice."""
    return (
        R("emphasis_content", dict),
        R("emphasis_content.title", advised=title),
        R("emphasis_content.desc", advised=desc),
    )


def vertical(title: int, desc: int) -> Rows:
    """The blocks of text of a news notice."""
    return (
        R("vertical_content_list", list, entries=(0, 4), code=42036),
        R("vertical_content_list[].title", required=True, advised=title, code=42033),
        R("vertical_content_list[].desc", advised=desc),
    )


def horizontal(value: int, *, translated: bool = False) -> Rows:
    """The lines of key and value."""
    return (
        R("horizontal_content_list", list, entries=(0, 6), code=42035),
        R("horizontal_content_list[].type", int, allowed=(0, 1, 2, 3)),
        R("horizontal_content_list[].keyname", required=True, advised=5, code=42027),
        R("horizontal_content_list[].value", advised=value, translated=translated),
        R("horizontal_content_list[].url", when=("type", 1), code=42028),
        R("horizontal_content_list[].media_id", when=("type", 2), media="file", code=42029),
        R("horizontal_content_list[].userid", when=("type", 3), code=42050),
    )


def jumps(title: int) -> Rows:
    """The links below the card."""
    return (
        R("jump_list", list, entries=(0, 3), code=42042),
        R("jump_list[].type", int, allowed=LINK_TYPES),
        R("jump_list[].title", required=True, advised=title, code=42033),
        *links("jump_list[]"),
    )
