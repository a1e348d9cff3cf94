"""Which texts of an application message may be shortened or split (`overflow=`), and by which rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.checking import overflow as overflows
from worker.channels.checking.overflow import Fitted
from worker.channels.wecom_app import fields
from worker.channels.wecom_app.fields import Row
from worker.channels.wecom_app.messages.content import SENDS, SPLIT_FIELD, body_rows
from worker.domain.account import Account
from worker.domain.job import Kind


def fit(kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
    """The document with nothing too long that may be shortened; what cannot be is left for the check to refuse."""
    root, rows = _table(kind, document, account)
    splits = kind in SENDS and root in ("text", "markdown")
    return overflows.fit(document, root, rows, overflow, SPLIT_FIELD if splits else None)


def _table(kind: str, document: Mapping[str, Any], account: Account) -> tuple[str, tuple[Row, ...]]:
    if kind == Kind.CREATE_CHAT:
        return "", fields.CREATE_CHAT
    if kind == Kind.CHANGE_CHAT:
        return "", fields.CHANGE_CHAT
    return str(document.get("type")), body_rows(kind, str(document.get("type")), account)
