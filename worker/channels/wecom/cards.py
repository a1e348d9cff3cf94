"""What the template cards (模板卡片) of applications and of webhooks have in common, in the vendor's spelling.

Applications: page 90236 (发送应用消息, 模板卡片消息). Webhooks: page 99110 (消息推送配置说明), whose cards
have no task_id, no menu and no buttons. The objects are the same; "suggested" lengths differ, and only warn. Limits
stand as rows in `card_fields.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from worker.channels.typed import NO_FILE, Attached, VendorMessage, VendorObject, attached
from worker.channels.wecom.upload import display_name
from worker.domain.content.message import File


class PlainSource(VendorObject):
    """Where the card comes from: the line at its top."""

    icon_url: str | None = None
    """URL of an image; 72x72 suggested."""
    desc: str | None = None
    """Suggested: at most 20 characters, from a webhook 13."""


class Source(PlainSource):
    """Where the card comes from, in a colour; vote and multiple cards have `PlainSource`."""

    desc_color: int | None = None
    """0 grey (default), 1 black, 2 red, 3 green."""


class MainTitle(VendorObject):
    """The main title; required (41016, from a webhook 42033), except in a text notice that has `sub_title_text`.

    A webhook's text notice has the object even then.
    """

    title: str | None = None
    """Required as the title itself is. Suggested: at most 36 characters, 16 on a vote card, 26 from a webhook."""
    desc: str | None = None
    """Suggested: at most 44 characters, 160 on vote and multiple cards, 30 from a webhook."""


class LinkObject(VendorObject):
    """Base of what can lead somewhere."""

    type: int | None = None
    """0 or absent: no link, 1: `url`, 2: mini program."""
    url: str | None = None
    """Required for type 1 (42028)."""
    appid: str | None = None
    """Mini program, of an application's card one linked to the app; required for type 2 (42030)."""
    pagepath: str | None = None
    """Page of that mini program."""


class QuoteArea(LinkObject):
    """A quotation, with a link when `type` says so."""

    title: str | None = None
    """Heading of the quotation."""
    quote_text: str | None = None
    """The quotation."""


class EmphasisContent(VendorObject):
    """The figure a text notice is about; of a webhook's better not together with a quotation."""

    title: str | None = None
    """Suggested: at most 14 characters, from a webhook 10."""
    desc: str | None = None
    """Suggested: at most 22 characters, from a webhook 15."""


class ImageTextArea(LinkObject):
    """A picture at the left with text beside it."""

    title: str | None = None
    """Heading."""
    desc: str | None = None
    """Text."""
    image_url: str
    """Required."""


class CardImage(VendorObject):
    """The picture of a news notice."""

    url: str
    """Required (42044)."""
    aspect_ratio: float | None = None
    """Width by height: 1.3 (default) to 2.25."""


class VerticalContent(VendorObject):
    """One block of text; at most 4 of them (42036)."""

    title: str
    """Required (42033). Suggested: at most 38 characters, from a webhook 26."""
    desc: str | None = None
    """Suggested: at most 160 characters, from a webhook 112."""


class HorizontalContent(VendorObject):
    """One line of key and value; at most 6 of them (42035)."""

    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "file")

    type: int | None = None
    """0 or absent: plain, 1: `url`, 2: attachment, 3: profile of a member."""
    keyname: str
    """Required (42027). Suggested: at most 5 characters."""
    value: str | None = None
    """Suggested: at most 30 characters, from a webhook 26; for type 2 the file's name with its extension; left out,
    that of `file`."""
    url: str | None = None
    """Required for type 1 (42028)."""
    media_id: str | None = None
    """Of a `file` upload, of a webhook's card by the same key; required for type 2 (42029), or a file."""
    file: Attached | None = NO_FILE
    """For type 2: any format, more than 5 bytes, at most 20 MB (90253)."""
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
    """Required (42033). Suggested: at most 18 characters, from a webhook 13."""


class CardAction(LinkObject):
    """What a click on the whole card opens; on notices it is required, of type 1 or 2 (42045)."""


class Card(VendorMessage):
    """Base of the template cards."""

    ENVELOPE: ClassVar[tuple[str, ...]] = ()
    """Fields that stand beside the `template_card` object."""

    card_type: ClassVar[str]
    """The vendor's name of the card (42031)."""

    def card(self) -> dict[str, Any]:
        """The vendor's `template_card` object."""
        fields = self.model_dump(mode="json", exclude_none=True, exclude=set(self.ENVELOPE))
        return {"card_type": self.card_type, **fields}

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        beside = {name: value for name in self.ENVELOPE if (value := getattr(self, name)) is not None}
        return {"type": "template_card", "body": {"template_card": self.card(), **beside}}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return dict(attached(self, "template_card"))


class Notice(Card):
    """Base of the notices: cards without buttons and choices."""

    source: Source | None = None
    """Where the card comes from."""
    quote_area: QuoteArea | None = None
    """A quotation."""
    horizontal_content_list: list[HorizontalContent] | None = None
    """At most 6 entries (42035); may be empty."""
    jump_list: list[Jump] | None = None
    """At most 3 entries (42042); may be empty."""
    card_action: CardAction
    """Required, of type 1 or 2 (42045): what a click on the whole card opens."""
