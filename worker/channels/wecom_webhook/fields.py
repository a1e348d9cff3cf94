"""The vendor's field tables as rows of data, which of them a message is held against, and where each type may go.

Source: page 99110 消息推送配置说明 (read 2026-02-12) for the group robot, and 消息推送接口说明（内测） (2025/09/30) for
message push. Bytes are of the UTF-8 text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking.foreign import OFF, Foreign
from worker.channels.checking.paths import SPLIT_FIELD, contents
from worker.channels.checking.row import Effect, Either, FieldRule, Prose, Row
from worker.channels.wecom.card_fields import (
    CARD_IMAGE,
    CARD_TYPE,
    IMAGE_TEXT_AREA,
    NOTICE_ACTION,
    QUOTE_AREA,
    SOURCE_COLOR,
    Rows,
    emphasis,
    horizontal,
    jumps,
    source,
    vertical,
)
from worker.channels.wecom.upload import MB, UPLOADS as SHARED, UploadRule
from worker.domain.content.message import INLINE

R = FieldRule
CUT = Effect.CUT

ROBOT, PUSH = "robot", "push"
EDITIONS = (ROBOT, PUSH)
"""The public group robot (群机器人), and message push (消息推送, 内测)."""

COLOUR = r"#[0-9A-Fa-f]{6}"
"""A colour as the send page writes it; the callback page leaves the # out of its passive replies."""

_ONLY_PUSH = 'only message push has it (edition = "push")'


def _media(name: str, kind: str) -> FieldRule:
    return R(name, required=True, media=kind, missing=41006, code=40007, more=(40145,))


_MARKDOWN_CONTENT = R("content", required=True, max_bytes=4096, missing=44004, code=40058, prose=Prose.MARKDOWN)
_BOTH: Mapping[str, tuple[Row, ...]] = {
    "text": (
        # Which code an over-long text draws is not published: 40058 as with markdown, or 45002.
        R("content", required=True, max_bytes=2048, missing=44004, code=40058, more=(45002,), prose=Prose.LINKS),
        R("mentioned_list", list, strings=True),
        R("mentioned_mobile_list", list, strings=True),
    ),
    "markdown_v2": (_MARKDOWN_CONTENT,),
    # The worker makes both out of a file; a body that brings them itself is refused: they would stand in the job's row.
    "image": (
        R("base64", required=True, missing=40009, code=40009, more=(93018,)),
        R("md5", banned="it is made of the file"),
    ),
    "news": (
        R("articles", list, required=True, entries=(1, 8), code=45008),
        R("articles[].title", required=True, max_bytes=128, effect=CUT, missing=41016, prose=Prose.PLAIN),
        R("articles[].description", max_bytes=512, effect=CUT, prose=Prose.PLAIN),
        R("articles[].url", required=True, missing=41010),  # the page's own sample has no scheme
        R("articles[].picurl"),
    ),
    "file": (_media("media_id", "file"),),
    "voice": (_media("media_id", "voice"),),
}
_ROBOT_ALONE: Mapping[str, tuple[Row, ...]] = {
    "markdown": (
        _MARKDOWN_CONTENT,
        R("at_short_name", bool, banned=_ONLY_PUSH),
        R("attachments", list, banned=_ONLY_PUSH),
    ),
}
_PUSH_ALONE: Mapping[str, tuple[Row, ...]] = {
    "markdown": (
        _MARKDOWN_CONTENT,
        R("at_short_name", bool),
        R("attachments", list, entries=(1, 100), note="how many are taken is not published"),
        # The vendor requires it; the worker sends its own, which finds the part again, and keeps the caller's.
        R("attachments[].callback_id", unique=True),
        R("attachments[].actions", list, required=True, entries=(1, 20)),
        R("attachments[].actions[].type", required=True, charset="button"),
        R("attachments[].actions[].name", required=True, max_bytes=64),
        R("attachments[].actions[].text", required=True, max_bytes=128),
        R("attachments[].actions[].value", required=True, max_bytes=128),
        R("attachments[].actions[].replace_text", required=True, max_bytes=128),
        R("attachments[].actions[].border_color", charset=COLOUR),
        R("attachments[].actions[].text_color", charset=COLOUR),
    ),
    # The page of message push alone has it. A cover is "an image file" of webhook/upload_media, which knows file and
    # voice.
    "miniprogram": (
        R("title", required=True, max_bytes=64, missing=41016, code=40058, prose=Prose.PLAIN),
        _media("pic_media_id", "file"),
        R("appid", required=True, missing=40063),
        R("page", required=True, missing=40063),
    ),
}
BODIES: Mapping[str, Mapping[str, tuple[Row, ...]]] = {ROBOT: {**_BOTH, **_ROBOT_ALONE}, PUSH: {**_BOTH, **_PUSH_ALONE}}
"""Edition -> msgtype -> rows. A type not listed goes out as it is (`Raw`)."""

