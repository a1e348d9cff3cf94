"""The public names as values: signature, docstring, fields and methods, out of the objects and their source."""

from __future__ import annotations

import ast
import enum
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass, replace
from types import FunctionType, ModuleType
from typing import Any

from pydantic import BaseModel

import worker
from tools.reference.attribute import OURS, attributes
from worker_simulator.testing import plugin
from worker_simulator.testing.clock import KitClock
from worker_simulator.testing.inbox import ShownMessage
from worker_simulator.testing.jobs import EnqueuedJob
from worker_simulator.testing.outbox import KitOutbox

SIMPLE = (str, int, float, bool, type(None), tuple)
_KEYWORD = re.compile(r"^(\w+): ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a class, or one keyword of a function."""

    name: str
    type: str
    default: str
    """Empty: it is required, or has none."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Method:
    """A function of a class, or a public function."""

    name: str
    signature: str
    paragraphs: tuple[str, ...]
    keywords: tuple[Field, ...]


# -- which names ------------------------------------------------------------------------------------------------------


def door(name: str) -> dict[str, Any]:
    """What is reached through a channel's module, by name."""
    module = getattr(worker, name)
    return _named(module, public(module))


def public(module: ModuleType) -> set[str]:
    """The names that a channel's module has for applications."""
    return {name for name, value in vars(module).items() if not name.startswith("_") and not inspect.ismodule(value)}


def library() -> dict[str, Any]:
    """What `from worker import ...` gives, by name; without the messages of channels."""
    found = _named(worker, worker.__all__)
    return {name: one for name, one in found.items() if not one.__module__.startswith("worker.channels.")}


def kit() -> dict[str, Any]:
    """The classes that the kit's fixtures give to tests."""
    return {one.__name__: one for one in (KitOutbox, EnqueuedJob, ShownMessage, KitClock)}


def fixtures() -> list[Field]:
    """The fixtures of the kit's plugin, with what each gives."""
    tree = ast.parse(inspect.getsource(plugin))
    found = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.returns is not None]
    return [Field(one.name, ast.unparse(one.returns), "", ast.get_docstring(one) or "") for one in found if one.returns]


def _named(place: ModuleType, names: typing.Iterable[str]) -> dict[str, Any]:
    found = {name: getattr(place, name) for name in sorted(names)}
    return {name: one for name, one in found.items() if not inspect.ismodule(one)}


# -- what they say ----------------------------------------------------------------------------------------------------


def method(name: str, function: Any) -> Method:
    """A function with its docstring cut into paragraphs and keywords."""
    paragraphs, keywords = _cut(function.__doc__)
    return Method(name, signature(name, function), paragraphs, keywords)


def paragraphs(of: Any) -> tuple[str, ...]:
    """The docstring of a class; a dataclass without one has none."""
    text = of.__doc__ or ""
    return () if text.startswith(f"{of.__name__}(") else _cut(text)[0]


def _cut(doc: str | None) -> tuple[tuple[str, ...], tuple[Field, ...]]:
    """A docstring's paragraphs, and the keywords that it explains, each as `name: text`."""
    # What `enqueues` adds stands on the page once, with JobOptions and MessageOptions.
    text = inspect.cleandoc(doc or "").partition("\n\nKeywords of ")[0]
    pieces, keywords = list[str](), list[Field]()
    for piece in text.split("\n\n"):
        if _KEYWORD.match(piece):
            cut = _KEYWORD.split(piece)[1:]
            keywords += [Field(*pair) for pair in _pairs(cut)]
        elif piece:
            pieces.append(piece)
    return tuple(pieces), tuple(keywords)


def _pairs(cut: list[str]) -> Iterator[tuple[str, str, str, str]]:
    for name, meaning in zip(cut[::2], cut[1::2], strict=True):
        yield name, "", "", " ".join(meaning.split())


def signature(name: str, function: Any) -> str:
    """How it is called, a parameter a line where that is long."""
    found = inspect.signature(function)
    shown, star = list[str](), False
    for one in found.parameters.values():
        if one.name in ("self", "cls"):
            continue
        if one.kind is one.KEYWORD_ONLY and not star:
            shown.append("*")
        star = star or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        shown.append(_parameter(one))
    returns = "" if found.return_annotation is found.empty else f" -> {_text(found.return_annotation)}"
    line = f"{name}({', '.join(shown)}){returns}"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + f"){returns}"


