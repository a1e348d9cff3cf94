"""A job into parts: as few calls as the vendor's maxima allow; part i takes the i-th slice of every list.

A badge is set for one account a call. A text that was split goes to each slice piece by piece, so part numbers follow
the order of reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.channels.checking import overflow as overflows
from worker.channels.checking.overflow import Fitted
from worker.channels.checking.targets import Target, calls_for, pieces, slices
from worker.channels.youdu.fields import BADGE, SEND, SPLIT_FIELD, UPLOAD, rows_of
from worker.channels.youdu.targets import TARGETS
from worker.domain.account import Account
from worker.domain.job import Draft


def split(draft: Draft) -> list[dict[str, Any]]:
    """One spec per call."""
    if draft.kind == UPLOAD:
        return [{}]
    if draft.recipients.everyone:
        return pieces(draft, {"everyone": True})
    return [
        spec for n in range(call_count(draft)) for spec in pieces(draft, slices(draft.recipients, _targets(draft), n))
    ]


def call_count(draft: Draft) -> int:
    """How many calls reach all recipients with one message; at least one."""
    return calls_for(draft.recipients, _targets(draft))


def _targets(draft: Draft) -> tuple[Target, ...]:
    return tuple(replace(target, maximum=1) for target in TARGETS) if draft.kind == BADGE else TARGETS


def fit(kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
    """The document with nothing too long that may be shortened; what cannot be is left for the check to refuse."""
    msgtype = str(document.get("type"))
    splits = kind == SEND and msgtype == "text"
    return overflows.fit(document, "", rows_of(kind, msgtype, account), overflow, SPLIT_FIELD if splits else None)
