"""Which rows a message is held against, and the bodies they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking.row import Row
from worker.channels.youdu import fields
from worker.domain.account import Account

SEND, UPLOAD, POP_WINDOW, BADGE = "send", "upload", "pop_window", "badge"
KINDS = (SEND, UPLOAD, POP_WINDOW, BADGE)
SENDS = frozenset({SEND, POP_WINDOW, BADGE})
"""The kinds that are for people."""
SPLIT_FIELD = "text.content"
"""The text that can go out as several messages."""


def rows_of(kind: str, msgtype: str, account: Account) -> tuple[Row, ...]:
    """The rows of a message; none for a type we do not model."""
    if kind == POP_WINDOW:
        return fields.POP_WINDOW
    if kind == BADGE:
        return fields.BADGE
    unit = str(account.settings.get("title_unit", "characters"))
    return fields.BODIES.get(unit, fields.BODIES["characters"]).get(msgtype, ())


def bodies(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The body: once, or once for each piece of a text that was split."""
    body = document["body"]
    if "pieces" in document:
        yield from ({**body, "text": {**body["text"], "content": piece}} for piece in document["pieces"])
    else:
        yield body
