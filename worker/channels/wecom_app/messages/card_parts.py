"""What template cards (模板卡片) are made of, in the vendor's spelling.

Limits stand in page 90236 (发送应用消息, 模板卡片消息) and, as rows, in `fields/cards.py`; "suggested" lengths
only warn.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from worker.channels.typed import NO_FILE, Attached, VendorObject
from worker.channels.wecom.upload import display_name


class PlainSource(VendorObject):
    """Where the card comes from: the line at its top."""

    icon_url: str | None = None
    """URL of an image; 72x72 suggested."""
    desc: str | None = None
    """Suggested: at most 20 characters."""


class Source(PlainSource):
    """Where the card comes from, in a colour; vote and multiple cards have `PlainSource`."""

    desc_color: int | None = None
    """0 grey (default), 1 black, 2 red, 3 green."""


class ActionItem(VendorObject):
    """One entry of the menu."""

    text: str
    """Required."""
    key: str
    """Required, at most 1024 bytes, unique in the menu (42051); comes back as EventKey."""


class ActionMenu(VendorObject):
    """The menu at the top right; with it `task_id` is required (the worker gives one)."""

    desc: str | None = None
    """Text shown on the menu."""
    action_list: list[ActionItem]
    """Required, 1 to 3 entries."""


class MainTitle(VendorObject):
    """The main title; required (41016), except in a text notice that has `sub_title_text`."""

    title: str | None = None
    """Required as the title itself is. Suggested: at most 36 characters, 16 on a vote card."""
    desc: str | None = None
    """Suggested: at most 44 characters, 160 on vote and multiple cards."""


class LinkObject(VendorObject):
    """Base of what can lead somewhere."""

    type: int | None = None
    """0 or absent: no link, 1: `url`, 2: mini program."""
    url: str | None = None
    """Required for type 1 (42028)."""
    appid: str | None = None
    """Mini program linked to the app; required for type 2 (42030)."""
    pagepath: str | None = None
    """Page of that mini program."""


class QuoteArea(LinkObject):
    """A quotation, with a link when `type` says so."""

    title: str | None = None
    """Heading of the quotation."""
    quote_text: str | None = None
    """The quotation."""


class EmphasisContent(VendorObject):
    """The figure a text notice is about."""

    title: str | None = None
    """Suggested: at most 14 characters."""
    desc: str | None = None
    """Suggested: at most 22 characters."""


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
    """Width by height: 1.3 (default) to less than 2.25."""


class VerticalContent(VendorObject):
    """One block of text; at most 4 of them (42036)."""

    title: str
    """Required (42033). Suggested: at most 38 characters."""
    desc: str | None = None
    """Suggested: at most 160 characters."""


class HorizontalContent(VendorObject):
    """One line of key and value; at most 6 of them (42035)."""

    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "file")

    type: int | None = None
    """0 or absent: plain, 1: `url`, 2: attachment, 3: profile of a member."""
    keyname: str
    """Required (42027). Suggested: at most 5 characters."""
    value: str | None = None
    """Suggested: at most 30 characters; for type 2 the file's name with its extension;
    left out, that of `file`."""
    url: str | None = None
    """Required for type 1 (42028)."""
    media_id: str | None = None
    """Of a `file` upload; required for type 2 (42029), or a file."""
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
    """Required (42033). Suggested: at most 18 characters."""


class CardAction(LinkObject):
    """What a click on the whole card opens; on notices it is required, of type 1 or 2 (42045)."""


class Option(VendorObject):
    """One choice of a drop-down."""

    id: str
    """Required, at most 128 bytes, unique (42040)."""
    text: str
    """Required (42041). Suggested: at most 16 characters."""


class CheckOption(VendorObject):
    """One choice of a vote."""

    id: str
    """Required, at most 128 bytes, unique (42040)."""
    text: str
    """Required (42041). Suggested: at most 17 characters."""
    is_checked: bool
    """Required: whether it is chosen at first."""


class ButtonSelection(VendorObject):
    """A drop-down above the buttons."""

    question_key: str
    """Required, at most 1024 bytes (42043)."""
    title: str | None = None
    """Label on the left."""
    option_list: list[Option]
    """Required, 1 to 10 entries (42037)."""
    selected_id: str | None = None
    """Absent: the first option. One that is in no option would be taken for the first, so it is refused here."""


class SelectItem(ButtonSelection):
    """One drop-down of a multiple card; `question_key` is unique in the card (42043)."""

    disable: bool | None = None
    """Only in an update: freezes the choice."""


class Button(VendorObject):
    """One button; at most 6 of them."""

    type: int | None = None
    """0 or absent: callback, 1: opens `url`."""
    text: str
    """Required (42038). Suggested: at most 10 characters."""
    style: int | None = None
    """1 to 4; the vendor takes anything else for 1, so it is refused here."""
    key: str | None = None
    """Required for type 0, at most 1024 bytes, unique (42039); comes back as EventKey."""
    url: str | None = None
    """Required for type 1 (42028)."""


class Checkbox(VendorObject):
    """The vote itself."""

    question_key: str
    """Required, at most 1024 bytes (42043)."""
    mode: int | None = None
    """0 one choice (default), 1 several."""
    option_list: list[CheckOption]
    """Required, 1 to 20 entries (42037)."""
    disable: bool | None = None
    """Only in an update: freezes the choice."""


class SubmitButton(VendorObject):
    """The button that sends the choices."""

    text: str
    """Required (42049). Suggested: at most 10 characters."""
    key: str
    """Required, at most 1024 bytes (42046); comes back as EventKey."""
