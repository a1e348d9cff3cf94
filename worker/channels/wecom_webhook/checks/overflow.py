"""Which texts of a webhook message may be shortened or split (`overflow=`), and how a long one goes out as several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.checking import overflow as overflows, truncate
from worker.channels.checking.measure import byte_size
from worker.channels.checking.overflow import Fitted
from worker.channels.checking.paths import put
from worker.channels.checking.row import FieldRule, Prose, Row
from worker.channels.wecom_webhook.account import edition
from worker.channels.wecom_webhook.messages import blocks
from worker.channels.wecom_webhook.messages.content import SPLIT_FIELD, SPLIT_TYPES, body_rows, content_of
from worker.domain.account import Account
from worker.domain.job import Kind


def fit(kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
    """The document with nothing too long that may be shortened; what cannot be is left for the check to refuse."""
    msgtype, content = str(document.get("type")), content_of(document)
    if kind != Kind.SEND or content is None:
        return dict(document), []
    rows = body_rows(edition(account), msgtype, content)
    if overflow == "split":
        return _split(document, msgtype, content.get(SPLIT_FIELD), rows)
    return overflows.fit(document, msgtype, rows, overflow, None)


def _split(document: Mapping[str, Any], msgtype: str, text: Any, rows: tuple[Row, ...]) -> Fitted:
    """Splits the content of a text or markdown into several messages, each of which says its number."""
    most = next((row.max_bytes for row in rows if isinstance(row, FieldRule) and row.path == SPLIT_FIELD), None)
    if msgtype not in SPLIT_TYPES or not isinstance(text, str) or most is None or byte_size(text) <= most:
        return dict(document), []
    found = _pieces(msgtype, text, most)
    if not found:
        return dict(document), []
    held = put(document["body"], [msgtype, SPLIT_FIELD], None)
    note = f"{msgtype}.{SPLIT_FIELD}: {byte_size(text)} bytes, split into {len(found)} messages"
    return {**document, "body": held, "pieces": found}, [note]


def _pieces(msgtype: str, text: str, most: int) -> list[str] | None:
    if msgtype != "text":
        return blocks.numbered_pieces(text, most)
    found = truncate.pieces(text, most - blocks.NUMBER_BYTES, byte_size, Prose.LINKS)
    return None if found is None or len(found) > blocks.MOST_PIECES else blocks.numbered(found)
