"""The vendor's field tables, by msgType, and which of them apply to a message.

A table describes the whole body, and the rows stand at the fields of the messages. Source: c01_00003 (msg/send),
c01_00006 (pop-up windows), c01_00005 (badges).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking.row import R, Row
from worker.channels.typed import rows_of
from worker.channels.youdu.messages import ITEMS, PLAIN, Badge, PopWindow

SEND, UPLOAD, POP_WINDOW, BADGE = "send", "upload", "pop_window", "badge"
KINDS = (SEND, UPLOAD, POP_WINDOW, BADGE)
SENDS = frozenset({SEND, POP_WINDOW, BADGE})
"""The kinds that have people as recipients."""
SPLIT_FIELD = "text.content"
"""The text that can be split into several messages."""

BODIES: Mapping[str, tuple[Row, ...]] = {
    **{name: (R(name, dict, required=True), *rows_of(made, name)) for name, made in PLAIN.items()},
    **{name: rows_of(made) for name, made in ITEMS.items()},
}
"""By msgType. A type that is not listed is sent as it is (`Raw`)."""
WINDOW_ROWS: tuple[Row, ...] = (R("popWindow", dict, required=True), *rows_of(PopWindow, "popWindow"))
BADGE_ROWS = rows_of(Badge)

OURS = frozenset({"toUser", "toDept", "toAll", "toEmail", "toGid", "msgType", "buin", "appId", "encrypt"})
"""Fields next to a type's own object that only the worker sets."""

MAIL_OF: Mapping[str, tuple[str, ...]] = {
    "new": ("subject", "fromUser", "fromEmail", "link"),
    "unread": ("unreadCount",),
}
"""Which fields of a mail belong to which action."""


def fields_of_other_actions(action: object) -> Iterator[str]:
    """Yields the fields of a mail that belong to another action than its own. None for an unknown action."""
    if action in tuple(MAIL_OF):
        yield from (name for other, names in MAIL_OF.items() if other != action for name in names)


UPLOAD_TYPES = ("image", "file", "voice", "video")
"""Other types: 200009."""


def body_rows(kind: str, msgtype: str) -> tuple[Row, ...]:
    """Returns the rows of a message, or none for a type we do not model."""
    if kind == POP_WINDOW:
        return WINDOW_ROWS
    if kind == BADGE:
        return BADGE_ROWS
    return BODIES.get(msgtype, ())


def bodies(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yields the body: once, or once for each piece of a split text."""
    body = document["body"]
    if "pieces" in document:
        yield from ({**body, "text": {**body["text"], "content": piece}} for piece in document["pieces"])
    else:
        yield body
