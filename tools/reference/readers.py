"""Which processes read a key of the settings, out of the package's source.

Each definition of a module (a function, a class, a name that is assigned) leads to those that it names. What is reached
from where a process begins is what it may run, and an attribute with a key's name, behind a name that holds the key's
table, is a read of that key. Methods are not told apart from their class.
"""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import worker
from tools.reference.commands import commands
from tools.reference.names import library
from tools.source import nodes, tree
from worker.config.settings import Settings
from worker.control.commands import PLACES

ROOT = Path(worker.__file__).parent
RUN_OTHERS = {"up", "demo", "init", "simulator", "receiver", "console"}
"""Commands that are processes of their own, or run several."""
Name = tuple[str, str]
"""A module, and a definition of it; empty: all of the module."""


@cache
def readers() -> Mapping[str, tuple[str, ...]]:
    """Key -> the processes that read it; a table that is handed on whole stands here itself, without its keys."""
    named, leads, reads = _source()
    starts: Mapping[str, Iterable[Name]] = {
        "worker": [("worker.service.celery_app", "")],
        "receiver": [("worker.service.web.receiver", "")],
        "console": [("worker.service.web.console", "")],
        "commands": [_defined(one.callback) for words, one in commands() if words.split()[-1] not in RUN_OTHERS],
        "producer": [_defined(one) for one in library().values() if one.__module__.startswith("worker.producer.")],
    }
    found = dict[str, dict[str, None]]()
    for process, ahead in starts.items():
        seen, todo = set[Name](), list(ahead)
        while todo:
            module, name = todo.pop()
            if (module, name) in seen:
                continue
            seen.add((module, name))
            todo += named[module].get(name, ()) if name else (one for of in named[module].values() for one in of)
            todo += leads.get((module, name), ())
            for key in reads.get((module, name), ()):
                found.setdefault(key, {})[process] = None
    return {key: tuple(processes) for key, processes in found.items()}


def _defined(one: Any) -> Name:
    plain = inspect.unwrap(one)
    return plain.__module__, plain.__name__


# -- definitions ------------------------------------------------------------------------------------------------------


def _source() -> tuple[dict[str, dict[str, set[Name]]], dict[Name, set[Name]], dict[Name, set[str]]]:
    """Module -> what its names stand for; definition -> those that it names; definition -> the keys that it reads."""
    named, leads, reads = dict[str, dict[str, set[Name]]](), dict[Name, set[Name]](), dict[Name, set[str]]()
    for path in ROOT.rglob("*.py"):
        module = ".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        names = named.setdefault(module, {})
        for name, at in (*_imported(path), *((name, (module, name)) for name, _ in _definitions(path))):
            names.setdefault(name, set()).add(at)
        tables = _tables_in(path)
        for name, statement in _definitions(path):
            inner = list(ast.walk(statement))
            used = {one.id for one in inner if isinstance(one, ast.Name)}
            leads.setdefault((module, name), set()).update(at for one in used for at in names.get(one, ()))
            reads.setdefault((module, name), set()).update(key for one in inner for key in _read(one, tables))
    # The table of commands imports a file when its command is asked for.
    places = (place.split(".") for place in PLACES.values())
    leads["worker.control.commands", "COMMANDS"].update((f"worker.control.{file}", name) for file, name in places)
    return named, leads, reads


def _imported(path: Path) -> Iterator[tuple[str, Name]]:
    """What is imported out of the package, also inside functions."""
    for one in nodes(path):
        if isinstance(one, ast.ImportFrom) and one.module and one.module.partition(".")[0] == ROOT.name:
            for alias in one.names:
                there = ROOT.parent / one.module.replace(".", "/") / alias.name
                is_module = there.is_dir() or there.with_suffix(".py").exists()
                at = (f"{one.module}.{alias.name}", "") if is_module else (one.module, alias.name)
                yield alias.asname or alias.name, at


def _definitions(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    for one in tree(path).body:
        match one:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, one
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, one


# -- reads ------------------------------------------------------------------------------------------------------------


@cache
def _tables() -> Mapping[str, tuple[type[BaseModel], str]]:
    """The models of the settings by name, and of their tables; each with what stands before its keys."""
    found = dict[str, tuple[type[BaseModel], str]]()
    ahead: list[tuple[type[BaseModel], str]] = [(Settings, "")]
    while ahead:
        model, within = ahead.pop()
        found[model.__name__] = model, within
        for name, one in model.model_fields.items():
            inner = (one.annotation, *typing.get_args(one.annotation))
            tables = [each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)]
            ahead += [(each, f"{within}{name}.") for each in tables if "env" not in each.model_fields]
    return found


def _tables_in(path: Path) -> Mapping[str, set[str]]:
    """Name in a module -> the models that it is annotated with, or whose table it is called after."""
    found = {within.removesuffix("."): {model} for model, (_, within) in _tables().items() if within.count(".") == 1}
    for one in nodes(path):
        match one:
            case (
                ast.arg(arg=name, annotation=ast.expr() as type_)
                | ast.AnnAssign(target=ast.Name(id=name), annotation=type_)
            ):
                used = {inner.id for inner in ast.walk(type_) if isinstance(inner, ast.Name)}
                found.setdefault(name, set()).update(used & _tables().keys())
    return found


def _read(one: ast.AST, tables: Mapping[str, set[str]]) -> Iterator[str]:
    """The keys that an expression reads, such as `self._settings.delivery.lease_s`."""
    match one:
        case ast.Attribute(value=ast.Name(id=before) | ast.Attribute(attr=before), attr=name):
            pass
        case ast.Attribute(value=ast.BoolOp(values=[*_, ast.Attribute(attr=before)]), attr=name):
            pass
        case _:
            return
    models = tables.get(before.lstrip("_"))
    if not models and before.lstrip("_") == "settings":
        models = {Settings.__name__} if hasattr(Settings, name) or name in Settings.model_fields else {*_tables()}
    for model, within in map(_tables().__getitem__, models or ()):
        yield from (f"{within}{key}" for key in _fields(model, name))


@cache
def _fields(model: type[BaseModel], name: str) -> tuple[str, ...]:
    """The fields behind an attribute of a model: itself, or those that its method or property reads."""
    if name in model.model_fields:
        return (name,)
    found = inspect.getattr_static(model, name, None)
    function = getattr(found, "fget", found)
    if not inspect.isfunction(function) or not function.__module__.startswith(f"{ROOT.name}."):
        return ()
    return tuple(key for inner in function.__code__.co_names if inner != name for key in _fields(model, inner))
