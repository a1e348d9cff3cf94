"""One value in a message's JSON that knows its path. Reading it as text records that it was drawn.

Any content is accepted: a missing field is an empty node, so that rows of any age can be drawn. Does not know what the
fields mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_LISTED = 500
"""Undrawn fields that are listed, at most. Of the others only the number is shown."""
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Characters that no page may hold: control characters, and halves of surrogate pairs, which UTF-8 cannot encode."""
MAX_DRAWN = 400_000
"""Characters drawn of one message, at most. It is more than any vendor accepts, and bounds the time to draw."""
HIDES = frozenset({"not defined", "wrong type"})
"""Reasons for which people see the message without the field."""


@dataclass(slots=True)
class Coverage:
    """Which paths of one message were drawn, and what was altered at them."""

    altered: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By path."""
    drawn: set[str] = field(default_factory=set)
    remaining: int = MAX_DRAWN
    """Characters that may still be drawn."""

    def hides(self, path: str) -> bool:
        """Returns True if people see nothing of a path."""
        return self.altered.get(path, {}).get("why") in HIDES


class Node:
    """A value and its path, such as `news.articles[0].title`. It is false if there is nothing to draw."""

    __slots__ = ("_coverage", "_path", "_value")

    def __init__(self, value: Any, path: str, coverage: Coverage) -> None:
        self._value, self._path, self._coverage = value, path, coverage

    def __getitem__(self, name: object) -> Node:
        """Returns the field or the entry, or an empty node."""
        value = self._value
        if isinstance(value, Mapping) and isinstance(name, str):
            path = f"{self._path}.{name}" if self._path else name
            return Node(value.get(name), path, self._coverage)
        if is_list(value) and isinstance(name, int) and 0 <= name < len(value):
            return Node(value[name], f"{self._path}[{name}]", self._coverage)
        return Node(None, f"{self._path}.{name}", self._coverage)

    def __iter__(self) -> Iterator[Node]:
        """Yields the entries of a list, or nothing for anything else."""
        entries = self._value if is_list(self._value) else ()
        return (self[number] for number in range(len(entries)))

    def __bool__(self) -> bool:
        value = self._value
        return value is not False and bool(value or value == 0) and not self._coverage.hides(self._path)


def is_list(value: Any) -> bool:
    """Returns True for a JSON array."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def raw(node: Node) -> Any:
    """Returns the value itself, which does not count as drawn."""
    return node._value


def narrowed(node: Node, names: frozenset[str]) -> Node:
    """Returns the same node with only these fields."""
    value = node._value
    kept = {name: value[name] for name in value if name in names} if isinstance(value, Mapping) else value
    return Node(kept, node._path, node._coverage)


def take(node: Node) -> str:
    """Returns the value as text to draw. Objects and arrays are left to the list of what was not drawn."""
    if isinstance(node._value, Mapping) or is_list(node._value):
        return ""
    node._coverage.drawn.add(node._path)
    return _within(node._coverage, node._value)


def _within(coverage: Coverage, value: Any) -> str:
    """Returns a leaf as text, as far as the limit allows, with an ellipsis if it is cut."""
    text = value if isinstance(value, str) else plain(value)
    remaining, coverage.remaining = coverage.remaining, max(0, coverage.remaining - len(text))
    return clean(text if len(text) <= remaining else f"{text[:remaining]}…")


def altered_of(node: Node) -> Mapping[str, Mapping[str, Any]]:
    """Returns what was changed in the whole message, by path."""
    return node._coverage.altered


def alteration_of(node: Node) -> Mapping[str, Any] | None:
    """Returns what was changed at this path, or None."""
    return node._coverage.altered.get(node._path)


def clean(text: str) -> str:
    """Returns the text without characters that no page may hold."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def plain(value: Any) -> str:
    """Returns a leaf of JSON as text, or an empty text for an object or array."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping) or is_list(value):
        return ""
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    try:
        return str(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return hex(value)


def rest(node: Node) -> Iterator[tuple[str, str]]:
    """Yields path and text of the leaves that were not drawn, in their order."""
    waiting = [node]
    while waiting:
        now = waiting.pop()
        value = now._value
        if isinstance(value, Mapping):
            waiting += reversed([now[str(name)] for name in value])
        elif is_list(value):
            waiting += reversed([now[number] for number in range(len(value))])
        elif value not in (None, "") and now._path not in now._coverage.drawn:
            yield clean(now._path), _within(now._coverage, value)
