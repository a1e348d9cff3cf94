"""The messages of a WeCom webhook (企业微信 消息推送, 群机器人), typed.

A class says all that the vendor's page says of its type: the fields with their limits, and where it may go. They only
hold and lay out values; `check.py` says what is wrong with them, all at once. A `repr` or a validation error of these
types never shows a value: what stands in them is message text.

Sources of every limit: page 99110 消息推送配置说明 (read 2026-02-12) and 消息推送接口说明（内测） (2025/09/30). Bytes
are of the UTF-8 text: a Chinese character takes three.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from worker.channels.checking.row import AnyOf, Effect, FieldRule, Prose, R, Row
from worker.channels.reading import CARD, BodyReader, object_of, text_in
from worker.channels.typed import NO_FILE, Attached, PlainMessage, VendorObject
from worker.channels.wecom.cards import (
    Card,
    CardAction,
    CardImage,
    CardSource,
    EmphasisContent,
    HorizontalContent,
    ImageTextArea,
    Jump,
    MainTitle,
    Notice,
    QuoteArea,
    VerticalContent,
    VerticalContents,
)
from worker.channels.wecom.markdown import MARKDOWN, MARKDOWN_V2
from worker.domain.content.message import INLINE, File, Message
from worker.domain.content.recipient import Everyone, Recipients
from worker.domain.errors import CheckFailed, Problem

__all__ = [
    "Action",
    "Article",
    "Attachment",
    "CardAction",
    "CardImage",
    "CardSource",
    "EmphasisContent",
    "FileMessage",
    "HorizontalContent",
    "Image",
    "ImageTextArea",
    "Jump",
    "MainTitle",
    "Markdown",
    "MarkdownV2",
    "MiniProgram",
    "News",
    "NewsNoticeCard",
    "QuoteArea",
    "Text",
    "TextNoticeCard",
    "VerticalContent",
    "Voice",
    "message_from_json",
    "message_to_json",
    "recipients_from_json",
]

COLOUR = r"#[0-9A-Fa-f]{6}"
"""A colour as the send page writes it; the callback page leaves the # out of its passive replies."""


def _media(kind: str) -> FieldRule:
    return R(required=True, media=kind, missing=41006, code=40007, more=(40145,))


class WebhookMessage(PlainMessage):
    """Base of the messages a webhook posts. The vendor gives no msgid: none can be recalled, updated or asked about.

    What stands beside the type's own object (`ENVELOPE`) is message push's only: `post_id` where the type can answer
    under a post, `visible_to_user` where it can be shown to some members only.
    """

    ONLY_PUSH: ClassVar[tuple[str, ...] | None] = ()
    """Fields that only message push has; None: all of the type."""
    AUDIENCES: ClassVar[tuple[str, ...]] = ("groups",)
    """To whom it may be broadcast. Groups alone stands for a section that shows no chatid."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; the members who see a message are joined by bars, as the vendor has them."""
        out = super().document()
        if isinstance(seen := out["body"].get("visible_to_user"), list):
            out["body"]["visible_to_user"] = "|".join(seen)
        return out


Members = list[str] | str
"""Userids as a list, or joined by bars as the vendor has them."""


class Text(WebhookMessage):
    """A text message (文本类型)."""

    msgtype: ClassVar[str] = "text"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("post_id", "visible_to_user")
    AUDIENCES: ClassVar[tuple[str, ...]] = ("groups", "all")

    # Which code an over-long text draws is not published: 40058 as with markdown, or 45002.
    content: Annotated[str, R(max_bytes=2048, missing=44004, code=40058, more=(45002,), prose=Prose.LINKS)]
    """1 to 2048 bytes of UTF-8 (44004, 40058); `<@userid>` mentions a member."""
    mentioned_list: list[str] | None = None
    """Userids to mention, or `@all`; not on blackboards."""
    mentioned_mobile_list: list[str] | None = None
    """Phone numbers to mention, for who has no userids, or `@all`; not on blackboards."""
    post_id: Annotated[str | None, R(neutral=True)] = None
    """Message push: answers under this post (`bp...`); only with exactly one blackboard."""
    visible_to_user: Members | None = None
    """Message push: only these members see it; only with exactly one group or blackboard."""

    if TYPE_CHECKING:  # its content may stand without the name

        def __init__(
            self,
            content: str,
            *,
            mentioned_list: list[str] | None = None,
            mentioned_mobile_list: list[str] | None = None,
            post_id: str | None = None,
            visible_to_user: Members | None = None,
        ) -> None: ...


