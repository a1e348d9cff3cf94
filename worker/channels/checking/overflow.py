"""Splits or truncates what is too long because the caller asked for it (`overflow=`). Every change is reported.

Knows rows and no vendor: the channel chooses the rows, and the one text that may be split into several messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from worker.channels.checking import rules, truncate
from worker.channels.checking.job import put
from worker.channels.checking.plain import byte_size, chinese_size, utf16_size
from worker.channels.checking.row import FieldRule, Prose, Row

Fitted = tuple[dict[str, Any], list[str]]
"""The document, and a sentence for each change."""


def fit(
    document: Mapping[str, Any],
    root: str,
    rows: Sequence[Row],
    overflow: str,
    split_field: str | None,
    *,
    numbered: bool = False,
) -> Fitted:
    """Shortens what is too long and may be shortened. The check refuses the rest.

    `root` is the object in the body that the rows describe (empty for the body itself). `split_field` is the path below
    it that may be split, or None. `numbered` puts "(1/3)" before each piece.
    """
    body = document.get("body")
    content = body.get(root) if root and isinstance(body, Mapping) else body
    if isinstance(content, Mapping) and overflow == "split" and split_field is not None:
        return _split(document, root, content, rows, split_field, numbered=numbered)
    if isinstance(content, Mapping) and overflow == "truncate":
        return _truncate(document, root, content, rows)
    return dict(document), []


def _split(
    document: Mapping[str, Any],
    root: str,
    content: Mapping[str, Any],
    rows: Sequence[Row],
    split_field: str,
    *,
    numbered: bool,
) -> Fitted:
    """Splits the text at `split_field` into several messages. No other field is ever split."""
    for path, row, value in _too_long(root, content, rows):
        if path == rules.below(root, split_field):
            most, unit, size = _limit(row)
            room = most - len("(999/999)\n\n") if numbered else most
            found = truncate.pieces(value, room, size, row.prose or Prose.PLAIN)
            if found:
                held = put(document["body"], path.split("."), None)
                note = f"{path}: {int(size(value))} {unit}, split into {len(found)} messages"
                if numbered:  # a blank line separates the number from the marks of a piece
                    found = [f"({n}/{len(found)})\n\n{piece}" for n, piece in enumerate(found, start=1)]
                return {**document, "body": held, "pieces": found}, [note]
    return dict(document), []


def _truncate(document: Mapping[str, Any], root: str, content: Mapping[str, Any], rows: Sequence[Row]) -> Fitted:
    body, notes = document["body"], []
    for path, row, value in _too_long(root, content, rows):
        most, unit, size = _limit(row)
        shorter = truncate.truncated(value, most, size, row.prose or Prose.PLAIN)
        if shorter:
            body = put(body, rules.dotted(path).split("."), shorter)
            notes.append(f"{path}: truncated from {ceil(size(value))} to {ceil(size(shorter))} {unit}")
    return {**document, "body": body}, notes


def _too_long(root: str, content: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[tuple[str, FieldRule, str]]:
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
    if row.max_utf16 is not None:
        return row.max_utf16, "characters", utf16_size
    assert row.chinese is not None
    return row.chinese[1], "Chinese characters", chinese_size
