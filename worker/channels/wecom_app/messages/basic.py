"""The messages with one object of their own: text, media, textcard, markdown, mini program notice.

Source of every limit: page 90236 发送应用消息 (2025/09/24, read again 2026-02-12). Bytes are of the UTF-8 text: a
Chinese character takes three. "Cut" means that the vendor would cut in silence, so the worker refuses it at enqueue, or
splits or truncates it when `overflow=` says so.
"""

from __future__ import annotations

from typing import ClassVar

from worker.channels.typed import NO_FILE, Attached, VendorObject
from worker.channels.wecom_app.messages.message import PlainMessage


class Text(PlainMessage):
    """A text message (90236, 文本消息; in app group chats 90248)."""

    msgtype: ClassVar[str] = "text"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("safe", "enable_id_trans")

    content: str
    """1 to 2048 bytes of UTF-8; `\\n` and `<a href="..">..</a>` allowed. Empty: 44004. Longer: cut. In app group chats
    `<@userid>` mentions a member."""
    mentioned_list: list[str] | None = None
    """App group chats only: userids to mention, or `@all`."""
    safe: int | None = None
    """0 may be shared out (default); 1 no sharing and a watermark. 2 is for mpnews only."""
    enable_id_trans: int | None = None
    """1 translates `$userName=USERID$` and its like in `content`; `escape_ids` guards other people's text."""


class Image(PlainMessage):
    """An image message (90236, 图片消息): a `media_id` of the corp, or a file to upload first."""

    msgtype: ClassVar[str] = "image"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("safe",)
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "image")

    media_id: str | None = None
    """Of an `image` upload, at most 3 days old (90253). Missing: 41006; unknown, old or of another kind: 40007."""
    file: Attached | None = NO_FILE
    """JPG or PNG, more than 5 bytes, at most 10 MB (90253). Wrong: 40004, 40006, 40009, 40123."""
    safe: int | None = None
    """0 may be shared out (default); 1 no sharing and a watermark."""


class Voice(PlainMessage):
    """A voice message (90236, 语音消息)."""

    msgtype: ClassVar[str] = "voice"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "voice")

    media_id: str | None = None
    """Of a `voice` upload, at most 3 days old. Missing: 41006; unknown, old or of another kind: 40007."""
    file: Attached | None = NO_FILE
    """AMR, more than 5 bytes, at most 2 MB and 60 s (90253). Wrong: 40004, 40006, 45007, 301017."""


class Video(PlainMessage):
    """A video message (90236, 视频消息)."""

    msgtype: ClassVar[str] = "video"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("safe",)
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "video")

    media_id: str | None = None
    """Of a `video` upload, at most 3 days old. Missing: 41006; unknown, old or of another kind: 40007."""
    file: Attached | None = NO_FILE
    """MP4, more than 5 bytes, at most 10 MB (90253). Wrong: 40004, 40006, 40011, 41090."""
    title: str | None = None
    """At most 128 bytes. Longer: cut."""
    description: str | None = None
    """At most 512 bytes. Longer: cut."""
    safe: int | None = None
    """0 may be shared out (default); 1 no sharing and a watermark."""


class FileMessage(PlainMessage):
    """A file message (90236, 文件消息); members see the name the file was uploaded under."""

    msgtype: ClassVar[str] = "file"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("safe",)
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "file")

    media_id: str | None = None
    """Of a `file` upload, at most 3 days old. Missing: 41006; unknown, old or of another kind: 40007."""
    file: Attached | None = NO_FILE
    """Any format, more than 5 bytes, at most 20 MB (90253). Wrong: 40006, 45001."""
    safe: int | None = None
    """0 may be shared out (default); 1 no sharing and a watermark, only for txt, pdf, doc, docx, ppt, pptx, xls, xlsx,
    xml, jpg, jpeg, png, bmp and gif."""


class TextCard(PlainMessage):
    """A text card (90236, 文本卡片消息)."""

    msgtype: ClassVar[str] = "textcard"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("enable_id_trans",)

    title: str
    """Required (41016). At most 128 bytes; the page of 2026 says characters, and an account with
    `textcard_unit = "characters"` trusts it. Longer: cut."""
    description: str
    """Required (41033). At most 512 bytes (or characters, as with the title). Longer: cut. Line breaks by `<br>`,
    colours by `<div class="gray|highlight|normal">`."""
    url: str
    """Required (41010). At most 2048 bytes (40058, 40039), with http:// or https:// (40094, 45034)."""
    btntxt: str | None = None
    """At most 4 characters, `详情` by default. Longer: cut."""
    enable_id_trans: int | None = None
    """1 translates `$userName=USERID$` and its like in title and description."""


class Markdown(PlainMessage):
    """A markdown message (90236, markdown消息); not shown in the WeChat plugin."""

    msgtype: ClassVar[str] = "markdown"

    content: str
    """1 to 2048 bytes (45002). Headings, `**bold**`, `[text](url)`, inline code, `> quote`, and
    `<font color="info|comment|warning">`."""


class NoticeItem(VendorObject):
    """One pair of a mini program notice."""

    key: str
    """Required (90202). At most 10 Chinese characters; a pair without key and value is dropped in silence."""
    value: str | None = None
    """At most 30 Chinese characters (90203)."""


class MiniProgramNotice(PlainMessage):
    """A mini program notice (90236, 小程序通知消息): only a mini-program app may send it (48002), never to `@all`."""

    msgtype: ClassVar[str] = "miniprogram_notice"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("enable_id_trans",)

    appid: str
    """Required (90200). Of a mini program linked to this app (90206, 90207, 90208)."""
    page: str | None = None
    """At most 1024 bytes (90204), a page of that mini program; none: no jump."""
    title: str
    """Required. 4 to 12 Chinese characters (40058); ASCII counts half, which is not confirmed."""
    description: str | None = None
    """4 to 12 Chinese characters (40058)."""
    emphasis_first_item: bool | None = None
    """Enlarges the first pair."""
    content_item: list[NoticeItem] | None = None
    """At most 10 (90201)."""
    enable_id_trans: int | None = None
    """1 translates ids in title, description and the values."""


SIMPLE: tuple[type[PlainMessage], ...] = (Text, Image, Voice, Video, FileMessage, TextCard, Markdown, MiniProgramNotice)
"""By which JSON is read back; see `reading.py`."""