class Action(VendorObject):
    """One button below a markdown message."""

    name: Annotated[str, R(max_bytes=64)]
    """Required, at most 64 bytes; comes back with the click. Unlike the others of its attachment."""
    text: Annotated[str, R(max_bytes=128)]
    """Required, at most 128 bytes: its label."""
    value: Annotated[str, R(max_bytes=128)]
    """Required, at most 128 bytes; comes back with the click."""
    replace_text: Annotated[str, R(max_bytes=128)]
    """Required, at most 128 bytes: shown in its place after the click."""
    type: Annotated[str, R(required=True, charset="button")] = "button"
    """There is no other."""
    border_color: Annotated[str | None, R(charset=COLOUR, neutral=True)] = None
    """`#RRGGBB`."""
    text_color: Annotated[str | None, R(charset=COLOUR, neutral=True)] = None
    """`#RRGGBB`."""


class Attachment(VendorObject):
    """A row of buttons below a markdown message; a click calls back (`on_card_action`)."""

    actions: Annotated[list[Action], R(entries=(1, 20))]
    """Required, 1 to 20."""
    # The vendor requires it; the worker sends its own, which finds the part again, and keeps the caller's.
    callback_id: Annotated[str | None, R(unique=True, neutral=True)] = None
    """Your own name for it; it is kept in the job, and a click says it again as `task_id`."""


class Markdown(WebhookMessage):
    """A markdown message (markdown类型).

    Headings, `**bold**`, links, inline code, `> quote`, `<font color="info|comment|warning">`, `<@userid>`.
    """

    msgtype: ClassVar[str] = "markdown"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("post_id", "visible_to_user")
    AUDIENCES: ClassVar[tuple[str, ...]] = ("groups", "blackboards", "all")
    ONLY_PUSH: ClassVar[tuple[str, ...] | None] = ("at_short_name", "attachments")

    content: Annotated[str, R(max_bytes=4096, missing=44004, code=40058, prose=Prose.MARKDOWN, as_typed=MARKDOWN)]
    """1 to 4096 bytes of UTF-8 (44004, 40058)."""
    at_short_name: bool | None = None
    """Message push: mentions show the short name."""
    attachments: Annotated[
        list[Attachment] | None, R(entries=(1, 100), neutral=True, note=("the largest number is not published"))
    ] = None
    """Message push: buttons."""
    post_id: Annotated[str | None, R(neutral=True)] = None
    """Message push: answers under this post (`bp...`); only with exactly one blackboard."""
    visible_to_user: Members | None = None
    """Message push: only these members see it; only with exactly one group or blackboard."""

    if TYPE_CHECKING:  # its content may stand without the name

        def __init__(
            self,
            content: str,
            *,
            at_short_name: bool | None = None,
            attachments: list[Attachment] | None = None,
            post_id: str | None = None,
            visible_to_user: Members | None = None,
        ) -> None: ...


class MarkdownV2(WebhookMessage):
    """A markdown_v2 message (markdown_v2类型).

    Also italics, lists, pictures, rules, fenced code and tables, but no colours and no `<@userid>`. Clients before
    4.1.36 (Android 4.1.38) show it as plain text. Not for blackboards.
    """

    msgtype: ClassVar[str] = "markdown_v2"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("visible_to_user",)
    AUDIENCES: ClassVar[tuple[str, ...]] = ("groups", "all")

    content: Annotated[str, R(max_bytes=4096, missing=44004, code=40058, prose=Prose.BLOCKS, as_typed=MARKDOWN_V2)]
    """1 to 4096 bytes of UTF-8 (44004, 40058)."""
    visible_to_user: Members | None = None
    """Message push: only these members see it; only with exactly one group."""

    if TYPE_CHECKING:  # its content may stand without the name

        def __init__(
            self,
            content: str,
            *,
            visible_to_user: Members | None = None,
        ) -> None: ...


