"""A job into parts: as few calls as the vendor's maxima allow; part i takes the i-th slice of every list.

A badge is set for one account a call. A text that was split goes to each slice piece by piece, so part numbers follow
the order of reading.
"""

from __future__ import annotations

from typing import Any

from worker.channels.youdu.messages.content import BADGE, UPLOAD
from worker.channels.youdu.targets import TARGETS, ids
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
