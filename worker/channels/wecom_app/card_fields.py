"""Rows of the template cards (模板卡片), by card type, for sends (page 90236) and for updates (page 94888).

"Suggested" lengths only warn: clients shorten what is longer, and no error is documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.channels.checking.row import Either, FieldRule, Row
from worker.channels.wecom.card_fields import (
    CARD_IMAGE,
    CARD_TYPE,
    IMAGE_TEXT_AREA,
    LINK_TYPES,
    NOTICE_ACTION,
    QUOTE_AREA,
    SOURCE_COLOR,
    Rows,
    emphasis,
    horizontal,
    jumps,
    links,
    source,
    vertical,
)
from worker.domain.job import Kind

R = FieldRule

TASK_ID_MAX = 128
TASK_ID_ROOM = 12
"""Room kept for our suffix `_<n>_r<replay>`: 100,000 parts and 10,000 replays."""

KEY_BYTES = 1024

TASK_ID = R(
    "task_id",
    max_bytes=TASK_ID_MAX - TASK_ID_ROOM,
    charset=r"[0-9A-Za-z_@-]+",
    code=42014,
    note=f"the vendor takes {TASK_ID_MAX}, less {TASK_ID_ROOM} for the suffix of parts and replays",
)


def _title(*, required: bool = True, title: int = 36, desc: int = 44) -> Rows:
    return (
        R("main_title", dict, required=required, missing=41016),
        R("main_title.title", required=required, advised=title, missing=41016, translated=True),
        R("main_title.desc", advised=desc, translated=True),
    )


def _options(parent: str, most: int, advised: int) -> Rows:
    return (
        R(f"{parent}.option_list", list, required=True, entries=(1, most), code=42037),
        R(f"{parent}.option_list[].id", required=True, max_bytes=128, unique=True, code=42040),
        R(f"{parent}.option_list[].text", required=True, advised=advised, code=42041),
    )


def _selected(parent: str) -> FieldRule:
    return R(f"{parent}.selected_id", among="option_list.id", note="the vendor would take the first option")


_SOURCE = source(20, translated=True)
_ACTION_MENU = (
    R("action_menu", dict),
    R("action_menu.desc"),
    R("action_menu.action_list", list, required=True, entries=(1, 3)),
    R("action_menu.action_list[].text", required=True),
    R("action_menu.action_list[].key", required=True, max_bytes=KEY_BYTES, unique=True, code=42051),
)
_SUB_TITLE = R("sub_title_text", advised=160, translated=True)
_PICTURES = (*IMAGE_TEXT_AREA, R("card_image", dict), *CARD_IMAGE, Either(("image_text_area", "card_image"), 42044))
_JUMPS = jumps(18)
_CARD_ACTION = (
    R("card_action", dict),
    R("card_action.type", int, allowed=LINK_TYPES, code=42045),
    *links("card_action"),
)
_BUTTON_SELECTION = (
    R("button_selection", dict),
    R("button_selection.question_key", required=True, max_bytes=KEY_BYTES, code=42043),
    R("button_selection.title"),
    *_options("button_selection", 10, 16),
    _selected("button_selection"),
)
_BUTTONS = (
    R("button_list", list, required=True, entries=(1, 6)),
    R("button_list[].type", int, allowed=(0, 1)),
    R("button_list[].text", required=True, advised=10, code=42038),
    R("button_list[].style", int, allowed=(1, 2, 3, 4), note="the vendor would take it for 1"),
    R("button_list[].key", when=("type", 0), max_bytes=KEY_BYTES, unique=True, code=42039),
    R("button_list[].url", when=("type", 1), code=42028),
)
_CHECKBOX = (
    R("checkbox", dict, required=True, code=42043),
    R("checkbox.question_key", required=True, max_bytes=KEY_BYTES, code=42043),
    R("checkbox.mode", int, allowed=(0, 1)),
    *_options("checkbox", 20, 17),
    R("checkbox.option_list[].is_checked", bool, required=True),
)
_SELECTS = (
    R("select_list", list, required=True, entries=(1, 3), code=42047),
    R("select_list[].question_key", required=True, max_bytes=KEY_BYTES, unique=True, code=42043),
    R("select_list[].title"),
    _selected("select_list[]"),
    *_options("select_list[]", 10, 16),
)
_SUBMIT = (
    R("submit_button", dict, required=True, code=42046),
    R("submit_button.text", required=True, advised=10, code=42049),
    R("submit_button.key", required=True, max_bytes=KEY_BYTES, code=42046),
)

_MENU_CARD: Rows = (CARD_TYPE, *_SOURCE, SOURCE_COLOR, *_ACTION_MENU, *QUOTE_AREA, *horizontal(30, translated=True))
_BODIES: Mapping[str, Rows] = {
    "text_notice": (
        *_MENU_CARD,
        *_title(required=False),
        _SUB_TITLE,
        Either(("main_title.title", "sub_title_text"), 41016),
        *emphasis(14, 22),
        *_JUMPS,
        *NOTICE_ACTION,
    ),
    "news_notice": (*_MENU_CARD, *_title(), *_PICTURES, *vertical(38, 160), *_JUMPS, *NOTICE_ACTION),
    "button_interaction": (*_MENU_CARD, *_title(), _SUB_TITLE, *_CARD_ACTION, *_BUTTON_SELECTION, *_BUTTONS),
    "vote_interaction": (CARD_TYPE, *_SOURCE, *_title(title=16, desc=160), *_CHECKBOX, *_SUBMIT),
    "multiple_interaction": (CARD_TYPE, *_SOURCE, *_title(desc=160), *_SELECTS, *_SUBMIT),
}

CARD_TYPES = tuple(_BODIES)
INTERACTIVE = frozenset(CARD_TYPES[2:])
"""Cards that always call back; a notice does only with an `action_menu`."""

_FROZEN: Mapping[str, tuple[FieldRule, ...]] = {
    "button_interaction": (R("replace_text"),),
    "vote_interaction": (R("replace_text"), R("checkbox.disable", bool)),
    "multiple_interaction": (R("replace_text"), R("select_list[].disable", bool)),
}
"""Fields by which an update freezes a card (page 94888)."""


def _sent(name: str) -> Rows:
    why = "only a card update can freeze a card"
    return (*_BODIES[name], TASK_ID, *(replace(row, banned=why) for row in _FROZEN.get(name, ())))


def _updated(name: str) -> Rows:
    """Rows of a card in an update: the submit button may be left out, and the task_id stays the original's."""
    rows = (
        replace(row, required=False) if isinstance(row, FieldRule) and row.path == "submit_button" else row
        for row in _BODIES[name]
    )
    return (*rows, *_FROZEN.get(name, ()))


CARDS: Mapping[str, Rows] = {name: _sent(name) for name in CARD_TYPES}
"""Rows of the cards of a send, by card_type."""

UPDATED_CARDS: Mapping[str, Rows] = {name: _updated(name) for name in CARD_TYPES}
"""Rows of the cards of an update."""

REPLACE_NAME = (R("replace_name", required=True),)


def card_rows(kind: str, card: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a card, by its card_type; an update's differ from a send's."""
    rows = UPDATED_CARDS if kind == Kind.UPDATE_CARD else CARDS
    return rows.get(str(card.get("card_type")), ())


def card_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The card of a send or of an update, if there is one."""
    holder = document if document.get("type") == "card_update" else document.get("body")
    card = holder.get("template_card") if isinstance(holder, Mapping) else None
    return card if isinstance(card, Mapping) else None


def calls_back(card: Mapping[str, Any]) -> bool:
    """Whether members can answer on the card: such cards need a callback URL and give a response_code (90236)."""
    return card.get("card_type") in INTERACTIVE or bool(card.get("action_menu"))
