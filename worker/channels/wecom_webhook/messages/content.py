"""Which rows a message is held against, and the objects they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking.row import FieldRule, Row
from worker.channels.wecom_webhook import fields

SPLIT_FIELD = "content"
"""The field of texts and markdowns that can go out as several messages."""
SPLIT_TYPES = ("text", "markdown", "markdown_v2")


def body_rows(edition: str, msgtype: str, content: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a type, of a card by its card_type; none for what we do not model."""
    if msgtype == "template_card":
        return fields.CARDS.get(str(content.get("card_type")), ())
    return fields.BODIES.get(edition, {}).get(msgtype, ())


def content_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The type's own object."""
    body = document.get("body")
    content = body.get(document.get("type")) if isinstance(body, Mapping) else None
    return content if isinstance(content, Mapping) else None


def contents(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The type's own object: once, or once for each piece of a text that was split."""
    content = content_of(document)
    if content is None:
        return
    if "pieces" in document:
        yield from ({**content, SPLIT_FIELD: piece} for piece in document["pieces"])
    else:
        yield content


def texts(document: Mapping[str, Any]) -> Iterator[str]:
    """What is read as text or markdown."""
    for content in contents(document):
        if isinstance(text := content.get(SPLIT_FIELD), str):
            yield text


def media_rows(rows: tuple[Row, ...]) -> Iterator[FieldRule]:
    """The rows of media_ids."""
    return (row for row in rows if isinstance(row, FieldRule) and row.media)
