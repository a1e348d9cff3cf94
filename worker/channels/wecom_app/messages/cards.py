"""The five template cards (模板卡片) as messages, and what only cards with buttons or choices are made of.

Limits: page 90236 (发送应用消息, 模板卡片消息), and as rows `card_fields.py`; "suggested" lengths only warn. Cards that
call back (the three interactive ones, and notices with `action_menu`) need an app with a callback URL (43012); their
receipt holds a `response_code` for 72 h, for one update each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from worker.channels.typed import VendorObject
from worker.channels.wecom.cards import (
    Card,
    CardAction,
    CardImage,
    EmphasisContent,
    HorizontalContent,
    ImageTextArea,
    MainTitle,
    Notice,
    PlainSource,
    QuoteArea,
    Source,
    VerticalContent,
)
from worker.channels.wecom_app.messages.basic import OfApp


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


class AppCard(OfApp, Card):
    """Base of an application's cards."""

    ENVELOPE: ClassVar[tuple[str, ...]] = ("enable_id_trans",)

    task_id: str | None = None
    """Unique per app, `0-9A-Za-z_-@`, at most 116 bytes: the vendor's 128 (42014) less room for the part's suffix.

    Left out, the worker makes one per part. Either way it makes a repeat safe: 42014 then means "accepted before".
    An update has none: the original's stays.
    """
    enable_id_trans: int | None = None
    """1 translates ids in source.desc, main_title, sub_title_text and horizontal_content_list.value."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {**super().document(), "options": self.agentid()}


class NoticeCard(AppCard, Notice):
    """Base of the two notices."""

    action_menu: ActionMenu | None = None
    """Menu at the top right; with it the card calls back, and can be updated."""
    main_title: MainTitle | None = None
    """A text notice has this or `sub_title_text` (41016)."""


class TextNoticeCard(NoticeCard):
    """A text notice (文本通知型)."""

    card_type: ClassVar[str] = "text_notice"

    emphasis_content: EmphasisContent | None = None
    """The figure it is about."""
    sub_title_text: str | None = None
    """Suggested: at most 160 characters. Required without `main_title.title` (41016)."""


class NewsNoticeCard(NoticeCard):
    """A picture notice (图文展示型); one of `image_text_area` and `card_image` is required (42044)."""

    card_type: ClassVar[str] = "news_notice"

    main_title: MainTitle
    """Required, with its title (41016)."""
    image_text_area: ImageTextArea | None = None
    """A picture at the left, text at the right."""
    card_image: CardImage | None = None
    """A picture over the whole width."""
    vertical_content_list: list[VerticalContent] | None = None
    """At most 4 entries (42036); may be empty."""


class ButtonCard(AppCard):
    """A card with buttons (按钮交互型)."""

    card_type: ClassVar[str] = "button_interaction"

    main_title: MainTitle
    """Required, with its title (41016)."""
    button_list: list[Button]
    """Required, 1 to 6 entries."""
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
    """What a click on the whole card opens; type 0, 1 or 2."""
    button_selection: ButtonSelection | None = None
    """A drop-down above the buttons."""
    replace_text: str | None = None
    """Only in an update: one grey button with this text stands for all."""


class VoteCard(AppCard):
    """A vote (投票选择型)."""

    card_type: ClassVar[str] = "vote_interaction"

    main_title: MainTitle
    """Required, with its title (41016). Suggested: at most 16 characters."""
    checkbox: Checkbox
    """Required."""
    submit_button: SubmitButton | None = None
    """Required (42046), except in an update."""
    source: PlainSource | None = None
    """Where the card comes from; no colour here."""
    replace_text: str | None = None
    """Only in an update: a grey button with this text."""


class MultipleCard(AppCard):
    """A card with several drop-downs (多项选择型)."""

    card_type: ClassVar[str] = "multiple_interaction"

    main_title: MainTitle
    """Required, with its title (41016)."""
    select_list: list[SelectItem]
    """Required, 1 to 3 entries (42047)."""
    submit_button: SubmitButton | None = None
    """Required (42046), except in an update."""
    source: PlainSource | None = None
    """Where the card comes from; no colour here."""
    replace_text: str | None = None
    """Only in an update: a grey button with this text."""


CARD_CLASSES: Mapping[str, type[AppCard]] = {
    one.card_type: one for one in (TextNoticeCard, NewsNoticeCard, ButtonCard, VoteCard, MultipleCard)
}
"""By card_type."""
