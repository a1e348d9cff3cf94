"""Checks a message against the rows of a field table. Knows no vendor field by name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from math import ceil
from typing import Any

from worker.channels.checking.plain import byte_size, chinese_size, shown, utf16_size
from worker.channels.checking.row import AllOrNone, AnyOf, Effect, FieldRule, Row
from worker.channels.checking.truncate import CODE
from worker.domain.errors import Problem

Place = tuple[str, Mapping[str, Any], str]
"""The path of a field, the object that should hold it, and its name there."""

TYPE_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    float: "a number",
    list: "a list",
    dict: "an object",
}


FAR = 4096
"""Characters of a text with a suggested length, which is 160 at most. No page says from where on the vendor refuses."""


def problems(root: str, tree: Mapping[str, Any], rows: Iterable[Row], attached: Collection[str] = ()) -> list[Problem]:
    """Returns every field of `tree` that breaks a row. A file will fill the paths in `attached` (`image.media_id`)."""
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
                found += _group_problems(row, at, parent, attached)
    return found


def cautions(root: str, tree: Mapping[str, Any], rows: tuple[Row, ...], attached: Collection[str] = ()) -> list[str]:
    """Returns what the rows allow but is worth a warning: advised lengths, ignored fields, unconfirmed units."""
    found = [
        text
        for row in _advising(rows)
        for path, parent, name in places(root, tree, row.path)
        if isinstance(value := parent.get(name), str)
        for text in (*_over_advised(row, path, value), *_as_typed(row, path, value))
    ]
    return [*found, *_without_their_type(root, tree, rows, attached), *_unknown_names(root, tree, rows)]


@cache
def _advising(rows: tuple[Row, ...]) -> tuple[FieldRule, ...]:
    return tuple(row for row in rows if isinstance(row, FieldRule) and (row.advised or row.chinese or row.as_typed))


@cache
def _conditional(rows: tuple[Row, ...]) -> tuple[tuple[FieldRule, str, int], ...]:
    """Returns the rows of fields that count only if a sibling has a value other than 0."""
    return tuple((row, *row.when) for row in rows if isinstance(row, FieldRule) and row.when and row.when[1])


@cache
def _declared_names(rows: tuple[Row, ...]) -> Mapping[str, frozenset[str]]:
    """Returns the names in the rows, by the path of the object that holds them."""
    known: dict[str, set[str]] = {}
    for row in rows:
        if isinstance(row, FieldRule):
            above, _, name = row.path.rpartition(".")
            known.setdefault(above, set()).add(name)
    return {above: frozenset(names) for above, names in known.items()}


def dotted(path: str) -> str:
    """Turns `a[0].b` into `a.0.b`, as files are addressed."""
    return path.replace("[", ".").replace("]", "")


def places(root: str, tree: Mapping[str, Any], path: str) -> Iterator[Place]:
    """Yields where a row's field is or should be: once for each existing parent."""
    above, _, name = path.rpartition(".")
    return ((below(at, name), parent, name) for at, parent in _parents(root, tree, above))


def below(at: str, name: str) -> str:
    """Returns the path of a name in the object at `at`. The whole document has an empty path."""
    return f"{at}.{name}" if at else name


def _parents(root: str, tree: Mapping[str, Any], path: str) -> list[tuple[str, Any]]:
    """Returns the objects at a path such as `articles[]`. The empty path is the tree itself."""
    found: list[tuple[str, Any]] = [(root, tree)]
    for step in path.split(".") if path else ():
        found = [child for parent in found for child in _children(parent, step)]
    return found


def _children(parent: tuple[str, Any], step: str) -> Iterator[tuple[str, Any]]:
    """Returns the objects below one parent: one, or each entry of a list."""
    name = step.removesuffix("[]")
    at, value = below(parent[0], name), parent[1].get(name)
    entries = [(at, value)]
    if step != name:
        entries = [(f"{at}[{i}]", entry) for i, entry in enumerate(value if isinstance(value, list) else ())]
    return (entry for entry in entries if isinstance(entry[1], Mapping))


