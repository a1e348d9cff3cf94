"""A job into parts: as few calls as the vendor's maxima allow; part i takes the i-th slice of every list.

A badge is set for one account a call. A text that was split goes to each slice piece by piece, so part numbers follow
the order of reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.checking import overflow as overflows
from worker.channels.checking.overflow import Fitted
from worker.channels.youdu.fields import BADGE, SEND, SPLIT_FIELD, UPLOAD, rows_of
from worker.channels.youdu.targets import TARGETS, ids
from worker.domain.account import Account
from worker.domain.job import Draft


def split(draft: Draft) -> list[dict[str, Any]]:
    """One spec per call."""
    if draft.kind == UPLOAD:
        return [{}]
    if draft.recipients.everyone:
        return _pieces(draft, {"everyone": True})
    return [spec for n in range(call_count(draft)) for spec in _pieces(draft, _slices(draft, n))]


def call_count(draft: Draft) -> int:
    """How many calls reach all recipients with one message; at least one."""
    if draft.kind == BADGE:
        return max(1, len(draft.recipients.users))
    counts = (-(-len(ids(draft.recipients, target)) // target.maximum) for target in TARGETS)
    return max(1, *counts)


def _slices(draft: Draft, n: int) -> dict[str, Any]:
    """The n-th slice of every list, empty ones left out."""
    spec = {}
    for target in TARGETS:
        size = 1 if draft.kind == BADGE else target.maximum
        if part := ids(draft.recipients, target)[n * size : (n + 1) * size]:
            spec[target.name] = list(part)
    return spec


def _pieces(draft: Draft, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The spec once for each piece of a text that was split, in the order in which they should be read."""
    count = len(draft.message.get("pieces", ()))
    return [{**spec, "piece": piece} for piece in range(count)] if count else [spec]


def fit(kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
    """The document with nothing too long that may be shortened; what cannot be is left for the check to refuse."""
    msgtype = str(document.get("type"))
    splits = kind == SEND and msgtype == "text"
    return overflows.fit(document, "", rows_of(kind, msgtype, account), overflow, SPLIT_FIELD if splits else None)
