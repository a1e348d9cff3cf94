"""Tests whether values can be sent and stored, and measures texts in each of the vendor's units.

Plain JSON of whole characters can be sent, without the escapes that the vendor forbids.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from worker.domain.errors import Problem

DEPTH = 32
BEYOND = 2**63
"""Integers from here on are refused: JSON readers treat them differently, and `json.loads` stops at 4,300 digits."""
HALF = re.compile("[\ud800-\udfff]")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
ODD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")

ESCAPES = 40033
"""WeCom's code for characters that need a `\\uXXXX` escape (page 90313)."""


def unfit(path: str, value: Any, code: int | None = ESCAPES) -> Iterator[Problem]:
    """Finds everything below `path` that is no JSON, or holds half a character or a control character (`code`)."""
    return iter(()) if _fits(value, 0) else _search(path, value, 0, code)


def _fits(value: Any, depth: int) -> bool:
    """Returns True if everything is valid. This is the fast test for the common case: `_search` finds the problems."""
    kind = type(value)
    if kind is str:
        return ODD.search(value) is None
    if kind is dict and depth < DEPTH:
        for name, entry in value.items():
            if type(name) is not str or not (name.isidentifier() or _fits(name, depth)) or not _fits(entry, depth + 1):
                return False
        return True
    if kind is list and depth < DEPTH:
        return all(_fits(entry, depth + 1) for entry in value)
    return kind is bool or value is None or (kind is int and -BEYOND <= value < BEYOND)


def _search(path: str, value: Any, depth: int, code: int | None) -> Iterator[Problem]:
    if depth > DEPTH:
        yield Problem(path, "is nested too deep", "flatten it", DEPTH, "levels", depth)
    elif isinstance(value, str):
        yield from unfit_text(path, value, code)
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            if not isinstance(name, str) or next(unfit_text("", name), None):
                yield Problem(path or "body", "has a key that is no plain string", "use the vendor's field names")
            yield from _search(f"{path}.{shown(name)}" if path else shown(name), entry, depth + 1, code)
    elif isinstance(value, list | tuple):
        for i, entry in enumerate(value):
            yield from _search(f"{path}[{i}]", entry, depth + 1, code)
    elif isinstance(value, int) and not -BEYOND <= value < BEYOND:
        yield Problem(path, "is an integer beyond 64 bits", "give it as a string")
    elif not (value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))):
        yield Problem(path, "is not JSON", "use strings, finite numbers, booleans, lists and objects")


def unfit_text(path: str, text: str, code: int | None = ESCAPES) -> Iterator[Problem]:
    r"""Finds what in a text cannot be encoded, or would need a `\uXXXX` escape (the vendor's `code`)."""
    if HALF.search(text):
        yield Problem(path, "holds half a character (a lone surrogate)", "decode the text properly")
    if CONTROL.search(text):
        said = f" (vendor code {code})" if code else ""
        yield Problem(path, f"holds a control character{said}", "remove it")


def shown(name: Any) -> str:
    """Returns a key for an error message. An unusual one is not quoted."""
    return name if isinstance(name, str) and name.isidentifier() and name.isascii() else "?"


def byte_size(text: str) -> int:
    """Returns the size in UTF-8. Half surrogates, which are refused elsewhere, count as three."""
    return len(text.encode("utf-8", "surrogatepass"))


def utf16_size(text: str) -> int:
    """Returns the length in UTF-16 units, which most programs call characters. An emoji counts as two."""
    return len(text) + sum(1 for character in text if character > "\uffff")


def chinese_size(text: str) -> float:
    """Returns the length in Chinese characters, with ASCII as halves: presumably the vendor's unit (page 90236)."""
    return len(text) - sum(1 for character in text if character.isascii()) / 2
