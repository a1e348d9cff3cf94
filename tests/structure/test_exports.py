"""The public names stand once for programs and once for type checkers; all that is returned is among them."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import typing
from pathlib import Path
from typing import Any

import worker
from tools.reference import names
from worker.config.channels import REGISTRY

STUB = Path(worker.__file__).with_suffix(".pyi")


def test_what_the_stub_names_is_loaded() -> None:
    """Each name from the module that the stub names."""
    statements = ast.parse(STUB.read_text(encoding="utf-8")).body
    imports = [node for node in statements if isinstance(node, ast.ImportFrom)]
    homes = {name.asname: node.module for node in imports for name in node.names if name.asname == name.name}
    doors = {node.targets[0].id for node in statements if isinstance(node, ast.Assign)}  # type: ignore[attr-defined]

    for name, home in homes.items():
        assert getattr(worker, str(name)) is getattr(importlib.import_module(str(home)), str(name)), name
    assert set(worker.__all__) == set(homes) | doors


def test_what_a_function_returns_is_exported() -> None:
    """Also the types inside it: those of a generic, and of a dataclass's fields."""
    doors = [getattr(worker, entry.public_module) for entry in REGISTRY.values() if entry.public_module]
    places = [(worker, worker.__all__), *((door, names.public(door)) for door in doors)]
    public = {f"{place.__name__}.{name}": getattr(place, name) for place, named in places for name in named}
    exported = {one for one in public.values() if isinstance(one, type)}
    functions = {name: one for name, one in public.items() if inspect.isfunction(one)}

    missing = {
        f"{name}: {found.__name__}"
        for name, function in functions.items()
        for found in _types(_returned(function))
        if found not in exported
    }

    assert missing == set()


def _returned(function: Any) -> Any:
    inner = inspect.unwrap(function)
    return eval(inner.__annotations__["return"], inner.__globals__)  # the other annotations need not exist at run time


def _types(annotation: Any) -> set[type]:
    found: set[type] = set()
    left = [annotation]
    while left:
        one = left.pop()
        left += typing.get_args(one)
        if isinstance(one, type) and one.__module__.startswith("worker.") and one not in found:
            found.add(one)
            hints = typing.get_type_hints(one) if dataclasses.is_dataclass(one) else {}
            left += [hints[field.name] for field in (dataclasses.fields(one) if hints else ())]
    return found
