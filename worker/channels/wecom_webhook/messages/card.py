"""The two template cards (模版卡片类型) of a webhook: no task_id, no menu, no buttons.

So they call back no one and cannot be updated.

Limits: page 99110 消息推送配置说明 (read 2026-02-12), and as rows `fields/cards.py`. "Suggested" lengths only warn, and
are not those of an application's cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from worker.channels.typed import NO_FILE, Attached, VendorMessage, VendorObject, attached
from worker.channels.wecom.upload import display_name
from worker.domain.content.message import File


class Source(VendorObject):
    """Where the card comes from: the line at its top."""

    icon_url: str | None = None
    """URL of an image."""
    desc: str | None = None
    """Suggested: at most 13 characters."""
    desc_color: int | None = None
    """0 grey (default), 1 black, 2 red, 3 green."""


class MainTitle(VendorObject):
    """The main title; required, its `title` too except in a text notice that has `sub_title_text`."""

    title: str | None = None
    """Suggested: at most 26 characters."""
    desc: str | None = None
    """Suggested: at most 30 characters."""


class LinkObject(VendorObject):
    """Base of what can lead somewhere."""

    type: int | None = None
    """0 or absent: no link, 1: `url`, 2: mini program."""
    url: str | None = None
    """Required for type 1 (42028)."""
    appid: str | None = None
    """Required for type 2 (42030)."""
    pagepath: str | None = None
    """Page of that mini program."""


class QuoteArea(LinkObject):
    """A quotation, with a link when `type` says so."""

    title: str | None = None
    """Heading of the quotation."""
    quote_text: str | None = None
    """The quotation."""


class EmphasisContent(VendorObject):
    """The figure a text notice is about; better not together with a quotation."""

    title: str | None = None
    """Suggested: at most 10 characters."""
    desc: str | None = None
    """Suggested: at most 15 characters."""


class CardImage(VendorObject):
    """The picture of a news notice."""

    url: str
    """Required (42044)."""
    aspect_ratio: float | None = None
    """Width by height: 1.3 (default) to less than 2.25."""


class ImageTextArea(LinkObject):
    """A picture at the left with text beside it."""

    image_url: str
    """Required."""
    title: str | None = None
    """Heading."""
    desc: str | None = None
    """Text."""


class VerticalContent(VendorObject):
    """One block of text; at most 4 of them (42036)."""

    title: str
    """Required (42033). Suggested: at most 26 characters."""
    desc: str | None = None
    """Suggested: at most 112 characters."""


class HorizontalContent(VendorObject):
    """One line of key and value; at most 6 of them (42035)."""

    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "file")

    keyname: str
    """Required (42027). Suggested: at most 5 characters."""
    type: int | None = None
    """0 or absent: plain, 1: `url`, 2: attachment, 3: profile of a member."""
    value: str | None = None
    """Suggested: at most 26 characters; for type 2 the file's name with its extension; left out, that of `file`."""
    url: str | None = None
    """Required for type 1 (42028)."""
    media_id: str | None = None
    """Of a `file` upload of this key; required for type 2 (42029), or a file."""
    file: Attached | None = NO_FILE
    """For type 2: any format, more than 5 bytes, at most 20 MB."""
    userid: str | None = None
    """Required for type 3 (42050)."""

    @model_serializer(mode="wrap")
    def _named(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        out: dict[str, Any] = handler(self)
        if self.file is not None and self.value is None:
            out["value"] = display_name(self.file.name)
        return out


class Jump(LinkObject):
    """One link below the card; at most 3 of them (42042)."""

    title: str
    """Required (42033). Suggested: at most 13 characters."""


class CardAction(LinkObject):
    """What a click on the whole card opens: required, of type 1 or 2 (42045)."""


class Card(VendorMessage):
    """Base of the two cards."""

    card_type: ClassVar[str]
    """The vendor's name of the card (42031)."""

    card_action: CardAction
    """Required (42045)."""
    main_title: MainTitle
    """Required."""
    source: Source | None = None
    """Where the card comes from."""
    quote_area: QuoteArea | None = None
    """A quotation."""
    horizontal_content_list: list[HorizontalContent] | None = None
    """At most 6 entries (42035); may be empty."""
    jump_list: list[Jump] | None = None
    """At most 3 entries (42042); may be empty."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        card = {"card_type": self.card_type, **self.model_dump(mode="json", exclude_none=True)}
        return {"type": "template_card", "body": {"template_card": card}}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return dict(attached(self, "template_card"))


class TextNoticeCard(Card):
    """A text notice (文本通知模版卡片)."""

    card_type: ClassVar[str] = "text_notice"

    emphasis_content: EmphasisContent | None = None
    """The figure it is about."""
    sub_title_text: str | None = None
    """Suggested: at most 112 characters. Required without `main_title.title`."""


class NewsNoticeCard(Card):
    """A picture notice (图文展示模版卡片)."""

    card_type: ClassVar[str] = "news_notice"

    card_image: CardImage
    """Required (42044)."""
    image_text_area: ImageTextArea | None = None
    """A picture at the left, text at the right."""
    vertical_content_list: list[VerticalContent] | None = None
    """At most 4 entries (42036); may be empty."""


CARD_CLASSES: Mapping[str, type[Card]] = {one.card_type: one for one in (TextNoticeCard, NewsNoticeCard)}
"""By card_type."""
