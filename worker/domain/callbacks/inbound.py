"""A vendor's callback as values, and the reason why a request to a callback's address is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class CallbackRefused(Exception):
    """The request is no callback of the vendor for this account. The text is a fixed phrase that may be logged."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status
        """The HTTP status of the refusal."""


def unix_seconds(text: str) -> int | None:
    """Returns the Unix seconds in a request, of at most twelve digits, or None for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None


MESSAGE = "message:"
"""The prefix in the name of an event that is a person's message. The vendor's type follows."""


REPEATS_S = 25 * 3600
"""The longest time in seconds after which a callback may come again: Youdu repeats it for 24 hours (c01_00010)."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One event or message of the vendor, decrypted and parsed as far as it is needed."""

    event: str
    """The vendor's name of the event, or `message:<MsgType>`."""
    person: str = field(repr=False)
    """The userid of the person who caused it, as the vendor writes it, or empty if no person did."""
    happened_at: int
    """The vendor's instant in Unix seconds."""
    identity: tuple[str, ...] = field(repr=False)
    """The values that are equal in every delivery of this event and in no other event (`content_of`)."""
    payload: Mapping[str, Any] = field(repr=False)
    """The whole event as JSON values."""
    card: CardPress | None = None
    """Set when a card, or a button below a message, was pressed."""
    chat: ChatNews | None = None
    """Set when the event came from a chat, or says that this account was removed from one."""
    grant: Grant | None = None
    """Set when the event brought or withdrew a credential, which the payload then does not hold."""
    granted_by: str = ""
    """The corp that changed what it grants an app of the suite, or empty."""
    answer: bytes = b""
    """The body that acknowledges the event, or empty if the HTTP status is enough."""
    answer_type: str = "application/json"
    """The media type of the answer."""

    def key(self, account: str) -> str:
        """Returns a hash that is equal for every delivery of one event to one account, and differs for any other."""
        return hashlib.sha256(json.dumps([account, *self.identity]).encode()).hexdigest()


def content_of(message: bytes) -> tuple[str, ...]:
    """Returns the identity of an event: its whole decrypted content.

    The vendor repeats an event with the same content, encrypted anew. Fewer fields are not enough: two events of one
    person and second may differ in any of them, and an event that passes for a repeat is lost.
    """
    return ("content", hashlib.sha256(message).hexdigest())


class GrantKind(StrEnum):
    """The purpose of a credential that a callback brings."""

    TICKET = "ticket"
    """Needed to fetch the account's own token, for a while."""
    AUTH_CODE = "auth_code"
    """Exchanged once for a lasting code."""
    CODE = "code"
    """Valid until it is replaced or withdrawn."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A credential that an event brought or withdrew."""

    kind: GrantKind
    secret: str | None = field(repr=False)
    """The credential, or None if it was withdrawn."""
    subject: str = ""
    """The id of the corp whose lasting code it is, or empty for the other kinds."""
    lasts_s: int | None = None
    """Seconds for which it is valid, from the vendor's instant, or None without an end."""


@dataclass(frozen=True, slots=True)
class CardPress:
    """A button, an entry of the menu, or the submit button of a card was pressed."""

    task_id: str
    button: str
    card_type: str
    response_code: str | None = field(repr=False)
    """A code for one update of the card, or None if the vendor sent none."""
    selected: Mapping[str, list[str]] = field(repr=False)
    """Question key -> the option ids chosen."""
    menu: bool = False
    """True for an entry of the card's menu."""
    own_id_at: tuple[str | int, ...] = ()
    """Path of the caller's own task_id in the message of the job that sent the card, or empty if `task_id` is that id.
    """


class ChatChange(StrEnum):
    """What a callback reports about its chat."""

    SEEN = "seen"
    ADDED = "added"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ChatNews:
    """A chat, as a callback reports it."""

    chat_id: str = field(repr=False)
    chat_type: str
    """`single`, `group`, `blackboard`, as the vendor says."""
    change: ChatChange = ChatChange.SEEN
    person: str | None = field(default=None, repr=False)
    """The userid of a single chat's member."""
    allowance: int | None = None
    """How many messages it accepts from now on, or None if they are not counted."""
    lanes: tuple[str, ...] = field(default=(), repr=False)
    """Readable lanes of messages to the chat: by its id, and for a single chat also by its member's userid."""
