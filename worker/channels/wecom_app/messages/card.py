"""The five template cards (模板卡片) as messages. Limits: page 90236, and as rows `fields/cards.py`.

Cards that call back (the three interactive ones, and notices with `action_menu`) need an app with a callback URL
(43012); their receipt holds a `response_code` for 72 h, for one update each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from worker.channels.typed import VendorMessage, attached
from worker.channels.wecom_app.messages.card_parts import (
    ActionMenu,
    Button,
    ButtonSelection,
    CardAction,
    CardImage,
    Checkbox,
    EmphasisContent,
    HorizontalContent,
    ImageTextArea,
    Jump,
    MainTitle,
    PlainSource,
    QuoteArea,
    SelectItem,
    Source,
    SubmitButton,
    VerticalContent,
)
from worker.domain.content.message import File


class Card(VendorMessage):
    """Base of the cards."""

    card_type: ClassVar[str]
    """The vendor's name of the card (42031)."""

    task_id: str | None = None
    """Unique per app, `0-9A-Za-z_-@`, at most 116 bytes: the vendor's 128 (42014) less room for the part's suffix.

    Left out, the worker makes one per part. Either way it makes a repeat safe: 42014 then means "accepted before".
    An update has none: the original's stays.
    """
    enable_id_trans: int | None = None
    """1 translates ids in source.desc, main_title, sub_title_text and horizontal_content_list.value."""

    def card(self) -> dict[str, Any]:
        """The vendor's `template_card` object; also the start of a `CardUpdate(template_card=...)`."""
        fields = self.model_dump(mode="json", exclude_none=True, exclude={"enable_id_trans"})
        return {"card_type": self.card_type, **fields}

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        body: dict[str, Any] = {"template_card": self.card()}
        if self.enable_id_trans is not None:
            body["enable_id_trans"] = self.enable_id_trans
        return {"type": "template_card", "body": body, "options": {}}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return dict(attached(self, "template_card"))


class NoticeCard(Card):
    """Base of the two notices."""

    source: Source | None = None
    """Where the card comes from."""
    action_menu: ActionMenu | None = None
    """Menu at the top right; with it the card calls back, and can be updated."""
    main_title: MainTitle | None = None
    """A text notice has this or `sub_title_text` (41016)."""
    quote_area: QuoteArea | None = None
    """A quotation."""
    horizontal_content_list: list[HorizontalContent] | None = None
    """At most 6 entries (42035); may be empty."""
    jump_list: list[Jump] | None = None
    """At most 3 entries (42042); may be empty."""
    card_action: CardAction
    """Required, of type 1 or 2 (42045): what a click on the whole card opens."""


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


class ButtonCard(Card):
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


class VoteCard(Card):
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


class MultipleCard(Card):
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


CARD_CLASSES: Mapping[str, type[Card]] = {
    one.card_type: one for one in (TextNoticeCard, NewsNoticeCard, ButtonCard, VoteCard, MultipleCard)
}
"""By card_type."""
