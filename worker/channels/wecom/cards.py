"""What the template cards (模板卡片) of applications and of webhooks have in common, in the vendor's spelling.

Applications: page 90236 (发送应用消息, 模板卡片消息). Webhooks: page 99110 (消息推送配置说明), whose cards
have no task_id, no menu and no buttons. The objects are the same. "Suggested" lengths only warn: clients shorten what
is longer, and no error is documented; those of webhooks are others. Only applications have ids translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from worker.channels.checking.row import R, Row
from worker.channels.typed import NO_FILE, Attached, VendorMessage, VendorObject, attached
from worker.channels.wecom.names import display_name
from worker.domain.content.message import File

__all__ = [
    "CardAction",
    "CardImage",
    "CardSource",
    "EmphasisContent",
    "HorizontalContent",
    "ImageTextArea",
    "Jump",
    "MainTitle",
    "PlainCardSource",
    "QuoteArea",
    "VerticalContent",
]


class PlainCardSource(VendorObject):
    """Where the card comes from: the line at its top."""

    icon_url: str | None = None
    """URL of an image; 72x72 suggested."""
    desc: Annotated[str | None, R(advised=20, translated=True)] = None
    """Suggested: at most 20 characters, from a webhook 13."""


class CardSource(PlainCardSource):
    """Where the card comes from, in a colour; vote and multiple cards have `PlainCardSource`."""

    desc_color: Annotated[int | None, R(allowed=(0, 1, 2, 3))] = None
    """0 grey (default), 1 black, 2 red, 3 green."""


class MainTitle(VendorObject):
    """The main title; required (41016, from a webhook 42033), except in a text notice that has `sub_title_text`.

    A webhook's text notice has the object even then.
    """

    title: Annotated[str | None, R(required=True, advised=36, missing=41016, translated=True)] = None
    """Required as the title itself is. Suggested: at most 36 characters, 16 on a vote card, 26 from a webhook."""
    desc: Annotated[str | None, R(advised=44, translated=True)] = None
    """Suggested: at most 44 characters, 160 on vote and multiple cards, 30 from a webhook."""


class LinkObject(VendorObject):
    """Base of what can lead somewhere."""

    type: Annotated[int | None, R(allowed=(0, 1, 2))] = None
    """0 or absent: no link, 1: `url`, 2: mini program."""
    url: Annotated[str | None, R(when=("type", 1), code=42028)] = None
    """Required for type 1 (42028)."""
    appid: Annotated[str | None, R(when=("type", 2), code=42030)] = None
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

    title: Annotated[str | None, R(advised=14)] = None
    """Suggested: at most 14 characters, from a webhook 10."""
    desc: Annotated[str | None, R(advised=22)] = None
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

    url: Annotated[str, R(code=42044)]
    """Required (42044)."""
    aspect_ratio: Annotated[float | None, R(between=(1.3, 2.25), neutral=True, note="the page allows 1.3 to 2.25")] = (
        None
    )
    """Width by height: 1.3 (default) to 2.25."""


class VerticalContent(VendorObject):
    """One block of text; at most 4 of them (42036)."""

    title: Annotated[str, R(advised=38, code=42033)]
    """Required (42033). Suggested: at most 38 characters, from a webhook 26."""
    desc: Annotated[str | None, R(advised=160)] = None
    """Suggested: at most 160 characters, from a webhook 112."""


VerticalContents = Annotated[list[VerticalContent] | None, R(entries=(0, 4), code=42036)]


class HorizontalContent(VendorObject):
    """One line of key and value; at most 6 of them (42035)."""

    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "file")

    type: Annotated[int | None, R(allowed=(0, 1, 2, 3))] = None
    """0 or absent: plain, 1: `url`, 2: attachment, 3: profile of a member."""
    keyname: Annotated[str, R(advised=5, code=42027)]
    """Required (42027). Suggested: at most 5 characters."""
    value: Annotated[str | None, R(advised=30, translated=True)] = None
    """Suggested: at most 30 characters, from a webhook 26; for type 2 the file's name with its extension; left out,
    that of `file`."""
    url: Annotated[str | None, R(when=("type", 1), code=42028)] = None
    """Required for type 1 (42028)."""
    media_id: Annotated[str | None, R(when=("type", 2), media="file", code=42029)] = None
    """Of a `file` upload, of a webhook's card by the same key; required for type 2 (42029), or a file."""
    file: Attached | None = NO_FILE
    """For type 2: any format, more than 5 bytes, at most 20 MB (90253)."""
    userid: Annotated[str | None, R(when=("type", 3), code=42050)] = None
    """Required for type 3 (42050)."""

    @model_serializer(mode="wrap")
    def _named(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        out: dict[str, Any] = handler(self)
        if self.file is not None and self.value is None:
            out["value"] = display_name(self.file.name)
        return out


HorizontalContents = Annotated[list[HorizontalContent] | None, R(entries=(0, 6), code=42035)]


class Jump(LinkObject):
    """One link below the card; at most 3 of them (42042)."""

    title: Annotated[str, R(advised=18, code=42033)]
    """Required (42033). Suggested: at most 18 characters, from a webhook 13."""


class CardAction(LinkObject):
    """What a click on the whole card opens; on notices it is required, of type 1 or 2 (42045)."""

    type: Annotated[int | None, R(allowed=(0, 1, 2), code=42045)] = None
    """0 or absent: no link, 1: `url`, 2: mini program."""


class Card(VendorMessage):
    """Base of the template cards."""

    ENVELOPE: ClassVar[tuple[str, ...]] = ()
    """Fields that stand beside the `template_card` object."""
    ROWS: ClassVar[tuple[Row, ...]] = (R("card_type", required=True, code=42031),)

    card_type: ClassVar[str]
    """The vendor's name of the card (42031)."""

    @classmethod
    def fields_of(cls, content: Any) -> Mapping[str, Any] | None:
        """See `VendorMessage.fields_of`. The class says what `card_type` does."""
        return {name: value for name, value in content.items() if name != "card_type"}

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

    CHANGES: ClassVar[Mapping[str, Mapping[str, Any]]] = {"card_action.type": {"required": True, "allowed": (1, 2)}}

    source: CardSource | None = None
    """Where the card comes from."""
    quote_area: QuoteArea | None = None
    """A quotation."""
    horizontal_content_list: HorizontalContents = None
    """At most 6 entries (42035); may be empty."""
    jump_list: Annotated[list[Jump] | None, R(entries=(0, 3), code=42042)] = None
    """At most 3 entries (42042); may be empty."""
    card_action: Annotated[CardAction, R(code=42045)]
    """Required, of type 1 or 2 (42045): what a click on the whole card opens."""
