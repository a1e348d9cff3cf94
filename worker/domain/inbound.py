"""What a vendor told us through a callback, and why a request to a callback's address is refused. Values only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class CallbackRefused(Exception):
    """This request is no callback of the vendor's for this account. The text is a fixed phrase, fit for a log."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status
        """The HTTP status that says so."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One event or message of the vendor's, decrypted and understood as far as we need it."""

    event: str
    """The vendor's name of the event, or `message:<MsgType>`."""
    person: str = field(repr=False)
    """Who caused it, as the vendor writes it; empty when nobody did."""
    happened_at: int
    """The vendor's instant in Unix seconds."""
    identity: tuple[str, ...] = field(repr=False)
    """What makes it this very event; the vendor repeats events, encrypted anew each time."""
    payload: Mapping[str, Any] = field(repr=False)
    """Everything that came, as JSON can say it."""
    card: CardPress | None = None
    """Set when a card, or a button below a message, was pressed."""
    chat: ChatNews | None = None
    """Set where it says of a chat that it is there, or not any more."""
    answer: bytes = b""
    """JSON that tells the vendor that it was taken; empty: the status alone does."""

    def key(self, account: str) -> str:
        """The same for every delivery of the same event to the same account, another for any other."""
        return hashlib.sha256(json.dumps([account, *self.identity]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CardPress:
    """A button, an entry of the menu, or the submit button of a card was pressed."""

    task_id: str
    button: str
    card_type: str
    response_code: str | None = field(repr=False)
    """Good for one update of the card; null where the vendor gave none."""
    selected: Mapping[str, list[str]] = field(repr=False)
    """Question key -> the option ids chosen."""
    menu: bool = False
    """It was an entry of the card's menu."""
    own_id_at: tuple[str | int, ...] = ()
    """Where in the message of the job that sent it the caller's own id stands; empty: `task_id` is the caller's."""


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
    """Of a single chat: whose it is."""
    allowance: int | None = None
    """How many messages it takes from now on; null: not counted."""
    lanes: tuple[str, ...] = field(default=(), repr=False)
    """The readable lanes of what is sent to it: by its own id, and to a single chat by its person's."""
