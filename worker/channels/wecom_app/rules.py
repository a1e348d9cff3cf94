"""Holds a message against rows of `fields.py`. Knows the shape of rows, no vendor field by name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from worker.channels.wecom_app.fields import FieldRule
from worker.domain.errors import Problem

Place = tuple[str, Mapping[str, Any], str]
"""Concrete path of a field, the object that holds it (or does not), and its name there."""

TYPE_NAMES = {str: "a string", int: "an integer", list: "a list of objects", dict: "an object"}


def problems(
    root: str, tree: Mapping[str, Any], rows: Iterable[FieldRule], attached: Collection[str] = ()
) -> list[Problem]:
    """Every field of `tree` that breaks a row. `attached` are paths a file will fill (`image.media_id`)."""
    found: list[Problem] = []
    for row in rows:
        for path, parent, name in _places(root, tree, row.path):
            if dotted(path) not in attached:
                found += _field_problems(row, path, parent, parent.get(name))
        if row.unique:
            found += _repeated(root, tree, row)
    return found


def over_advised(root: str, tree: Mapping[str, Any], rows: Iterable[FieldRule]) -> list[str]:
    """A sentence for each text that is longer than the vendor suggests."""
    return [
        f"{path}: {len(value)} characters; the vendor suggests at most {row.advised} and clients shorten the rest"
        for row in rows
        if row.advised is not None
        for path, parent, name in _places(root, tree, row.path)
        if isinstance(value := parent.get(name), str) and len(value) > row.advised
    ]


def dotted(path: str) -> str:
    """`a[0].b` as `a.0.b`, the way files are addressed."""
    return path.replace("[", ".").replace("]", "")


def byte_size(text: str) -> int:
    """Size of the UTF-8 form; half surrogates (refused elsewhere) count as three."""
    return len(text.encode("utf-8", "surrogatepass"))


def _places(root: str, tree: Mapping[str, Any], path: str) -> Iterator[Place]:
    """Where a row's field stands or should stand: once for each parent that is there."""
    *above, name = path.split(".")
    parents: list[tuple[str, Any]] = [(root, tree)]
    for step in above:
        parents = [child for parent in parents for child in _children(parent, step)]
    return ((f"{at}.{name}", parent, name) for at, parent in parents)


def _children(parent: tuple[str, Any], step: str) -> Iterator[tuple[str, Any]]:
    """The objects below one parent: one, or each entry of a list."""
    at, tree = parent
    name = step.removesuffix("[]")
    value = tree.get(name)
    if name == step:
        entries = [(f"{at}.{name}", value)]
    else:
        entries = [(f"{at}.{name}[{i}]", entry) for i, entry in enumerate(value if isinstance(value, list) else ())]
    return (entry for entry in entries if isinstance(entry[1], Mapping))


def _field_problems(row: FieldRule, path: str, parent: Mapping[str, Any], value: Any) -> Iterator[Problem]:
    if value is None or (isinstance(value, str) and not value.strip() and _needed(row, parent)):
        if _needed(row, parent):
            yield Problem(path, f"is missing or empty{_answer(row)}", "give it a value")
    elif not _has_type(row, value):
        yield Problem(path, f"is not {TYPE_NAMES[row.type]}{_answer(row)}", "use the vendor's type")
    else:
        yield from _value_problems(row, path, value)


def _needed(row: FieldRule, parent: Mapping[str, Any]) -> bool:
    if row.when is None:
        return row.required
    sibling, wanted = row.when
    found = parent.get(sibling)
    return wanted == 0 if found is None else type(found) is int and found == wanted


def _has_type(row: FieldRule, value: Any) -> bool:
    if row.type is int:
        return type(value) is int
    if row.type is list:
        return isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value)
    return isinstance(value, Mapping if row.type is dict else row.type)


def _value_problems(row: FieldRule, path: str, value: Any) -> Iterator[Problem]:
    if row.entries is not None and not row.entries[0] <= len(value) <= row.entries[1]:
        yield _too_many(row, path, len(value), row.entries)
    if row.max_bytes is not None and (size := byte_size(value)) > row.max_bytes:
        yield Problem(path, f"is too long{_beyond(row)}", "shorten it", row.max_bytes, "bytes", size)
    if row.allowed is not None and value not in row.allowed:
        allowed = ", ".join(map(str, row.allowed))
        yield Problem(path, f"has no such value{_beyond(row)}", f"use one of {allowed}")
    if row.charset is not None and not re.fullmatch(row.charset, value):
        yield Problem(path, f"has a character that is not allowed{_answer(row)}", f"use only {row.charset}")


def _too_many(row: FieldRule, path: str, size: int, entries: tuple[int, int]) -> Problem:
    least, most = entries
    limit = least if size < least else most
    return Problem(path, f"has too few or too many entries{_answer(row)}", f"{least} to {most}", limit, "entries", size)


def _answer(row: FieldRule) -> str:
    """The code the vendor would answer, where it is known."""
    return f" (vendor code {row.code})" if row.code else ""


def _beyond(row: FieldRule) -> str:
    """What the vendor does beyond a limit: the row's note where it has one, else its code."""
    return f" ({row.note})" if row.note else _answer(row)


def _repeated(root: str, tree: Mapping[str, Any], row: FieldRule) -> Iterator[Problem]:
    """The entries whose value an earlier entry of the same list has."""
    seen: set[tuple[str, str]] = set()
    for path, parent, name in _places(root, tree, row.path):
        value = parent.get(name)
        if not isinstance(value, str):
            continue
        key = (path.rpartition("[")[0], value)
        if key in seen:
            yield Problem(path, f"repeats an earlier entry{_answer(row)}", "make it unique in its list")
        seen.add(key)
