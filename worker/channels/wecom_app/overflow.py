"""What is too long, split or truncated because the caller asked for it (`overflow=`). What was done is always said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import Any

from worker.channels.checking import cut, rules
from worker.channels.checking.measure import byte_size, chinese_size
from worker.channels.checking.tree import put
from worker.channels.wecom_app import fields
from worker.channels.wecom_app.content import SENDS, SPLIT_FIELD, body_rows
from worker.channels.wecom_app.fields import FieldRule, Row
from worker.domain.account import Account
from worker.domain.job import Kind

Fitted = tuple[dict[str, Any], list[str]]
"""The document, and a sentence for everything that was done to it."""


def fit(kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
    """The document with nothing too long that may be shortened; what cannot be is left for the check to refuse."""
    root, rows = _table(kind, document, account)
    content = _content(document, root)
    if not rows or content is None:
        return dict(document), []
    if overflow == "split" and kind in SENDS:
        return _split(document, root, content, rows)
    return _truncate(document, root, content, rows) if overflow == "truncate" else (dict(document), [])


def _table(kind: str, document: Mapping[str, Any], account: Account) -> tuple[str, tuple[Row, ...]]:
    if kind == Kind.CREATE_CHAT:
        return "", fields.CREATE_CHAT
    if kind == Kind.CHANGE_CHAT:
        return "", fields.CHANGE_CHAT
    return str(document.get("type")), body_rows(kind, str(document.get("type")), account)


def _content(document: Mapping[str, Any], root: str) -> Mapping[str, Any] | None:
    body = document.get("body")
    content = body.get(root) if root and isinstance(body, Mapping) else body
    return content if isinstance(content, Mapping) else None


def _split(document: Mapping[str, Any], root: str, content: Mapping[str, Any], rows: tuple[Row, ...]) -> Fitted:
    """Only the one text of a text or markdown message goes out as several; a title is never split."""
    for path, row, value in _too_long(root, content, rows):
        if path == f"{root}.{SPLIT_FIELD}" and root in ("text", "markdown"):
            most, unit, size = _limit(row)
            found = cut.pieces(value, most, size, row.prose or fields.Prose.PLAIN)
            if found:
                held = put(document["body"], [root, SPLIT_FIELD], None)
                note = f"{path}: {int(size(value))} {unit}, split into {len(found)} messages"
                return {**document, "body": held, "pieces": found}, [note]
    return dict(document), []


def _truncate(document: Mapping[str, Any], root: str, content: Mapping[str, Any], rows: tuple[Row, ...]) -> Fitted:
    body, notes = document["body"], []
    for path, row, value in _too_long(root, content, rows):
        most, unit, size = _limit(row)
        shorter = cut.truncated(value, most, size, row.prose or fields.Prose.PLAIN)
        if shorter:
            body = put(body, rules.dotted(path).strip(".").split("."), shorter)
            notes.append(f"{path.strip('.')}: truncated from {ceil(size(value))} to {ceil(size(shorter))} {unit}")
    return {**document, "body": body}, notes


def _too_long(root: str, content: Mapping[str, Any], rows: tuple[Row, ...]) -> Iterator[tuple[str, FieldRule, str]]:
    for row in rows:
        if not isinstance(row, FieldRule) or row.prose is None or row.banned:
            continue
        most, _, size = _limit(row)
        for path, parent, name in rules.places(root, content, row.path):
            value = parent.get(name)
            if isinstance(value, str) and size(value) > most:
                yield path, row, value


def _limit(row: FieldRule) -> tuple[int, str, Callable[[str], float]]:
    if row.max_bytes is not None:
        return row.max_bytes, "bytes", byte_size
    if row.max_chars is not None:
        return row.max_chars, "characters", len
    assert row.chinese is not None
    return row.chinese[1], "Chinese characters", chinese_size