class Image(WebhookMessage):
    """An image message (图片类型) from a file; the worker puts its base64 and md5 into the call."""

    msgtype: ClassVar[str] = "image"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("post_id", "visible_to_user")
    AUDIENCES: ClassVar[tuple[str, ...]] = ("groups", "all")
    UPLOADED: ClassVar[tuple[str, str] | None] = ("base64", INLINE)
    # The worker makes both out of a file; a body that brings them itself is refused: they would stand in the job's row.
    ROWS: ClassVar[tuple[Row, ...]] = (
        R("base64", required=True, missing=40009, code=40009, more=(93018,)),
        R("md5", banned="it is made of the file"),
    )

    file: Attached | None = NO_FILE
    """Required: JPG or PNG, at most 2 MB (40009, 93018)."""
    post_id: Annotated[str | None, R(neutral=True)] = None
    """Message push: answers under this post (`bp...`); only with exactly one blackboard. The vendor's change log has
    it, the table of images does not, so it is warned about."""
    visible_to_user: Members | None = None
    """Message push: only these members see it; only with exactly one group."""

    @classmethod
    def fields_of(cls, content: Any) -> Mapping[str, Any] | None:
        """See `VendorMessage.fields_of`. The picture in a body becomes a file. Its MD5 has to be that of the bytes."""
        if not isinstance(content, Mapping):
            return None
        others = {name: value for name, value in content.items() if name not in ("base64", "md5")}
        if not content.get("base64"):  # an application's body has a media_id; without both, the check misses the file
            return others
        try:
            picture = base64.b64decode(content["base64"], validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise CheckFailed([Problem("image.base64", "is not Base64", "encode the picture's bytes")]) from None
        if str(content.get("md5")).lower() != hashlib.md5(picture, usedforsecurity=False).hexdigest():
            text = "is not that of the picture (vendor code 301019)"
            raise CheckFailed([Problem("image.md5", text, "take the MD5 of the bytes before Base64, in hex")])
        return {**others, "file": File(picture, "image")}


class Article(VendorObject):
    """One article of a news message."""

    title: Annotated[str, R(max_bytes=128, effect=Effect.CUT, missing=41016, prose=Prose.PLAIN)]
    """Required (41016). At most 128 bytes. Longer: cut."""
    description: Annotated[str | None, R(max_bytes=512, effect=Effect.CUT, prose=Prose.PLAIN)] = None
    """At most 512 bytes. Longer: cut."""
    url: Annotated[str, R(missing=41010)]  # the page's own sample has no scheme
    """Required (41010), with its scheme (40094, 45034)."""
    picurl: str | None = None
    """JPG or PNG; 1068x455 for the large picture, 150x150 for small ones."""


class News(WebhookMessage):
    """A news message (图文类型)."""

    msgtype: ClassVar[str] = "news"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("visible_to_user",)
    AUDIENCES: ClassVar[tuple[str, ...]] = ("groups", "all")

    articles: Annotated[list[Article], R(entries=(1, 8), code=45008)]
    """Required, 1 to 8 (45008)."""
    visible_to_user: Members | None = None
    """Message push: only these members see it; only with exactly one group."""


class MiniProgram(WebhookMessage):
    """A mini program (小程序类型); message push only."""

    msgtype: ClassVar[str] = "miniprogram"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("pic_media_id", "file")
    ONLY_PUSH: ClassVar[tuple[str, ...] | None] = None  # the page of message push alone has it

    title: Annotated[str, R(max_bytes=64, missing=41016, code=40058, prose=Prose.PLAIN)]
    """Required. At most 64 bytes."""
    appid: Annotated[str, R(missing=40063)]
    """Required: a mini program linked to the corp."""
    page: Annotated[str, R(missing=40063)]
    """Required: its page, such as `/path/index.html`."""
    # A cover is "an image file" of webhook/upload_media, which knows file and voice.
    pic_media_id: Annotated[str | None, _media("file")] = None
    """Of a `file` upload of this key that is a picture; required, or a file."""
    file: Attached | None = NO_FILE
    """The cover; 520x416 suggested."""


class FileMessage(WebhookMessage):
    """A file message (文件类型); members see the name the file was uploaded under."""

    msgtype: ClassVar[str] = "file"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "file")

    media_id: Annotated[str | None, _media("file")] = None
    """Of a `file` upload of this key, at most 3 days old. Missing: 41006; unknown, old or another key's: 40007."""
    file: Attached | None = NO_FILE
    """Any format, more than 5 bytes, at most 20 MB."""


class Voice(WebhookMessage):
    """A voice message (语音类型)."""

    msgtype: ClassVar[str] = "voice"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "voice")

    media_id: Annotated[str | None, _media("voice")] = None
    """Of a `voice` upload of this key, at most 3 days old. Missing: 41006; unknown, old or another key's: 40007."""
    file: Attached | None = NO_FILE
    """AMR, more than 5 bytes, at most 2 MB and 60 s. Wrong: 301016, 301017, 45007."""


class WebhookCard(Notice):
    """Base of the two template cards (page 99110, 模版卡片类型); the lengths are not an application's."""

    main_title: Annotated[MainTitle, R(missing=42033)]
    """Required."""

    CHANGES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "source.desc": {"advised": 13},
        "main_title.title": {"advised": 26, "missing": 42033},
        "main_title.desc": {"advised": 30},
        "horizontal_content_list[].value": {"advised": 26},
        "jump_list[].title": {"advised": 13},
    }


