"""Checks a message against rows of `fields`. Knows the shape of rows, no vendor field by name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from math import ceil
from typing import Any

from worker.channels.checking.plain import byte_size, chinese_size, longest_chinese_size, utf16_size
from worker.channels.checking.row import Effect, Either, FieldRule, Row, Together
from worker.domain.errors import Problem

Place = tuple[str, Mapping[str, Any], str]
"""Concrete path of a field, the object that holds it (or does not), and its name there."""

TYPE_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    float: "a number",
    list: "a list",
    dict: "an object",
}
SCHEMES = ("http://", "https://")


def problems(root: str, tree: Mapping[str, Any], rows: Iterable[Row], attached: Collection[str] = ()) -> list[Problem]:
    """Every field of `tree` that breaks a row. `attached` are paths a file will fill (`image.media_id`)."""
    found: list[Problem] = []
    for row in rows:
        if isinstance(row, FieldRule):
            for path, parent, name in places(root, tree, row.path):
                if dotted(path) not in attached:
                    found += _field_problems(row, path, parent, parent.get(name))
            if row.unique:
                found += _repeated(root, tree, row)
        else:
            for at, parent in _parents(root, tree, row.at):
                found += _group_problems(row, at, parent)
    return found


def cautions(root: str, tree: Mapping[str, Any], rows: Iterable[Row]) -> list[str]:
    """What the rows allow but is worth a warning: advised lengths, unconfirmed counting, unknown names."""
    rows = tuple(rows)
    found = [
        text
        for row in _advising(rows)
        for path, parent, name in places(root, tree, row.path)
        if isinstance(value := parent.get(name), str)
        for text in _over_advised(row, path, value)
    ]
    return found + list(_unknown_names(root, tree, rows))


@cache
def _advising(rows: tuple[Row, ...]) -> tuple[FieldRule, ...]:
    return tuple(row for row in rows if isinstance(row, FieldRule) and (row.advised or row.chinese))


@cache
def _known_names(rows: tuple[Row, ...]) -> Mapping[str, frozenset[str]]:
    """The names the rows have, by the path of the object that holds them."""
    known: dict[str, set[str]] = {}
    for row in rows:
        if isinstance(row, FieldRule):
            above, _, name = row.path.rpartition(".")
            known.setdefault(above, set()).add(name)
    return {above: frozenset(names) for above, names in known.items()}


def dotted(path: str) -> str:
    """`a[0].b` as `a.0.b`, the way files are addressed."""
    return path.replace("[", ".").replace("]", "")


def places(root: str, tree: Mapping[str, Any], path: str) -> Iterator[Place]:
    """Where a row's field stands or should stand: once for each parent that is there."""
    above, _, name = path.rpartition(".")
    return ((below(at, name), parent, name) for at, parent in _parents(root, tree, above))


def below(at: str, name: str) -> str:
    """The path of a name in the object at `at`; the whole document has no path of its own."""
    return f"{at}.{name}" if at else name


def _parents(root: str, tree: Mapping[str, Any], path: str) -> list[tuple[str, Any]]:
    """The objects at a path such as `articles[]`; the empty path is the tree itself."""
    found: list[tuple[str, Any]] = [(root, tree)]
    for step in path.split(".") if path else ():
        found = [child for parent in found for child in _children(parent, step)]
    return found


def _children(parent: tuple[str, Any], step: str) -> Iterator[tuple[str, Any]]:
    """The objects below one parent: one, or each entry of a list."""
    at, tree = parent
    name = step.removesuffix("[]")
    value = tree.get(name)
    if name == step:
        entries = [(below(at, name), value)]
    else:
        entries = [
            (f"{below(at, name)}[{i}]", entry) for i, entry in enumerate(value if isinstance(value, list) else ())
        ]
    return (entry for entry in entries if isinstance(entry[1], Mapping))


def _field_problems(row: FieldRule, path: str, parent: Mapping[str, Any], value: Any) -> Iterator[Problem]:
    needed = _needed(row, parent)
    if row.banned:
        if value is not None:
            yield Problem(path, f"must not be here: {row.banned}", "leave it out")
    elif value is None or (needed and _is_empty(value) and not row.blank):
        if needed:
            yield _missing(row, path)
    elif not _has_type(row, value):
        yield Problem(path, f"is not {_type_name(row)}{_vendor(row.code)}", "use the vendor's type")
    else:
        yield from _value_problems(row, path, parent, value)


def _missing(row: FieldRule, path: str) -> Problem:
    if row.blank:
        return Problem(path, f"is missing{_vendor(row.missing)}", 'give it a value, or "" to say that there is none')
    return Problem(path, f"is missing or empty{_vendor(row.missing or row.code)}", "give it a value")


