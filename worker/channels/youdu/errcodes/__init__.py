"""The error codes of a Youdu server that a sender can meet, as rows of data. Reads no reply; see `verdict.py`.

Source: a01_00009 (全局错误码). The classes are ours; never match on `errmsg`. -40001 to -40008 are codes of
the vendor's PHP SDK and never on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.explained import explained
from worker.channels.wecom.errcodes.row import Class, Errcode
from worker.channels.youdu.errcodes import basic, directory

__all__ = ["ROWS", "Class", "Errcode", "explain", "find"]

ROWS: tuple[Errcode, ...] = (*basic.ROWS, *directory.ROWS)
"""The whole catalogue."""

_BY_CODE: Mapping[int, Errcode] = {code: row for row in ROWS for code in range(row.code, (row.last or row.code) + 1)}


def find(code: int) -> Errcode | None:
    """The row of a code, or None for one that is not documented."""
    return _BY_CODE.get(code)


def explain(code: int, lang: str = "en") -> list[str] | None:
    """What a code means, what the worker does, and what a person should do, as lines; None for an unknown code."""
    row = find(code)
    return None if row is None else explained(code, row, None, chinese=lang == "zh")
