"""One value in a message's JSON, which knows its place: reading it as text notes that it was drawn.

Whatever stands there is taken: a field that is missing is an empty node, so that rows of any age draw. Does not know
what the fields mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_LISTED = 500
"""Fields listed as not drawn; the number of the others is told."""
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Characters that no page may hold: control characters, and halves of surrogate pairs, which UTF-8 cannot write."""
MOST_DRAWN = 400_000
"""Characters drawn of one message, more than any vendor takes: no message keeps a page waiting for longer."""
HIDES = frozenset({"not defined", "wrong type"})
"""Reasons for which people see the message without the field."""


@dataclass(slots=True)
class Trace:
    """Which places of one message were drawn, and what was altered at them."""

    altered: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By place."""
    drawn: set[str] = field(default_factory=set)
    room: int = MOST_DRAWN
    """Characters that may still be drawn."""

    def hides(self, place: str) -> bool:
        """Whether people see nothing of a place."""
        return self.altered.get(place, {}).get("why") in HIDES


class Node:
    """A value and its place, such as `news.articles[0].title`; false when there is nothing to draw."""

    __slots__ = ("_place", "_trace", "_value")

    def __init__(self, value: Any, place: str, trace: Trace) -> None:
        self._value, self._place, self._trace = value, place, trace

    def __getitem__(self, name: object) -> Node:
        """The field, or the entry; an empty node where there is none."""
        value = self._value
        if isinstance(value, Mapping) and isinstance(name, str):
            place = f"{self._place}.{name}" if self._place else name
            return Node(value.get(name), place, self._trace)
        if is_list(value) and isinstance(name, int) and 0 <= name < len(value):
            return Node(value[name], f"{self._place}[{name}]", self._trace)
        return Node(None, f"{self._place}.{name}", self._trace)

    def __iter__(self) -> Iterator[Node]:
        """The entries of a list; none of anything else."""
        entries = self._value if is_list(self._value) else ()
        return (self[number] for number in range(len(entries)))

    def __bool__(self) -> bool:
        value = self._value
        return value is not False and bool(value or value == 0) and not self._trace.hides(self._place)


def is_list(value: Any) -> bool:
    """Whether it is an array of JSON."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def raw(node: Node) -> Any:
    """The value itself; it does not count as drawn."""
    return node._value


def narrowed(node: Node, names: frozenset[str]) -> Node:
    """The same place with these fields alone."""
    value = node._value
    kept = {name: value[name] for name in value if name in names} if isinstance(value, Mapping) else value
    return Node(kept, node._place, node._trace)


def take(node: Node) -> str:
    """The value as the text that is about to be drawn; an object or array is left to the list of what was not drawn."""
    if isinstance(node._value, Mapping) or is_list(node._value):
        return ""
    node._trace.drawn.add(node._place)
    return _within(node._trace, node._value)


def _within(trace: Trace, value: Any) -> str:
    """A leaf as text, as far as there is room, with an ellipsis where it does not end."""
    text = value if isinstance(value, str) else plain(value)
    room, trace.room = trace.room, max(0, trace.room - len(text))
    return clean(text if len(text) <= room else f"{text[:room]}…")


def altered_of(node: Node) -> Mapping[str, Mapping[str, Any]]:
    """What was changed in the whole message, by place."""
    return node._trace.altered


def alteration_of(node: Node) -> Mapping[str, Any] | None:
    """What was changed at this place, if anything was."""
    return node._trace.altered.get(node._place)


def clean(text: str) -> str:
    """The text without what no page may hold."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def plain(value: Any) -> str:
    """A leaf of JSON as text; empty for an object or array."""
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
    """Place and text of the leaves that were not drawn, in their order."""
    waiting = [node]
    while waiting:
        now = waiting.pop()
        value = now._value
        if isinstance(value, Mapping):
            waiting += reversed([now[str(name)] for name in value])
        elif is_list(value):
            waiting += reversed([now[number] for number in range(len(value))])
        elif value not in (None, "") and now._place not in now._trace.drawn:
            yield clean(now._place), _within(now._trace, value)
