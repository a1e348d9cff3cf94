"""The vendor's error codes a sender can meet, as rows of data. Reads no reply; see `verdict.py`.

Source: page 90313 (全局错误码, stored copy of 2026-07-26), with the limits page 90312 and the pages of each call. The
class is ours, built on the help texts there. Never match on `errmsg`: its text may change (page 90313).
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes import message, operating, others
from worker.channels.wecom.errcodes.row import Class, Errcode, explained
from worker.language import Lang

__all__ = ["ROWS", "WRONG_SECRET", "Class", "Errcode", "explain", "find"]

WRONG_SECRET = Errcode(
    40001,
    "the secret is wrong, belongs to another corpid, or the app is disabled",
    Class.CONFIG,
    "correct corpid and secret",
)
"""From gettoken itself 40001 is no stale token but a wrong secret (page 91039)."""

ROWS: tuple[Errcode, ...] = (*others.ROWS, *operating.ROWS, *message.ROWS)
"""The whole catalogue; later rows win."""

_BY_CODE: Mapping[int, Errcode] = {code: row for row in ROWS for code in range(row.code, (row.last or row.code) + 1)}


def find(code: int) -> Errcode | None:
    """The row of a code, or None for one that was never seen."""
    return _BY_CODE.get(code)


def explain(code: int, lang: Lang = "en") -> list[str] | None:
    """What a code means, what the worker does, and what a person should do, as lines; None for an unknown code."""
    row = find(code)
    if row is None:
        return None
    at_gettoken = WRONG_SECRET if code == WRONG_SECRET.code else None
    return explained(code, row, at_gettoken, lang)