ENVELOPE_FIELDS = ("post_id", "visible_to_user")
"""What may stand beside the type's own object."""
OURS = frozenset({"chatid", "msgtype"})
"""Envelope fields only the worker sets."""

_MENTIONS = "mention by <@userid> in the content: only a text has lists"
_NO_CHECK = "leave it out: a webhook has none; a dedupe_key keeps a job from being enqueued twice"
_NO_BUTTONS = "leave it out: a webhook's card has no buttons and calls nobody back"
_NO_SWITCH = "leave it out: it belongs to an application's message"
FOREIGN = (
    Foreign("safe", OFF, _NO_SWITCH),
    Foreign("enable_id_trans", OFF, _NO_SWITCH),
    Foreign("enable_duplicate_check", OFF, _NO_CHECK),
    Foreign("duplicate_check_interval", (0, 1800), _NO_CHECK),
    *(
        Foreign(f"{kind}.{name}", ([],), _MENTIONS)
        for kind in ("markdown", "markdown_v2")
        for name in ("mentioned_list", "mentioned_mobile_list")
    ),
    Foreign("template_card.task_id", ("",), _NO_BUTTONS),
    Foreign("template_card.action_menu", ({},), _NO_BUTTONS),
)
"""What SDKs of applications write, and the lists of a text that are written beside a markdown."""


def _title(*, required: bool) -> Rows:
    return (
        R("main_title", dict, required=True, missing=42033),
        R("main_title.title", required=required, advised=26, missing=42033),
        R("main_title.desc", advised=30),
    )


_CARD = (
    *(CARD_TYPE, *source(13), SOURCE_COLOR, *QUOTE_AREA),
    *(*horizontal(26), *jumps(13), *NOTICE_ACTION),
)
CARDS: Mapping[str, Rows] = {
    "text_notice": (
        *_CARD,
        *_title(required=False),
        *emphasis(10, 15),
        R("sub_title_text", advised=112),
        Either(("main_title.title", "sub_title_text"), 42033),
    ),
    "news_notice": (
        *_CARD,
        *_title(required=True),
        *(R("card_image", dict, required=True, missing=42044), *CARD_IMAGE, *IMAGE_TEXT_AREA),
        *vertical(26, 112),
    ),
}
"""Rows of the two template cards (page 99110, 模版卡片类型), by card_type; the lengths are not an application's."""
CARD_TYPES = tuple(CARDS)

AUDIENCES: Mapping[str, str] = {"groups": "@all_group", "blackboards": "@all_blackboard", "all": "@all"}
"""`Everyone(...)` -> the vendor's word."""

AUDIENCES_OF: Mapping[str, tuple[str, ...]] = {
    "text": ("groups", "all"),
    "markdown": ("groups", "blackboards", "all"),
    **dict.fromkeys(("markdown_v2", "image", "news"), ("groups", "all")),
    **dict.fromkeys(("miniprogram", "file", "voice", "template_card"), ("groups",)),
}
"""The audiences that a type may be broadcast to."""
GROUPS_ALONE = ("markdown_v2", "image", "news")
"""Types with which `@all` reaches groups only."""

BLACKBOARD_TYPES = ("text", "markdown", "image")
"""Types that a blackboard takes by its id."""
POST_TYPES = ("text", "markdown")
"""Types that can answer under a post (`post_id`)."""
VISIBLE_TYPES = ("text", "markdown", "markdown_v2", "image", "news")
"""Types that can be shown to some members only (`visible_to_user`); the first two on blackboards too."""
UNADDRESSED = ("miniprogram", "file", "voice", "template_card")
"""Types whose section shows no chatid. Were it ignored, the message would go to every group."""
ALL_TYPES = tuple(AUDIENCES_OF)

UPLOADS: Mapping[str, UploadRule] = {
    "file": UploadRule(20 * MB, "any"),
    "voice": SHARED["voice"],
    INLINE: UploadRule(2 * MB, "JPG or PNG", SHARED["image"].starts),
}
"""`inline` is never uploaded: a picture's bytes stand in the message itself, as base64 (40009, 93018)."""

SPLIT_TYPES = ("text", "markdown", "markdown_v2")


def body_rows(edition: str, msgtype: str, content: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a type, of a card by its card_type; none for what we do not model."""
    if msgtype == "template_card":
        return CARDS.get(str(content.get("card_type")), ())
    return BODIES.get(edition, {}).get(msgtype, ())


def texts(document: Mapping[str, Any]) -> Iterator[str]:
    """What is read as text or markdown."""
    for content in contents(document):
        if isinstance(text := content.get(SPLIT_FIELD), str):
            yield text