def _parameter(one: inspect.Parameter) -> str:
    stars = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
    text = f"{stars}{one.name}: {_text(one.annotation)}" if one.annotation is not one.empty else f"{stars}{one.name}"
    if one.default is one.empty:
        return text
    value = one.default
    known = repr(value) if isinstance(value, SIMPLE) and not isinstance(value, enum.Enum) else "..."
    return f"{text} = {known}"


def _text(annotation: Any) -> str:
    if not isinstance(annotation, str):
        return inspect.formatannotation(annotation)
    described = re.fullmatch(r"Annotated\[(.+?), Option\(.+\)\]", annotation, re.DOTALL)  # of a command's option
    return described[1] if described else annotation


# -- fields -----------------------------------------------------------------------------------------------------------


def fields(of: type) -> list[Field]:
    """The fields of a model, a dataclass, an enum or an options table, with those of its bases."""
    if typing.is_typeddict(of):
        told = {one.name: one.meaning for one in _cut(of.__doc__)[1]}
        return [replace(one, meaning=told.get(one.name, "")) for one in _attributes(of)]
    found = dict[str, Field]()
    for base in reversed(of.__mro__):
        if base.__module__.startswith(OURS):
            found |= {one.name: one for one in _attributes(base)}
    if issubclass(of, enum.Enum):
        return [found[name] for name in of.__members__]
    if issubclass(of, BaseModel):
        named = list(of.model_fields)
    else:
        named = list(getattr(of, "_fields", getattr(of, "__dataclass_fields__", ())))
    return [found[name] for name in named if name in found and not name.startswith("_")]


def _attributes(of: type) -> Iterator[Field]:
    """The attributes of one class as its source has them."""
    for name, statement, doc in attributes(of):
        type_ = _type_of(statement.annotation, of) if isinstance(statement, ast.AnnAssign) else ""
        yield Field(name, type_, "" if statement.value is None else _shown(statement.value), doc)


def _type_of(annotation: ast.expr, of: type) -> str:
    """The type itself out of Annotated, also where that has a name."""
    match annotation:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[first, *_])):
            return ast.unparse(first)
        case ast.Name(id=name):
            named = getattr(sys.modules[of.__module__], name, None)
            if typing.get_origin(named) is typing.Annotated:
                return re.sub(r"[\w.]+\.(?=\w)", "", inspect.formatannotation(typing.get_args(named)[0]))
    return ast.unparse(annotation)


def _shown(value: ast.expr) -> str:
    """A default; of `field(...)` and its like that which it names."""
    match value:
        case ast.Call(func=ast.Name(id="field" | "Field"), keywords=named):
            return next((ast.unparse(one.value) for one in named if one.arg == "default"), "")
        case ast.Call():
            return "..."
    return ast.unparse(value)


# -- methods ----------------------------------------------------------------------------------------------------------


def methods(of: type) -> Iterator[Method]:
    """The public functions that a class itself has, without those that its library or its base calls."""
    foreign = {name for base in of.__mro__ if not base.__module__.startswith(OURS) for name in dir(base)}
    for name, one in vars(of).items():
        found = one.__func__ if isinstance(one, classmethod | staticmethod) else one
        is_called_by_base = (found.__doc__ or "").startswith("See `")
        if isinstance(found, FunctionType) and not (name.startswith("_") or name in foreign or is_called_by_base):
            yield method(name, found)


def properties(of: type) -> list[Field]:
    """The public properties that a class itself has."""
    found = [(name, one) for name, one in vars(of).items() if isinstance(one, property) and not name.startswith("_")]
    return [
        Field(name, _text(one.fget.__annotations__["return"]), "", " ".join((one.__doc__ or "").split()))
        for name, one in found
        if one.fget is not None
    ]


def is_function(one: Any) -> bool:
    """True for what is called and is no class."""
    return callable(one) and not isinstance(one, type)


def has_fields(one: type) -> bool:
    """True for a class whose fields are told."""
    is_value = is_dataclass(one) or issubclass(one, BaseModel | enum.Enum) or hasattr(one, "_fields")
    return is_value or typing.is_typeddict(one)
