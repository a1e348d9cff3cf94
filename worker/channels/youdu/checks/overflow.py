"""Which texts may be shortened or split (`overflow=`): the rows say which; only a text goes out as several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.checking import overflow as overflows
from worker.channels.checking.overflow import Fitted
from worker.channels.youdu.messages.content import SEND, SPLIT_FIELD, rows_of
from worker.domain.account import Account


def fit(kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
    """The document with nothing too long that may be shortened; what cannot be is left for the check to refuse."""
    msgtype = str(document.get("type"))
    splits = kind == SEND and msgtype == "text"
    return overflows.fit(document, "", rows_of(kind, msgtype, account), overflow, SPLIT_FIELD if splits else None)