def _field_problems(row: FieldRule, path: str, parent: Mapping[str, Any], value: Any) -> Iterator[Problem]:
    needed = _needed(row, parent)
    if row.banned:
        if value is not None:
            yield Problem(path, f"must not be here: {row.banned}", "leave it out")
    elif value is None or (needed and not row.blank and isinstance(value, str) and not value.strip()):
        if needed and row.blank:
            remedy = 'give it a value, or "" to say that there is none'
            yield Problem(path, f"is missing{vendor_code(row.missing)}", remedy)
        elif needed:
            yield Problem(path, f"is missing or empty{vendor_code(row.missing or row.code)}", "give it a value")
    elif not _has_type(row, value):
        held = (" of strings" if row.strings else " of objects") if row.type is list else ""
        yield Problem(path, wrong_type(row.type, held, row.code), "use the vendor's type")
    else:
        yield from _value_problems(row, path, parent, value)


def wrong_type(wanted: type, held: str = "", code: int | None = None) -> str:
    """Returns what is wrong with a value that is not of this type in JSON."""
    return f"is not {TYPE_NAMES[wanted]}{held}{vendor_code(code)}"


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


def _value_problems(row: FieldRule, path: str, parent: Mapping[str, Any], value: Any) -> Iterator[Problem]:
    if row.entries is not None and not row.entries[0] <= len(value) <= row.entries[1]:
        least, most = row.entries
        text = f"has too few or too many entries{vendor_code(row.code)}"
        limit = least if len(value) < least else most
        yield Problem(path, text, f"give {least} to {most}", limit, "entries", len(value))
    if isinstance(value, str):
        yield from _text_problems(row, path, value)
    if row.allowed is not None and value not in row.allowed:
        allowed = ", ".join(map(str, row.allowed))
        yield Problem(path, f"has no such value{_beyond(row)}", f"use one of {allowed}")
    if row.between is not None and not row.between[0] <= value <= row.between[1]:
        lowest, highest = row.between
        yield Problem(path, f"is out of range{_beyond(row)}", f"use {lowest} to {highest}")
    if row.among is not None and value not in _siblings(parent, row.among):
        yield Problem(path, f"is in none of the entries{_beyond(row)}", f"use a value of {row.among}")


def _text_problems(row: FieldRule, path: str, value: str) -> Iterator[Problem]:
    shorten = 'shorten it, or enqueue with overflow="truncate"' if row.prose else "shorten it"
    if row.max_bytes is not None and (size := byte_size(value)) > row.max_bytes:
        yield Problem(path, f"is too long{_beyond(row)}", shorten, row.max_bytes, "bytes", size)
    if row.max_chars is not None and len(value) > row.max_chars:
        yield Problem(path, f"is too long{_beyond(row)}", shorten, row.max_chars, "characters", len(value))
    if row.max_utf16 is not None and (size := utf16_size(value)) > row.max_utf16:
        yield Problem(path, f"is too long{_beyond(row)}", shorten, row.max_utf16, "characters", size)
    if row.advised is not None and len(value) > FAR:
        yield Problem(path, "is far beyond the length that the vendor suggests", shorten, FAR, "characters", len(value))
    if row.chinese is not None and value:
        least, most = row.chinese
        unit, length = "Chinese characters (ASCII counts half)", chinese_size(value)
        if length < least:
            yield Problem(path, f"is too short{vendor_code(row.code)}", "lengthen it", least, unit, int(length))
        if length > most:
            yield Problem(path, f"is too long{vendor_code(row.code)}", shorten, most, unit, ceil(length))
    if row.charset is not None and not re.fullmatch(row.charset, value):
        yield Problem(path, f"has a character that is not allowed{vendor_code(row.code)}", f"use only {row.charset}")
    if row.link and value.strip() and not value.startswith(("http://", "https://")):
        yield Problem(path, "has no scheme (vendor code 40094 or 45034)", "begin it with http:// or https://")


