"""What a vendor's callback says, and why a request to a callback's address is refused. Values only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class CallbackRefused(Exception):
    """The request is no callback of the vendor's for this account. The text is a fixed phrase, fit for a log."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status
        """The HTTP status of the refusal."""


def unix_seconds(text: str) -> int | None:
    """The instant that a request states in at most twelve digits; None for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None


MESSAGE = "message:"
"""What the name of an event begins with that is a message of a person; the vendor's type follows."""


REPEATS_S = 25 * 3600
"""Longest time in which a callback may come again: a Youdu server repeats one for 24 hours (c01_00010)."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One event or message of the vendor's, decrypted and understood as far as we need it."""

    event: str
    """The vendor's name of the event, or `message:<MsgType>`."""
    person: str = field(repr=False)
    """The userid of the person who caused it, as the vendor writes it; empty: no person did."""
    happened_at: int
    """The vendor's instant in Unix seconds."""
    identity: tuple[str, ...] = field(repr=False)
    """What is equal in every delivery of this event, and in those of no other event (`content_of`)."""
    payload: Mapping[str, Any] = field(repr=False)
    """The whole event as JSON values."""
    card: CardPress | None = None
    """Set when a card, or a button below a message, was pressed."""
    chat: ChatNews | None = None
    """Set when the event shows a chat, or that this account was taken out of one."""
    grant: Grant | None = None
    """Set when the event brought or ended a credential, which the payload then does not hold."""
    answer: bytes = b""
    """The body that acknowledges the event; empty: the HTTP status alone does."""
    answer_type: str = "application/json"
    """The media type of the answer."""

    def key(self, account: str) -> str:
        """A hash that is equal for every delivery of one event to one account, and different for any other."""
        return hashlib.sha256(json.dumps([account, *self.identity]).encode()).hexdigest()


def content_of(message: bytes) -> tuple[str, ...]:
    """Returns the identity of an event: everything that was decrypted of it.

    The vendor repeats an event with the same content, encrypted anew. Fewer fields would not do: two events of one
    person and second may differ in any of them, and an event that is taken for a repeat is lost.
    """
    return ("content", hashlib.sha256(message).hexdigest())


class GrantKind(StrEnum):
    """What a credential that a callback brings is for."""

    TICKET = "ticket"
    """Asks for the account's own token, for a while."""
    AUTH_CODE = "auth_code"
    """Is exchanged once for a lasting code."""
    CODE = "code"
    """Lasts until it is replaced or withdrawn."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A credential that an event brought, or ended."""

    kind: GrantKind
    secret: str | None = field(repr=False)
    """None: it was withdrawn."""
    subject: str = ""
    """The id of the corp whose lasting code it is; empty for the others."""
    lasts_s: int | None = None
    """Seconds for which it is good, from the vendor's instant; None: no end."""


@dataclass(frozen=True, slots=True)
class CardPress:
    """A button, an entry of the menu, or the submit button of a card was pressed."""

    task_id: str
    button: str
    card_type: str
    response_code: str | None = field(repr=False)
    """Good for one update of the card; None where the vendor gave none."""
    selected: Mapping[str, list[str]] = field(repr=False)
    """Question key -> the option ids chosen."""
    menu: bool = False
    """True for an entry of the card's menu."""
    own_id_at: tuple[str | int, ...] = ()
    """Path of the caller's own task_id in the message of the job that sent the card; empty: `task_id` is that id."""


class ChatChange(StrEnum):
    """What a callback says of the chat it came from."""

    SEEN = "seen"
    ADDED = "added"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ChatNews:
    """A chat as a callback shows it."""

    chat_id: str = field(repr=False)
    chat_type: str
    """`single`, `group`, `blackboard`, as the vendor says."""
    change: ChatChange = ChatChange.SEEN
    person: str | None = field(default=None, repr=False)
    """The userid of a single chat's member."""
    allowance: int | None = None
    """How many messages it takes from now on; None: not counted."""
    lanes: tuple[str, ...] = field(default=(), repr=False)
    """Readable lanes of messages to it: by the chat's id, and for a single chat also by its member's userid."""
