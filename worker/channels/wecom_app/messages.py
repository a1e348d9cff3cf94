"""The messages of WeCom applications (企业微信 应用消息) that the duplicate check makes safe to repeat: all but cards.

A class says all that the vendor's page says of its type: its fields with their limits, and the options beside them.
They only hold and lay out values; `check.py` says what is wrong with them, all at once. A `repr` or a validation error
of these types never shows a value: what stands in them is message text.

Source of every limit: page 90236 发送应用消息 (2025/09/24, read again 2026-02-12). Bytes are of the UTF-8 text: a
Chinese character takes three. "Cut" means that the vendor would cut in silence, so the worker refuses it at enqueue, or
splits or truncates it when `overflow=` says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from worker.channels import typed
from worker.channels.checking.row import AllOrNone, AnyOf, Effect, FieldRule, Prose, R, Row
from worker.channels.typed import NO_FILE, Attached, PlainMessage, VendorMessage, VendorObject
from worker.channels.wecom.markdown import MARKDOWN
from worker.domain.job import JobKind

__all__ = [
    "FileMessage",
    "Image",
    "Markdown",
    "MiniProgramNotice",
    "MpNews",
    "MpNewsArticle",
    "News",
    "NewsArticle",
    "NoticeItem",
    "Raw",
    "Text",
    "TextCard",
    "Video",
    "Voice",
    "escape_ids",
]

# userName, userAlias, userAliasOrName, departmentName; with chat-archive permission chatName, msgContent,
# externalUserName. Any word is guarded, so that a name the vendor adds is too.
ID_PATTERN = re.compile(r"\$(?=[A-Za-z]+=[^$\r\n]+\$)")


URL_BYTES = 2048
Switch = Annotated[int | None, R(allowed=(0, 1))]


def _media(kind: str) -> FieldRule:
    return R(required=True, media=kind, missing=41006)


def _cut(most: int, *, missing: int | None = None, translated: bool = False) -> FieldRule:
    """A text the vendor cuts beyond so many bytes."""
    return R(max_bytes=most, effect=Effect.CUT, prose=Prose.PLAIN, missing=missing, translated=translated)


def _chinese(least: int, most: int, code: int, **more: Any) -> FieldRule:
    return R(chinese=(least, most), code=code, prose=Prose.PLAIN, **more)


def escape_ids(text: str) -> str:
    """Text of other people made safe for a message with `enable_id_trans=1`.

    The vendor publishes no escape; what it cannot resolve stays as typed. So an invisible space (U+200B, 3 bytes) is
    put behind the `$` of everything that looks like `$userName=..$`, which then is no pattern and looks the same.
    """
    return ID_PATTERN.sub("$\u200b", text)


class OfApp(VendorMessage):
    """Base of the messages in whose body the vendor's page has an agentid."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("_agentid",)
    # No private attribute of pydantic's: each class below would set it once more for each message that is made.
    _agentid: ClassVar[Any] = None
    """The agentid of a body that was handed over whole, which has to be the account's; None: there was none."""

    def of_agentid(self, agentid: Any) -> Self:
        """The message itself, from now on with the agentid of its body."""
        vars(self)["_agentid"] = agentid
        return self

    def agentid(self) -> dict[str, Any]:
        """That agentid for the stored message; empty where there was none."""
        return {} if self._agentid is None else {"agentid": self._agentid}