def _siblings(parent: Mapping[str, Any], among: str) -> list[Any]:
    """Returns the values under a name in a sibling list."""
    name, _, inner = among.partition(".")
    entries = parent.get(name)
    return [entry.get(inner) for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, Mapping)]


def vendor_code(code: int | None) -> str:
    """Returns the vendor's code in brackets, if it is known."""
    return f" (vendor code {code})" if code else ""


def _beyond(row: FieldRule) -> str:
    """Returns what the vendor does beyond a limit: the row's note, or else its effect or code."""
    if row.note:
        return f" ({row.note})"
    return " (the vendor silently cuts off the rest)" if row.effect is Effect.CUT else vendor_code(row.code)


def _group_problems(
    row: AnyOf | AllOrNone, at: str, parent: Mapping[str, Any], attached: Collection[str]
) -> Iterator[Problem]:
    given = [name for name in row.names if _reach(parent, name) or dotted(below(at, name)) in attached]
    if isinstance(row, AnyOf) and not given:
        text = f"is missing, and so is {', '.join(row.names[1:])}{vendor_code(row.code)}"
        yield Problem(below(at, row.names[0]), text, f"give one of {', '.join(row.names)}")
    if isinstance(row, AllOrNone) and 0 < len(given) < len(row.names):
        lacking = next(name for name in row.names if name not in given)
        yield Problem(
            below(at, lacking), f"is missing beside {given[0]}{vendor_code(row.code)}", "give both or neither"
        )


def _reach(tree: Any, path: str) -> bool:
    """Returns True if something that is not empty stands at a path of plain names."""
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return bool(tree.strip() if isinstance(tree, str) else tree)


def _repeated(root: str, tree: Mapping[str, Any], row: FieldRule) -> Iterator[Problem]:
    """Finds entries whose value an earlier entry of the same list has."""
    seen: set[tuple[str, str]] = set()
    for path, parent, name in places(root, tree, row.path):
        value = parent.get(name)
        if not isinstance(value, str):
            continue
        key = (path.rpartition("[")[0], value)
        if key in seen:
            yield Problem(path, f"repeats an earlier entry{vendor_code(row.code)}", "make it unique in its list")
        seen.add(key)


def _over_advised(row: FieldRule, path: str, value: str) -> Iterator[str]:
    size = len(value)
    if row.advised is not None and size > row.advised:
        yield f"{path}: {size} characters; the vendor suggests at most {row.advised} and clients shorten the rest"
    if row.chinese is not None and chinese_size(value) <= row.chinese[1] < size:
        yield f"{path}: within {row.chinese[1]} Chinese characters only if ASCII counts half, which is not confirmed"


def _as_typed(row: FieldRule, path: str, value: str) -> Iterator[str]:
    prose = CODE.sub("", value) if row.as_typed else value
    for mark in row.as_typed:
        if mark.pattern.search(value if mark.is_code else prose):
            yield f"{path}: holds {mark.what}, which the client shows as typed"


def _without_their_type(
    root: str, tree: Mapping[str, Any], rows: tuple[Row, ...], attached: Collection[str]
) -> Iterator[str]:
    """Warns of a link's target beside no `type`. Beside another type the vendor's own samples have one, too."""
    for row, sibling, wanted in _conditional(rows):
        for path, parent, name in places(root, tree, row.path):
            if parent.get(sibling) in (None, 0) and (parent.get(name) or dotted(path) in attached):
                yield f"{path}: the vendor ignores it without {sibling} = {wanted}"


def _unknown_names(root: str, tree: Mapping[str, Any], rows: tuple[Row, ...]) -> Iterator[str]:
    """Warns of names that no row has. The vendor presumably ignores them."""
    for above, names in _declared_names(rows).items():
        for at, parent in _parents(root, tree, above):
            for name in sorted(str(name) for name in parent.keys() - names):
                path = below(at, shown(name))
                yield f"{path}: not among the vendor's fields here; it is sent, and presumably ignored"
