"""The content of every message type of webhook/send (99110 消息推送配置说明; 消息推送接口说明（内测）), by profile.

Suggested lengths are only advice: longer texts are accepted.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.settings import WebhookSettings
from worker_simulator.wecom_app.rules.cards import link, table
from worker_simulator.wecom_app.rules.findings import Findings, typed
from worker_simulator.wecom_app.rules.nested import (
    AtLeastOne,
    ByType,
    Group,
    Items,
    NoField,
    Rule,
    SingleFieldRule,
    Table,
)
from worker_simulator.wecom_app.rules.texts import CUT, TextRule
from worker_simulator.wecom_app.rules.values import Appid, Flag, MediaRule, NumberRule, Ratio, Userids

LARGEST_PICTURE = 2 << 20
PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
COLOUR = re.compile(r"#?[0-9A-Fa-f]{6}")
LITERAL = re.compile(r"<@|<font\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PictureBytes:
    """A picture in base64, and the MD5 of its bytes. Only a summary is stored in the message."""

    names: tuple[str, ...] = ("base64", "md5", "size")

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks the bytes, and replaces them by their size."""
        encoded, digest = typed(body, "base64", str, findings, path), typed(body, "md5", str, findings, path)
        try:
            picture = base64.b64decode(encoded or "", validate=True)
        except ValueError as error:  # binascii.Error is one, and so is what a letter beyond ASCII raises
            raise Refused(40009) from error
        if not picture or len(picture) > LARGEST_PICTURE or not picture.startswith(PICTURES):
            raise Refused(40009)
        if (digest or "").lower() != hashlib.md5(picture, usedforsecurity=False).hexdigest():
            raise Refused(301019)
        findings.pictures.append((str(digest), picture))
        del body["base64"]
        body["size"] = len(picture)


@dataclass(frozen=True, slots=True)
class Colour(SingleFieldRule):
    """`#RRGGBB`. The page about callbacks writes it without #."""

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks the format. A wrong one is not displayed."""
        value = typed(body, self.name, str, findings, path)
        if value is not None and not COLOUR.fullmatch(value):
            findings.alter(f"{path}.{self.name}", "unknown value")


@dataclass(frozen=True, slots=True)
class LiteralMarks:
    """markdown_v2 has no mentions and no colours: people see their syntax as text."""

    names: tuple[str, ...] = ()

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Looks for such syntax outside of code."""
        text = re.sub(r"(?s)```.*?(?:```|\Z)|`[^`\n]*`", "", str(body.get("content", "")))
        if LITERAL.search(text):
            findings.alter(f"{path}.content", "shown as typed")


ACTION = Table(
    TextRule("type", missing=40058),
    TextRule("name", missing=40058, limit=64, over=40058),
    TextRule("text", missing=40058, limit=128, over=40058),
    TextRule("value", missing=40058, limit=128, over=40058),
    TextRule("replace_text", missing=40058, limit=128, over=40058),
    Colour("border_color"),
    Colour("text_color"),
)
ATTACHMENT = Table(TextRule("callback_id", missing=40058), Items("actions", 20, 40058, ACTION, missing=40058))
MAX_ATTACHMENTS = 100
MARKDOWN = TextRule("content", missing=44004, limit=4096, over=40058)
ARTICLE = Table(
    TextRule("title", missing=41016, limit=128, over=CUT),
    TextRule("description", limit=512, over=CUT),
    TextRule("url", missing=41010),
    TextRule("picurl"),
)
COVER = Table(
    TextRule("title", missing=41016, limit=64, over=40058),
    MediaRule("pic_media_id", "file"),
    Appid(missing=40063),
    TextRule("page", missing=40063),
)


def _title(*, missing: int) -> Group:
    texts = (TextRule("title", missing, suggested=26), TextRule("desc", suggested=30))
    return Group("main_title", table(*texts), missing)


HORIZONTAL = Items(
    "horizontal_content_list",
    6,
    42035,
    table(
        TextRule("keyname", missing=42027, suggested=5),
        TextRule("value", suggested=26),
        ByType(
            {
                0: NoField(),
                1: TextRule("url", missing=42028),
                2: MediaRule("media_id", "file", missing=42029),
                3: TextRule("userid", missing=42050),
            }
        ),
    ),
)
SHARED: tuple[Rule, ...] = (
    TextRule("card_type"),
    Group("source", table(TextRule("icon_url"), TextRule("desc", suggested=13), NumberRule("desc_color"))),
    Group("quote_area", table(*link(), TextRule("title"), TextRule("quote_text"))),
    HORIZONTAL,
    Items("jump_list", 3, 42042, table(TextRule("title", missing=42033, suggested=13), *link())),
    Group("card_action", table(*link((1, 2), unknown_type=42045)), missing=42045),
)
CARDS: Mapping[str, Table] = {
    "text_notice": table(
        *SHARED,
        _title(missing=0),
        AtLeastOne(("main_title.title", "sub_title_text"), 42033),
        Group("emphasis_content", table(TextRule("title", suggested=10), TextRule("desc", suggested=15))),
        TextRule("sub_title_text", suggested=112),
    ),
    "news_notice": table(
        *SHARED,
        _title(missing=42033),
        Group(
            "card_image", table(TextRule("url", missing=42044), Ratio("aspect_ratio", 1.3, 2.25, "aspect_ratio")), 42044
        ),
        Group(
            "image_text_area", table(*link(), TextRule("title"), TextRule("desc"), TextRule("image_url", missing=42044))
        ),
        Items(
            "vertical_content_list",
            4,
            42036,
            table(TextRule("title", missing=42033, suggested=26), TextRule("desc", suggested=112)),
        ),
    ),
}
"""The cards of a webhook, by card_type."""


def check(settings: WebhookSettings, profile: str, msgtype: str, content: Json, findings: Findings) -> None:
    """Checks the content of a message type. Raises Refused if the vendor would."""
    if msgtype == "template_card":
        rules = CARDS.get(str(content.get("card_type")))
        if rules is None:
            raise Refused(42031)
    else:
        rules = tables(settings, profile).get(msgtype)
        if rules is None:
            raise Refused(40008)
    rules.check(content, msgtype, findings)


def tables(settings: WebhookSettings, profile: str) -> dict[str, Table]:
    """Returns the message types of a profile, except cards."""
    text = TextRule("content", missing=44004, limit=2048, over=settings.long_text_code)
    by_type = {
        "text": Table(text, Userids("mentioned_list"), Userids("mentioned_mobile_list")),
        "markdown": Table(MARKDOWN),
        "markdown_v2": Table(MARKDOWN, LiteralMarks()),
        "image": Table(PictureBytes()),
        "news": Table(Items("articles", 8, 45008, ARTICLE, missing=40058)),
        "file": Table(MediaRule("media_id", "file")),
        "voice": Table(MediaRule("media_id", "voice")),
    }
    if profile == "public":
        return by_type
    attachments = Items("attachments", MAX_ATTACHMENTS, 40058, ATTACHMENT)
    return {**by_type, "markdown": Table(MARKDOWN, Flag("at_short_name"), attachments), "miniprogram": COVER}
