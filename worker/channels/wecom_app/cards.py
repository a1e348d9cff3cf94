"""The five template cards (模板卡片) as messages, and what only cards with buttons or choices are made of.

Limits: pages 90236 (发送应用消息, 模板卡片消息) and 94888 (更新模版卡片消息); "suggested" lengths only warn. Cards that
call back (the three interactive ones, and notices with `action_menu`) need an app with a callback URL (43012); their
receipt holds a `response_code` for 72 h, for one update each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from worker.channels.checking.row import AnyOf, FieldRule, R, Row, banned, changed
from worker.channels.typed import VendorObject, rows_of
from worker.channels.wecom.cards import (
    Card,
    CardAction,
    CardImage,
    CardSource,
    EmphasisContent,
    HorizontalContents,
    ImageTextArea,
    MainTitle,
    Notice,
    PlainCardSource,
    QuoteArea,
    VerticalContents,
)
from worker.channels.wecom_app.messages import OfApp, Switch
from worker.domain.job import JobKind

__all__ = [
    "ActionItem",
    "ActionMenu",
    "Button",
    "ButtonCard",
    "ButtonSelection",
    "Checkbox",
    "CheckboxOption",
    "MultipleCard",
    "NewsNoticeCard",
    "SelectItem",
    "SelectOption",
    "SubmitButton",
    "TextNoticeCard",
    "VoteCard",
]

KEY_BYTES = 1024
TASK_ID_MAX = 128
TASK_ID_ROOM = 14
"""Room kept for our suffix `_<n>_r<replay>`: 100,000 parts, and the 6 random characters of a replay or correction."""


class ActionItem(VendorObject):
    """One entry of the menu."""

    text: str
    """Required."""
    key: Annotated[str, R(max_bytes=KEY_BYTES, unique=True, code=42051)]
    """Required, at most 1024 bytes, unique in the menu (42051); comes back as EventKey."""


class ActionMenu(VendorObject):
    """The menu at the top right; with it `task_id` is required (the worker gives one)."""

    desc: str | None = None
    """Text shown on the menu."""
    action_list: Annotated[list[ActionItem], R(entries=(1, 3))]
    """Required, 1 to 3 entries."""


class SelectOption(VendorObject):
    """One choice of a drop-down."""

    id: Annotated[str, R(max_bytes=128, unique=True, code=42040)]
    """Required, at most 128 bytes, unique (42040)."""
    text: Annotated[str, R(advised=16, code=42041)]
    """Required (42041). Suggested: at most 16 characters."""


class CheckboxOption(VendorObject):
    """One choice of a vote."""

    id: Annotated[str, R(max_bytes=128, unique=True, code=42040)]
    """Required, at most 128 bytes, unique (42040)."""
    text: Annotated[str, R(advised=17, code=42041)]
    """Required (42041). Suggested: at most 17 characters."""
    is_checked: bool
    """Required: whether it is chosen at first."""


class ButtonSelection(VendorObject):
    """A drop-down above the buttons."""

    question_key: Annotated[str, R(max_bytes=KEY_BYTES, code=42043)]
    """Required, at most 1024 bytes (42043)."""
    title: str | None = None
    """Label on the left."""
    option_list: Annotated[list[SelectOption], R(entries=(1, 10), code=42037)]
    """Required, 1 to 10 entries (42037)."""
    selected_id: Annotated[
        str | None, R(among="option_list.id", neutral=True, note="the vendor would take the first option")
    ] = None
    """Absent: the first option. One that is in no option would be taken for the first, so it is refused here."""


class SelectItem(ButtonSelection):
    """One drop-down of a multiple card; `question_key` is unique in the card (42043)."""

    CHANGES: ClassVar[Mapping[str, Mapping[str, Any]]] = {"question_key": {"unique": True}}

    disable: Annotated[bool | None, R(neutral=True)] = None
    """Only in an update: freezes the choice."""


class Button(VendorObject):
    """One button; at most 6 of them."""

    type: Annotated[int | None, R(allowed=(0, 1))] = None
    """0 or absent: callback, 1: opens `url`."""
    text: Annotated[str, R(advised=10, code=42038)]
    """Required (42038). Suggested: at most 10 characters."""
    style: Annotated[int | None, R(allowed=(1, 2, 3, 4), neutral=True, note="the vendor would take it for 1")] = None
    """1 to 4; the vendor takes anything else for 1, so it is refused here."""
    key: Annotated[str | None, R(when=("type", 0), max_bytes=KEY_BYTES, unique=True, neutral=True, code=42039)] = None
    """Required for type 0, at most 1024 bytes, unique (42039); comes back as EventKey."""
    url: Annotated[str | None, R(when=("type", 1), code=42028)] = None
    """Required for type 1 (42028)."""


class Checkbox(VendorObject):
    """The vote itself."""

    question_key: Annotated[str, R(max_bytes=KEY_BYTES, code=42043)]
    """Required, at most 1024 bytes (42043)."""
    mode: Annotated[int | None, R(allowed=(0, 1))] = None
    """0 one choice (default), 1 several."""
    option_list: Annotated[list[CheckboxOption], R(entries=(1, 20), code=42037)]
    """Required, 1 to 20 entries (42037)."""
    disable: Annotated[bool | None, R(neutral=True)] = None
    """Only in an update: freezes the choice."""


class SubmitButton(VendorObject):
    """The button that sends the choices."""

    text: Annotated[str, R(advised=10, code=42049)]
    """Required (42049). Suggested: at most 10 characters."""
    key: Annotated[str, R(max_bytes=KEY_BYTES, code=42046)]
    """Required, at most 1024 bytes (42046); comes back as EventKey."""


SubTitle = Annotated[str | None, R(advised=160, translated=True)]


class AppCard(OfApp, Card):
    """Base of an application's cards."""

    ENVELOPE: ClassVar[tuple[str, ...]] = ("enable_id_trans",)

    task_id: Annotated[
        str | None,
        R(
            max_bytes=TASK_ID_MAX - TASK_ID_ROOM,
            charset=r"[0-9A-Za-z_@-]+",
            neutral=True,
            code=42014,
            note=f"the vendor takes {TASK_ID_MAX}, less {TASK_ID_ROOM} for the suffix of parts and replays",
        ),
    ] = None
    """Unique per app, `0-9A-Za-z_-@`, at most 114 bytes: the vendor's 128 (42014) less room for the part's suffix.

    Left out, the worker makes one per part. Either way it makes a repeat safe: 42014 then means "accepted before".
    An update has none: the original's stays.
    """
    enable_id_trans: Switch = None
    """1 translates ids in source.desc, main_title, sub_title_text and horizontal_content_list.value."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {**super().document(), "options": self.agentid()}


class NoticeCard(AppCard, Notice):
    """Base of the two notices."""

    action_menu: ActionMenu | None = None
    """Menu at the top right; with it the card calls back, and can be updated."""
    main_title: Annotated[MainTitle | None, R(missing=41016)] = None
    """A text notice has this or `sub_title_text` (41016)."""


class TextNoticeCard(NoticeCard):
    """A text notice (文本通知型)."""

    card_type: ClassVar[str] = "text_notice"
    ROWS: ClassVar[tuple[Row, ...]] = (AnyOf(("main_title.title", "sub_title_text"), 41016),)
    CHANGES: ClassVar[Mapping[str, Mapping[str, Any]]] = {"main_title.title": {"required": False}}

    emphasis_content: EmphasisContent | None = None
    """The figure it is about."""
    sub_title_text: SubTitle = None
    """Suggested: at most 160 characters. Required without `main_title.title` (41016)."""


class NewsNoticeCard(NoticeCard):
    """A picture notice (图文展示型); one of `image_text_area` and `card_image` is required (42044)."""

    card_type: ClassVar[str] = "news_notice"
    ROWS: ClassVar[tuple[Row, ...]] = (AnyOf(("image_text_area", "card_image"), 42044),)

    main_title: Annotated[MainTitle, R(missing=41016)]
    """Required, with its title (41016)."""
    image_text_area: ImageTextArea | None = None
    """A picture at the left, text at the right."""
    card_image: CardImage | None = None
    """A picture over the whole width."""
    vertical_content_list: VerticalContents = None
    """At most 4 entries (42036); may be empty."""


class ButtonCard(AppCard):
    """A card with buttons (按钮交互型)."""

    card_type: ClassVar[str] = "button_interaction"

    main_title: Annotated[MainTitle, R(missing=41016)]
    """Required, with its title (41016)."""
    button_list: Annotated[list[Button], R(entries=(1, 6))]
    """Required, 1 to 6 entries."""
    source: CardSource | None = None
    """Where the card comes from."""
    action_menu: ActionMenu | None = None
    """Menu at the top right."""
    quote_area: QuoteArea | None = None
    """A quotation."""
    sub_title_text: SubTitle = None
    """Suggested: at most 160 characters."""
    horizontal_content_list: HorizontalContents = None
    """At most 6 entries (42035); may be empty."""
    card_action: CardAction | None = None
    """What a click on the whole card opens; type 0, 1 or 2."""
    button_selection: ButtonSelection | None = None
    """A drop-down above the buttons."""
    replace_text: Annotated[str | None, R(neutral=True)] = None
    """Only in an update: one grey button with this text stands for all."""


class VoteCard(AppCard):
    """A vote (投票选择型)."""

    card_type: ClassVar[str] = "vote_interaction"
    CHANGES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "main_title.title": {"advised": 16},
        "main_title.desc": {"advised": 160},
    }

    main_title: Annotated[MainTitle, R(missing=41016)]
    """Required, with its title (41016). Suggested: at most 16 characters."""
    checkbox: Annotated[Checkbox, R(code=42043)]
    """Required."""
    submit_button: Annotated[SubmitButton | None, R(required=True, code=42046)] = None
    """Required (42046), except in an update."""
    source: PlainCardSource | None = None
    """Where the card comes from; no colour here."""
    replace_text: Annotated[str | None, R(neutral=True)] = None
    """Only in an update: a grey button with this text."""


class MultipleCard(AppCard):
    """A card with several drop-downs (多项选择型)."""

    card_type: ClassVar[str] = "multiple_interaction"
    CHANGES: ClassVar[Mapping[str, Mapping[str, Any]]] = {"main_title.desc": {"advised": 160}}

    main_title: Annotated[MainTitle, R(missing=41016)]
    """Required, with its title (41016)."""
    select_list: Annotated[list[SelectItem], R(entries=(1, 3), code=42047)]
    """Required, 1 to 3 entries (42047)."""
    submit_button: Annotated[SubmitButton | None, R(required=True, code=42046)] = None
    """Required (42046), except in an update."""
    source: PlainCardSource | None = None
    """Where the card comes from; no colour here."""
    replace_text: Annotated[str | None, R(neutral=True)] = None
    """Only in an update: a grey button with this text."""


CARD_CLASSES: Mapping[str, type[AppCard]] = {
    one.card_type: one for one in (TextNoticeCard, NewsNoticeCard, ButtonCard, VoteCard, MultipleCard)
}
"""By card_type."""
CARD_TYPES = tuple(CARD_CLASSES)
INTERACTIVE = CARD_TYPES[2:]
"""Cards that always call back; a notice does only with an `action_menu`."""

_FROZEN = dict.fromkeys(
    ("replace_text", "checkbox.disable", "select_list[].disable"), "only a card update can freeze a card"
)
"""Fields by which an update freezes a card (page 94888)."""
CARDS: Mapping[str, tuple[Row, ...]] = {name: banned(rows_of(made), _FROZEN) for name, made in CARD_CLASSES.items()}
"""Rows of the cards of a send, by card_type."""
UPDATED_CARDS: Mapping[str, tuple[Row, ...]] = {
    name: tuple(
        row
        for row in changed(rows_of(made), {"submit_button": {"required": False}})
        if not (isinstance(row, FieldRule) and row.path == "task_id")
    )
    for name, made in CARD_CLASSES.items()
}
"""Rows of the cards of an update: the submit button may be left out, and the task_id stays the original's."""


def card_rows(kind: str, card: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a card, by its card_type; an update's differ from a send's."""
    rows = UPDATED_CARDS if kind == JobKind.UPDATE_CARD else CARDS
    return rows.get(str(card.get("card_type")), ())


def card_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The card of a send or of an update, if there is one."""
    holder = document if document.get("type") == "card_update" else document.get("body")
    card = holder.get("template_card") if isinstance(holder, Mapping) else None
    return card if isinstance(card, Mapping) else None


def calls_back(card: Mapping[str, Any]) -> bool:
    """Whether members can answer on the card: such cards need a callback URL and give a response_code (90236)."""
    return card.get("card_type") in INTERACTIVE or bool(card.get("action_menu"))