def _is_empty(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _needed(row: FieldRule, parent: Mapping[str, Any]) -> bool:
    if row.when is None:
        return row.required
    sibling, wanted = row.when
    found = parent.get(sibling)
    return wanted == 0 if found is None else type(found) is int and found == wanted


def _has_type(row: FieldRule, value: Any) -> bool:
    if row.type in (int, bool):
        return type(value) is row.type
    if row.type is float:
        return type(value) in (int, float)
    if row.type is list:
        held = str if row.strings else Mapping
        return isinstance(value, list) and all(isinstance(entry, held) for entry in value)
    return isinstance(value, Mapping if row.type is dict else row.type)


def _type_name(row: FieldRule) -> str:
    held = (" of strings" if row.strings else " of objects") if row.type is list else ""
    return f"{TYPE_NAMES[row.type]}{held}"


def _value_problems(row: FieldRule, path: str, parent: Mapping[str, Any], value: Any) -> Iterator[Problem]:
    if row.entries is not None and not row.entries[0] <= len(value) <= row.entries[1]:
        yield _too_many(row, path, len(value), row.entries)
    if isinstance(value, str):
        yield from _text_problems(row, path, value)
    if row.allowed is not None and value not in row.allowed:
        allowed = ", ".join(map(str, row.allowed))
        yield Problem(path, f"has no such value{_beyond(row)}", f"use one of {allowed}")
    if row.between is not None and not row.between[0] <= value < row.between[1]:
        least, below = row.between
        yield Problem(path, f"is out of range{_beyond(row)}", f"use {least} to less than {below}")
    if row.among is not None and value not in _siblings(parent, row.among):
        yield Problem(path, f"is in none of the entries{_beyond(row)}", f"use a value of {row.among}")


def _text_problems(row: FieldRule, path: str, value: str) -> Iterator[Problem]:
    if row.max_bytes is not None and (size := byte_size(value)) > row.max_bytes:
        yield Problem(path, f"is too long{_beyond(row)}", _shorten(row), row.max_bytes, "bytes", size)
    if row.max_chars is not None and len(value) > row.max_chars:
        yield Problem(path, f"is too long{_beyond(row)}", _shorten(row), row.max_chars, "characters", len(value))
    if row.max_utf16 is not None and (size := utf16_size(value)) > row.max_utf16:
        yield Problem(path, f"is too long{_beyond(row)}", _shorten(row), row.max_utf16, "characters", size)
    if row.chinese is not None and value:
        yield from _chinese_problems(row, path, value, row.chinese)
    if row.charset is not None and not re.fullmatch(row.charset, value):
        yield Problem(path, f"has a character that is not allowed{_vendor(row.code)}", f"use only {row.charset}")
    if row.link and value.strip() and not value.startswith(SCHEMES):
        yield Problem(path, "has no scheme (vendor code 40094 or 45034)", "begin it with http:// or https://")


def _chinese_problems(row: FieldRule, path: str, value: str, bounds: tuple[int, int]) -> Iterator[Problem]:
    least, most = bounds
    unit, size = "Chinese characters (ASCII counts half)", chinese_size(value)
    if size < least:
        yield Problem(path, f"is too short{_vendor(row.code)}", "lengthen it", least, unit, int(size))
    if size > most:
        yield Problem(path, f"is too long{_vendor(row.code)}", _shorten(row), most, unit, ceil(size))


def _shorten(row: FieldRule) -> str:
    return 'shorten it, or enqueue with overflow="truncate"' if row.prose else "shorten it"


def _siblings(parent: Mapping[str, Any], among: str) -> list[Any]:
    """The values a list beside a field holds under a name."""
    name, _, inner = among.partition(".")
    entries = parent.get(name)
    return [entry.get(inner) for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, Mapping)]


def _too_many(row: FieldRule, path: str, size: int, entries: tuple[int, int]) -> Problem:
    least, most = entries
    limit = least if size < least else most
    text = f"has too few or too many entries{_vendor(row.code)}"
    return Problem(path, text, f"{least} to {most}", limit, "entries", size)


def _vendor(code: int | None) -> str:
    """The code the vendor would answer, where it is known."""
    return f" (vendor code {code})" if code else ""


def _beyond(row: FieldRule) -> str:
    """What the vendor does beyond a limit: the row's note where it has one, else its effect or code."""
    if row.note:
        return f" ({row.note})"
    return " (the vendor cuts the rest in silence)" if row.effect is Effect.CUT else _vendor(row.code)


def _group_problems(row: Either | Together, at: str, parent: Mapping[str, Any]) -> Iterator[Problem]:
    given = [name for name in row.names if _reach(parent, name)]
    if isinstance(row, Either) and not given:
        text = f"is missing, and so is {', '.join(row.names[1:])}{_vendor(row.code)}"
        yield Problem(below(at, row.names[0]), text, f"give one of {', '.join(row.names)}")
    if isinstance(row, Together) and 0 < len(given) < len(row.names):
        lacking = next(name for name in row.names if name not in given)
        yield Problem(below(at, lacking), f"is missing beside {given[0]}{_vendor(row.code)}", "give both or neither")


def _reach(tree: Any, path: str) -> bool:
    """Whether something that is not empty stands at a path of plain names."""
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return bool(tree.strip() if isinstance(tree, str) else tree)


def _repeated(root: str, tree: Mapping[str, Any], row: FieldRule) -> Iterator[Problem]:
    """The entries whose value an earlier entry of the same list has."""
    seen: set[tuple[str, str]] = set()
    for path, parent, name in places(root, tree, row.path):
        value = parent.get(name)
        if not isinstance(value, str):
            continue
        key = (path.rpartition("[")[0], value)
        if key in seen:
            yield Problem(path, f"repeats an earlier entry{_vendor(row.code)}", "make it unique in its list")
        seen.add(key)


def _over_advised(row: FieldRule, path: str, value: str) -> Iterator[str]:
    if row.advised is not None and len(value) > row.advised:
        yield (
            f"{path}: {len(value)} characters; the vendor suggests at most {row.advised} and clients shorten the rest"
        )
    if row.chinese is not None and chinese_size(value) <= row.chinese[1] < longest_chinese_size(value):
        yield f"{path}: within {row.chinese[1]} Chinese characters only if ASCII counts half, which is not confirmed"


def _unknown_names(root: str, tree: Mapping[str, Any], rows: tuple[Row, ...]) -> Iterator[str]:
    """Warnings about names that no row has: the vendor presumably ignores them."""
    for above, names in _known_names(rows).items():
        for at, parent in _parents(root, tree, above):
            if names.issuperset(parent):
                continue
            for name in sorted(str(name) for name in parent.keys() - names):
                shown = name if name.isidentifier() and name.isascii() else "?"
                yield f"{below(at, shown)}: not among the vendor's fields here; it is sent, and presumably ignored"
