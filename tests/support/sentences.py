"""Finds the sentences that a module says to people, in the shape in which `worker.language` has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tools.source import nodes

_PROSE = re.compile(r"[A-Za-z]{2,}[,;:]? [a-z({`\"]|^ ?\([a-z ]+|^[,;] [a-z{]|[a-z}],? [a-z]{2,}$")
_COMMAND = re.compile(r"worker [a-z]+ ?|pip install |[a-z]+ is not null|SELECT |select ")
_UNSAID = {
    "compile",
    "fullmatch",
    "debug",
    "info",
    "warning",
    "error",
    "exception",
    "TypedDict",
    "getattr",
    "re",
    "split",
}
"""Calls whose texts no person reads as a sentence."""


@cache
def sentences(path: Path) -> list[tuple[int, str]]:
    """Line and shape of every text of a module with two words or more that is no docstring."""
    return list(_sentences(path))


def _sentences(path: Path) -> Iterator[tuple[int, str]]:
    skipped = {id(node) for node in _unsaid(nodes(path))}
    for node in nodes(path):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = shape(node)
        else:
            continue
        for line in text.split("\n"):
            if _PROSE.search(line) and not _COMMAND.match(line):
                yield node.lineno, line


def shape(node: ast.JoinedStr) -> str:
    """An f-string with `{name}` for each of its values; another value of the same name gets a number."""
    names: dict[str, str] = {}
    pieces = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            pieces.append(str(value.value))
        elif isinstance(value, ast.FormattedValue):
            name, source = _name(value.value), ast.unparse(value.value)
            times = [given for given in names.values() if given.rstrip("0123456789") == name]
            place = names.setdefault(source, f"{name}{len(times) + 1 if times else ''}")
            pieces.append(f"{{{place}}}")
    return "".join(pieces)


def _name(node: ast.expr) -> str:
    """What a value is called: the last name of it, in lower case."""
    match node:
        case ast.Name():
            found = node.id
        case ast.Attribute(attr="__name__", value=ast.Call(func=ast.Name(id="type"), args=[inner])):
            found = _name(inner)
        case ast.Attribute(attr="label" | "name" | "value", value=ast.Name() | ast.Attribute() as inner):
            found = _name(inner)
        case ast.Attribute():
            found = node.attr
        case ast.Subscript(slice=ast.Constant(value=str() as key)):
            found = key
        case ast.Subscript():
            found = _name(node.value)
        case ast.Call(args=[ast.Starred(value=first), *_]) | ast.Call(args=[first, *_]):
            found = _name(first)
        case ast.Call():
            found = _name(node.func.value) if isinstance(node.func, ast.Attribute) else _name(node.func)
        case _:
            named = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name | ast.Attribute)]
            found = _name(named[0]) if named else "value"
    return found.strip("_").lower()


def _unsaid(of_a_file: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in of_a_file:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            yield from (one.value for one in body if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        if isinstance(node, ast.JoinedStr):
            yield from node.values
            for inner in node.values:
                if isinstance(inner, ast.FormattedValue) and inner.format_spec is not None:
                    yield from ast.walk(inner.format_spec)
        if isinstance(node, ast.Dict):  # of a JSON schema
            pairs = zip(node.keys, node.values, strict=True)
            yield from (value for key, value in pairs if getattr(key, "value", None) == "description")
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in _UNSAID:
                yield from ast.walk(node)
            yield from (
                inner
                for keyword in node.keywords
                if keyword.arg in {"help", "description"}
                for inner in ast.walk(keyword.value)
            )