class DuplicateChecked(OfApp):
    """Base of the messages whose repeat is made safe by the vendor's duplicate check."""

    OPTIONS: ClassVar[tuple[str, ...]] = (*OfApp.OPTIONS, "duplicate_check", "duplicate_check_interval")

    duplicate_check: bool = True
    """On: an unanswered call is repeated inside the interval. Off: it is held. (90236)"""
    duplicate_check_interval: int = 14400
    """Seconds the vendor looks back for an equal body: 1 to 14400, its maximum of 4 h. (90236)"""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; the options of a send are the worker's own, and never part of the vendor's body."""
        options: dict[str, Any] = {"duplicate_check": self.duplicate_check, **self.agentid()}
        if self.duplicate_check_interval != 14400:
            options["duplicate_check_interval"] = self.duplicate_check_interval
        return {**super().document(), "options": options}


class AppMessage(DuplicateChecked, PlainMessage):
    """Base of the messages of page 90236 with an object of their own."""


class Raw(DuplicateChecked, typed.Raw):
    """A vendor body we do not model: everything of page 90236 besides recipients, agentid and duplicate check."""


class Text(AppMessage):
    """A text message (90236, 文本消息; in app group chats 90248)."""

    msgtype: ClassVar[str] = "text"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("safe", "enable_id_trans")

    # The help text of 45002 also lists text at 2048 bytes, so the cut might be an answer instead.
    content: Annotated[
        str, R(max_bytes=2048, effect=Effect.CUT, prose=Prose.LINKS, missing=44004, more=(45002,), translated=True)
    ]
    """1 to 2048 bytes of UTF-8; `\\n` and `<a href="..">..</a>` allowed. Empty: 44004. Longer: cut. In app group chats
    `<@userid>` mentions a member."""
    mentioned_list: Annotated[list[str] | None, R(neutral=True)] = None
    """App group chats only: userids to mention, or `@all`."""
    safe: Switch = None
    """0 may be shared out (default); 1 no sharing and a watermark. 2 is for mpnews only."""
    enable_id_trans: Switch = None
    """1 translates `$userName=USERID$` and its like in `content`; `escape_ids` guards other people's text."""

    if TYPE_CHECKING:  # its content may stand without the name

        def __init__(
            self,
            content: str,
            *,
            mentioned_list: list[str] | None = None,
            safe: int | None = None,
            enable_id_trans: int | None = None,
            duplicate_check: bool = True,
            duplicate_check_interval: int = 14400,
        ) -> None: ...


class Image(AppMessage):
    """An image message (90236, 图片消息): a `media_id` of the corp, or a file to upload first."""

    msgtype: ClassVar[str] = "image"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("safe",)
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "image")

    media_id: Annotated[str | None, _media("image")] = None
    """Of an `image` upload, at most 3 days old (90253). Missing: 41006; unknown, old or of another kind: 40007."""
    file: Attached | None = NO_FILE
    """JPG or PNG, more than 5 bytes, at most 10 MB (90253). Wrong: 40004, 40006, 40009, 40123."""
    safe: Switch = None
    """0 may be shared out (default); 1 no sharing and a watermark."""


class Voice(AppMessage):
    """A voice message (90236, 语音消息)."""

    msgtype: ClassVar[str] = "voice"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "voice")

    media_id: Annotated[str | None, _media("voice")] = None
    """Of a `voice` upload, at most 3 days old. Missing: 41006; unknown, old or of another kind: 40007."""
    file: Attached | None = NO_FILE
    """AMR, more than 5 bytes, at most 2 MB and 60 s (90253). Wrong: 40004, 40006, 45007, 301017."""


class Video(AppMessage):
    """A video message (90236, 视频消息)."""

    msgtype: ClassVar[str] = "video"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("safe",)
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "video")

    media_id: Annotated[str | None, _media("video")] = None
    """Of a `video` upload, at most 3 days old. Missing: 41006; unknown, old or of another kind: 40007."""
    file: Attached | None = NO_FILE
    """MP4, more than 5 bytes, at most 10 MB (90253). Wrong: 40004, 40006, 40011, 41090."""
    title: Annotated[str | None, _cut(128)] = None
    """At most 128 bytes. Longer: cut."""
    description: Annotated[str | None, _cut(512)] = None
    """At most 512 bytes. Longer: cut."""
    safe: Switch = None
    """0 may be shared out (default); 1 no sharing and a watermark."""


class FileMessage(AppMessage):
    """A file message (90236, 文件消息); members see the name the file was uploaded under."""

    msgtype: ClassVar[str] = "file"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("safe",)
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "file")

    media_id: Annotated[str | None, _media("file")] = None
    """Of a `file` upload, at most 3 days old. Missing: 41006; unknown, old or of another kind: 40007."""
    file: Attached | None = NO_FILE
    """Any format, more than 5 bytes, at most 20 MB (90253). Wrong: 40006, 45001."""
    safe: Switch = None
    """0 may be shared out (default); 1 no sharing and a watermark, only for txt, pdf, doc, docx, ppt, pptx, xls, xlsx,
    xml, jpg, jpeg, png, bmp and gif."""


