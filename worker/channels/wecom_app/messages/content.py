"""Which rows a message is held against, and the objects they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.wecom_app import fields
from worker.channels.wecom_app.fields import Row
from worker.domain.account import Account
from worker.domain.job import Kind

SENDS = frozenset({Kind.SEND.value, Kind.SEND_CHAT.value})
SPLIT_FIELD = "content"
"""The field of text and markdown that can go out as several messages."""


def body_rows(kind: str, msgtype: str, account: Account) -> tuple[Row, ...]:
    """The rows of a plain type; none for a type we do not model."""
    if kind == Kind.SEND_CHAT:
        return fields.CHAT_BODIES.get(msgtype, ())
    if msgtype == "textcard" and account.settings.get("textcard_unit") == "characters":
        return fields.TEXTCARD_BY_CHARACTERS
    return fields.BODIES.get(msgtype, ())


def card_rows(kind: str, card: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a card, by its card_type; an update's differ from a send's."""
    rows = fields.UPDATED_CARDS if kind == Kind.UPDATE_CARD else fields.CARDS
    return rows.get(str(card.get("card_type")), ())


def contents(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The type's own object: once, or once for each piece of a text that was split."""
    content = document["body"][document["type"]]
    if "pieces" in document:
        yield from ({**content, SPLIT_FIELD: piece} for piece in document["pieces"])
    else:
        yield content


def card_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The card of a send or of an update, if there is one."""
    holder = document if document.get("type") == "card_update" else document.get("body")
    card = holder.get("template_card") if isinstance(holder, Mapping) else None
    return card if isinstance(card, Mapping) else None


def calls_back(card: Mapping[str, Any]) -> bool:
    """Whether members can answer on the card: such cards need a callback URL and give a response_code (90236)."""
    return card.get("card_type") in fields.INTERACTIVE or bool(card.get("action_menu"))
