"""The messages made of articles: news (图文消息) and mpnews (图文消息 kept by WeCom). Limits: page 90236."""

from __future__ import annotations

from typing import ClassVar

from worker.channels.typed import NO_FILE, Attached, VendorObject
from worker.channels.wecom_app.messages.message import PlainMessage


class NewsArticle(VendorObject):
    """One article of a news message; it leads to a url, or to a mini program."""

    title: str
    """Required (41016). At most 128 bytes. Longer: cut."""
    description: str | None = None
    """At most 512 bytes. Longer: cut."""
    url: str | None = None
    """Required unless appid and pagepath are given, which go before it. At most 2048 bytes, with its scheme (40094)."""
    picurl: str | None = None
    """At most 2048 bytes. JPG or PNG; 1068x455 for the large picture, 150x150 for small ones."""
    appid: str | None = None
    """Of a mini program linked to this app, with `pagepath` (90207, 90208). Not in app group chats."""
    pagepath: str | None = None
    """With `appid`. At most 128 bytes."""


class News(PlainMessage):
    """A news message (90236, 图文消息). It has no `safe` (40074)."""

    msgtype: ClassVar[str] = "news"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("enable_id_trans",)

    articles: list[NewsArticle]
    """Required, 1 to 8 (45008)."""
    enable_id_trans: int | None = None
    """1 translates `$userName=USERID$` and its like in titles and descriptions."""


class MpNewsArticle(VendorObject):
    """One article that WeCom keeps; every send makes a new one, with read counts of its own."""

    UPLOADED: ClassVar[tuple[str, str] | None] = ("thumb_media_id", "image")

    title: str
    """Required. At most 128 bytes. Longer: cut."""
    thumb_media_id: str | None = None
    """Of an `image` upload, at most 3 days old (40007). Required, or a file."""
    file: Attached | None = NO_FILE
    """The cover: JPG or PNG, more than 5 bytes, at most 10 MB (90253)."""
    author: str | None = None
    """At most 64 bytes (45032)."""
    content_source_url: str | None = None
    """The link behind "read the original"."""
    content: str
    """Required. HTML of at most 666 KiB (45002); pictures in it by the URLs of an `uploadimg` upload."""
    digest: str | None = None
    """At most 512 bytes. Longer: cut."""


class MpNews(PlainMessage):
    """An mpnews message (90236, 图文消息 mpnews)."""

    msgtype: ClassVar[str] = "mpnews"
    ENVELOPE: ClassVar[tuple[str, ...]] = ("safe", "enable_id_trans")

    articles: list[MpNewsArticle]
    """Required, 1 to 8 (45008)."""
    safe: int | None = None
    """0 may be shared out (default); 1 no sharing and a watermark; 2 may be shared inside the corp only."""
    enable_id_trans: int | None = None
    """1 translates `$userName=USERID$` and its like in titles, digests and contents."""


ARTICLES: tuple[type[PlainMessage], ...] = (News, MpNews)
