"""Odd values, and a document with one of them in the place of each of its values in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

WORD = "s3cret-text-of-a-message"
"""Stands in long texts. No refusal and no log repeats it."""
ODD: tuple[Any, ...] = (
    *(None, True, -1, 1.5, float("nan"), 10**30, "", "\x00", "\ud800", WORD * 200),
    *([], [None], [[]], [{}], {}, {"type": []}),
)


def altered(value: Any) -> Iterator[Any]:
    """The value with an odd one in the place of itself, and of each that is in it."""
    yield from ODD
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        for inner in altered(value[key]):
            yield {**value, key: inner} if isinstance(value, dict) else [*value[:key], inner, *value[key + 1 :]]
