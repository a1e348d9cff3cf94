"""The interactive card with buttons (模板卡片, 按钮交互型) as typed objects in the vendor's spelling.

Limits stand in page 90236 (发送应用消息, 模板卡片消息) and, as rows, in `fields.py`; "suggested" lengths only warn.
"""

from __future__ import annotations

from typing import Any

from worker.channels.wecom_app.message import VendorMessage, VendorObject


class Source(VendorObject):
    """Where the card comes from: the line at its top."""

    icon_url: str | None = None
    """URL of an image; 72x72 suggested."""
    desc: str | None = None
    """Suggested: at most 20 characters."""
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
    """The main title."""

    title: str
    """Required (41016). Suggested: at most 36 characters."""
    desc: str | None = None
    """Suggested: at most 44 characters."""


class QuoteArea(VendorObject):
    """A quotation, with a link when `type` says so."""

    type: int | None = None
    """0 or absent: no link, 1: `url`, 2: mini program."""
    url: str | None = None
    """Required for type 1 (42028)."""
    appid: str | None = None
    """Mini program linked to the app; required for type 2 (42030)."""
    pagepath: str | None = None
    """Page of that mini program."""
    title: str | None = None
    """Heading of the quotation."""
    quote_text: str | None = None
    """The quotation."""


class HorizontalContent(VendorObject):
    """One line of key and value; at most 6 of them (42035)."""

    type: int | None = None
    """0 or absent: plain, 1: `url`, 2: attachment, 3: profile of a member."""
    keyname: str
    """Required (42027). Suggested: at most 5 characters."""
    value: str | None = None
    """Suggested: at most 30 characters; for type 2 the file's name with its extension."""
    url: str | None = None
    """Required for type 1 (42028)."""
    media_id: str | None = None
    """Of a `file` upload; required for type 2 (42029)."""
    userid: str | None = None
    """Required for type 3 (42050)."""


class CardAction(VendorObject):
    """What a click on the whole card opens."""

    type: int | None = None
    """0 or absent: nothing, 1: `url`, 2: mini program (42045)."""
    url: str | None = None
    """Required for type 1 (42028)."""
    appid: str | None = None
    """Required for type 2 (42030)."""
    pagepath: str | None = None
    """Page of that mini program."""


class Option(VendorObject):
    """One choice of the drop-down."""

    id: str
    """Required, at most 128 bytes, unique (42040)."""
    text: str
    """Required (42041). Suggested: at most 16 characters."""


class ButtonSelection(VendorObject):
    """A drop-down above the buttons."""

    question_key: str
    """Required, at most 1024 bytes (42043)."""
    title: str | None = None
    """Label on the left."""
    option_list: list[Option]
    """Required, 1 to 10 entries (42037)."""
    selected_id: str | None = None
    """Unknown or absent: the first option."""


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


class ButtonCard(VendorMessage):
    """A card with buttons. The app needs a callback URL (43012); its receipt holds a `response_code` for 72 h."""

    main_title: MainTitle
    """Required."""
    button_list: list[Button]
    """Required, 1 to 6 entries."""
    task_id: str | None = None
    """Unique per app, `0-9A-Za-z_-@`, at most 116 bytes: the vendor's 128 (42014) less room for the part's suffix.

    Left out, the worker makes one per part. Either way it makes a repeat safe: 42014 then means "accepted before".
    """
    source: Source | None = None
    """Where the card comes from."""
    action_menu: ActionMenu | None = None
    """Menu at the top right."""
    quote_area: QuoteArea | None = None
    """A quotation."""
    sub_title_text: str | None = None
    """Suggested: at most 160 characters."""
    horizontal_content_list: list[HorizontalContent] | None = None
    """At most 6 entries (42035); may be empty."""
    card_action: CardAction | None = None
    """What a click on the whole card opens."""
    button_selection: ButtonSelection | None = None
    """A drop-down above the buttons."""
    enable_id_trans: int = 0
    """1 translates ids in source.desc, main_title, sub_title_text and horizontal_content_list.value."""

    def card(self) -> dict[str, Any]:
        """The vendor's `template_card` object; also the start of a `CardUpdate(template_card=...)`."""
        fields = self.model_dump(mode="json", exclude_none=True, exclude={"enable_id_trans"})
        return {"card_type": "button_interaction", **fields}

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        body = {"template_card": self.card(), "enable_id_trans": self.enable_id_trans}
        return {"type": "template_card", "body": body, "options": {}}