class TextNoticeCard(WebhookCard):
    """A text notice (文本通知模版卡片)."""

    card_type: ClassVar[str] = "text_notice"
    ROWS: ClassVar[tuple[Row, ...]] = (AnyOf(("main_title.title", "sub_title_text"), 42033),)
    CHANGES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "main_title.title": {"required": False},
        "emphasis_content.title": {"advised": 10},
        "emphasis_content.desc": {"advised": 15},
    }

    emphasis_content: EmphasisContent | None = None
    """The figure it is about."""
    sub_title_text: Annotated[str | None, R(advised=112)] = None
    """Suggested: at most 112 characters. Required without `main_title.title`."""


class NewsNoticeCard(WebhookCard):
    """A picture notice (图文展示模版卡片)."""

    card_type: ClassVar[str] = "news_notice"
    CHANGES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "vertical_content_list[].title": {"advised": 26},
        "vertical_content_list[].desc": {"advised": 112},
    }

    main_title: Annotated[MainTitle, R(missing=42033)]
    """Required, with its title (42033)."""
    card_image: Annotated[CardImage, R(missing=42044)]
    """Required (42044)."""
    image_text_area: ImageTextArea | None = None
    """A picture at the left, text at the right."""
    vertical_content_list: VerticalContents = None
    """At most 4 entries (42036); may be empty."""


_TYPES: tuple[type[WebhookMessage], ...] = (Text, Markdown, MarkdownV2, Image, News, MiniProgram, FileMessage, Voice)
CLASSES: Mapping[str, type[WebhookMessage]] = {message.msgtype: message for message in _TYPES}
"""The message classes by msgtype, without cards."""
CARD_CLASSES: Mapping[str, type[Card]] = {card.card_type: card for card in (TextNoticeCard, NewsNoticeCard)}
"""The cards by card_type."""

ENVELOPE_FIELDS = ("post_id", "visible_to_user")
"""What may stand next to the type's own object."""
OURS = frozenset({"chatid", "msgtype"})
"""Envelope fields that only the worker sets."""

AUDIENCES: Mapping[str, str] = {"groups": "@all_group", "blackboards": "@all_blackboard", "all": "@all"}
"""Audience of `Everyone(...)` to the vendor's name."""
AUDIENCES_OF: Mapping[str, tuple[str, ...]] = {
    **{msgtype: message.AUDIENCES for msgtype, message in CLASSES.items()},
    CARD: ("groups",),
}
"""The audiences that a type may be broadcast to."""
UNADDRESSED = tuple(name for name, audiences in AUDIENCES_OF.items() if audiences == ("groups",))
"""Types whose section shows no chatid. If it were ignored, the message would go to every group."""


# -- the vendor's JSON -------------------------------------------------------------------------------------------------

_READER = BodyReader("msgtype", CLASSES, OURS, CARD_CLASSES, code=40008, takes_new_cards=True)


def message_from_json(data: str | bytes | Mapping[str, Any], *, raw: bool = False) -> Message:
    """The typed message of a body as the vendor's pages show it.

    A type without a class here is refused, or with `raw=True` becomes `Raw`; a picture's base64 becomes a file. A
    neutral value that other SDKs write (`"safe": 0`) is left out with a `UserWarning`. Raises CheckFailed, which says
    what does not fit.
    """
    return _READER.read(object_of(data), {}, raw=raw)


def message_to_json(message: Message) -> dict[str, Any]:
    """The body of a message as the vendor's pages show it, without chatid and without the bytes of files."""
    document = message.document()
    return {**(document.get("body") or {}), "msgtype": document["type"]}


def recipients_from_json(
    data: str | bytes | Mapping[str, Any], *, without_chatid: Recipients | None = None
) -> Recipients:
    """The recipients of a body as the vendor's pages show it.

    A body without a chatid names none, and the vendor would post it to all groups: `without_chatid=Everyone("groups")`
    says that this is meant, `without_chatid=Chats(...)` names others.
    """
    chatid = text_in(object_of(data), "chatid")
    if not chatid and without_chatid is not None:
        return without_chatid
    words = {word: audience for audience, word in AUDIENCES.items()}
    if chatid in words:
        return Everyone(words[chatid])
    named = [one.strip() for one in chatid.split("|") if one.strip()]
    return Recipients(chats=tuple(dict.fromkeys(named)))