class TextCard(AppMessage):
    """A text card (90236, 文本卡片消息)."""

    msgtype: ClassVar[str] = "textcard"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("enable_id_trans",)

    # Older copies, and the page of app group chats, give bytes; the page of 2026 gives characters. What is cut is cut
    # in silence, so the smaller reading counts unless the account says otherwise (`textcard_unit = "characters"`).
    title: Annotated[str, _cut(128, missing=41016, translated=True)]
    """Required (41016). At most 128 bytes; the page of 2026 says characters, and an account with
    `textcard_unit = "characters"` trusts it. Longer: cut."""
    description: Annotated[str, R(max_bytes=512, effect=Effect.CUT, prose=Prose.LINKS, missing=41033, translated=True)]
    """Required (41033). At most 512 bytes (or characters, as with the title). Longer: cut. Line breaks by `<br>`,
    colours by `<div class="gray|highlight|normal">`."""
    url: Annotated[str, R(max_bytes=URL_BYTES, link=True, missing=41010, code=40058, more=(40039,))]
    """Required (41010). At most 2048 bytes (40058, 40039), with http:// or https:// (40094, 45034)."""
    btntxt: Annotated[str | None, R(max_chars=4, effect=Effect.CUT, prose=Prose.PLAIN)] = None
    """At most 4 characters, `详情` by default. Longer: cut."""
    enable_id_trans: Switch = None
    """1 translates `$userName=USERID$` and its like in title and description."""


class Markdown(AppMessage):
    """A markdown message (90236, markdown消息); not shown in the WeChat plugin."""

    msgtype: ClassVar[str] = "markdown"

    content: Annotated[str, R(max_bytes=2048, missing=44004, code=45002, prose=Prose.MARKDOWN, as_typed=MARKDOWN)]
    """1 to 2048 bytes (45002). Headings, `**bold**`, `[text](url)`, inline code, `> quote`, and
    `<font color="info|comment|warning">`."""

    if TYPE_CHECKING:  # its content may stand without the name

        def __init__(
            self,
            content: str,
            *,
            duplicate_check: bool = True,
            duplicate_check_interval: int = 14400,
        ) -> None: ...


class NoticeItem(VendorObject):
    """One pair of a mini program notice."""

    # A pair with neither key nor value is dropped in silence; the code table says 90202 for an empty key.
    key: Annotated[str, _chinese(0, 10, 90202)]
    """Required (90202). At most 10 Chinese characters; a pair without key and value is dropped in silence."""
    value: Annotated[str | None, _chinese(0, 30, 90203, translated=True)] = None
    """At most 30 Chinese characters (90203)."""


class MiniProgramNotice(AppMessage):
    """A mini program notice (90236, 小程序通知消息): only a mini-program app may send it (48002), never to `@all`."""

    msgtype: ClassVar[str] = "miniprogram_notice"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("enable_id_trans",)

    appid: Annotated[str, R(missing=90200, code=90207, more=(90206, 90208))]
    """Required (90200). Of a mini program linked to this app (90206, 90207, 90208)."""
    page: Annotated[str | None, R(max_bytes=1024, code=90204)] = None
    """At most 1024 bytes (90204), a page of that mini program; none: no jump."""
    title: Annotated[str, _chinese(4, 12, 40058, missing=41016, translated=True)]
    """Required. 4 to 12 Chinese characters (40058); ASCII counts half, which is not confirmed."""
    description: Annotated[str | None, _chinese(4, 12, 40058, translated=True)] = None
    """4 to 12 Chinese characters (40058)."""
    emphasis_first_item: bool | None = None
    """Enlarges the first pair."""
    content_item: Annotated[list[NoticeItem] | None, R(entries=(0, 10), code=90201)] = None
    """At most 10 (90201)."""
    enable_id_trans: Switch = None
    """1 translates ids in title, description and the values."""


