"""Reads JSON that others have written: in time that is bounded whatever they write, and with distrust."""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 100_000
"""Values, and entries of lists in one text (`a|b`), at most. The longest answer of a vendor has a tenth."""
MAX_DIGITS = 64
"""Digits of a whole number, at most. Python takes the square of their number."""
_BEFORE_VALUES = b"[{,|"


def json_of(body: bytes) -> Any:
    """Returns the value of a JSON text, also of one with raw control characters or bytes that are no UTF-8.

    Raises ValueError for any other text, and for one that is too long, too deep or has too many values: Python reads
    all of it in one step, in which no other thread runs.
    """
    if len(body) > MAX_BYTES or (len(body) > MAX_VALUES and _values(body) > MAX_VALUES):
        raise ValueError
    try:
        return _DECODER.decode(body.decode("utf-8", "replace").lstrip("\ufeff"))
    except RecursionError:
        raise ValueError from None


def _values(body: bytes) -> int:
    return len(body) - len(body.translate(None, _BEFORE_VALUES))


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError
    return int(digits)


_DECODER = json.JSONDecoder(strict=False, parse_int=_whole_number)