class NewsArticle(VendorObject):
    """One article of a news message; it leads to a url, or to a mini program."""

    ROWS: ClassVar[tuple[Row, ...]] = (AnyOf(("url", "appid"), 41010), AllOrNone(("appid", "pagepath"), 90207))

    title: Annotated[str, _cut(128, missing=41016, translated=True)]
    """Required (41016). At most 128 bytes. Longer: cut."""
    description: Annotated[str | None, _cut(512, translated=True)] = None
    """At most 512 bytes. Longer: cut."""
    url: Annotated[str | None, R(max_bytes=URL_BYTES, link=True, missing=41010, code=40058)] = None
    """Required unless appid and pagepath are given, which go before it. At most 2048 bytes, with its scheme (40094)."""
    picurl: Annotated[str | None, R(max_bytes=URL_BYTES, code=40058)] = None
    """At most 2048 bytes. JPG or PNG; 1068x455 for the large picture, 150x150 for small ones."""
    appid: Annotated[str | None, R(neutral=True, code=90207, more=(90208,))] = None
    """Of a mini program linked to this app, with `pagepath` (90207, 90208). Not in app group chats."""
    pagepath: Annotated[str | None, R(max_bytes=128, neutral=True, code=40058)] = None
    """With `appid`. At most 128 bytes."""


class News(AppMessage):
    """A news message (90236, 图文消息). It has no `safe` (40074)."""

    msgtype: ClassVar[str] = "news"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("enable_id_trans",)

    articles: Annotated[list[NewsArticle], R(entries=(1, 8), code=45008)]
    """Required, 1 to 8 (45008)."""
    enable_id_trans: Switch = None
    """1 translates `$userName=USERID$` and its like in titles and descriptions."""


class MpNewsArticle(VendorObject):
    """One article that WeCom keeps; every send makes a new one, with read counts of its own."""

    UPLOADED: ClassVar[tuple[str, str] | None] = ("thumb_media_id", "image")

    title: Annotated[str, _cut(128, missing=41016, translated=True)]
    """Required. At most 128 bytes. Longer: cut."""
    thumb_media_id: Annotated[str | None, _media("image")] = None
    """Of an `image` upload, at most 3 days old (40007). Required, or a file."""
    file: Attached | None = NO_FILE
    """The cover: JPG or PNG, more than 5 bytes, at most 10 MB (90253)."""
    author: Annotated[str | None, R(max_bytes=64, code=45032, prose=Prose.PLAIN)] = None
    """At most 64 bytes (45032)."""
    content_source_url: str | None = None
    """The link behind "read the original"."""
    content: Annotated[str, R(max_bytes=666 * 1024, missing=44004, code=45002, translated=True)]
    """Required. HTML of at most 666 KiB (45002); pictures in it by the URLs of an `uploadimg` upload."""
    digest: Annotated[str | None, _cut(512, translated=True)] = None
    """At most 512 bytes. Longer: cut."""


class MpNews(AppMessage):
    """An mpnews message (90236, 图文消息 mpnews)."""

    msgtype: ClassVar[str] = "mpnews"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("safe", "enable_id_trans")

    articles: Annotated[list[MpNewsArticle], R(entries=(1, 8), code=45008)]
    """Required, 1 to 8 (45008)."""
    safe: Annotated[int | None, R(allowed=(0, 1, 2))] = None
    """0 may be shared out (default); 1 no sharing and a watermark; 2 may be shared inside the corp only."""
    enable_id_trans: Switch = None
    """1 translates `$userName=USERID$` and its like in titles, digests and contents."""


ENVELOPE_FIELDS = ("safe", "enable_id_trans")
OURS = frozenset(
    {"touser", "toparty", "totag", "chatid", "agentid", "msgtype", "enable_duplicate_check", "duplicate_check_interval"}
)
"""Envelope fields that only the worker sets."""
SENDS = frozenset({JobKind.SEND.value, JobKind.SEND_CHAT.value})

DUPLICATE_WINDOW_S = 14400
INTERVAL = (1, DUPLICATE_WINDOW_S)
"""Seconds that a duplicate check may look back: at most 4 hours (page 90236)."""


def interval_s(message: Mapping[str, Any]) -> int:
    """Returns for how long the vendor looks back for an equal body."""
    return int((message.get("options") or {}).get("duplicate_check_interval", DUPLICATE_WINDOW_S))


_TYPES = (Text, Image, Voice, Video, FileMessage, TextCard, Markdown, MiniProgramNotice, News, MpNews)
CLASSES: Mapping[str, type[AppMessage]] = {message.msgtype: message for message in _TYPES}
"""The message classes by msgtype, without cards."""
