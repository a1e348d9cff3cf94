"""Takes away one guard after the other, and counts the seeds that the explorer needs to find that it is gone.

A guard is taken away in a forked process: the functions of its file get the code that they would have without it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from bench.explore.explorer import Explorer
from bench.explore.guards import GUARDS, Guard

ROOT = Path(__file__).resolve().parents[2]


def lines(first: int, most: int, timeout_s: float, only: str = "") -> Iterator[tuple[str, bool]]:
    """A line for each guard, and whether the explorer found that it was gone."""
    explorer = Explorer()
    with explorer.ready():  # what is loaded now is loaded in each fork
        explorer.explore(first)
    for guard in GUARDS:
        if only in guard.promise:
            needed, problem = seeds_needed(guard, first, most, timeout_s)
            found = "not found" if needed is None else f"found after {needed} seeds: {problem}"
            yield f"{guard.promise} ({guard.file}): {found}", needed is not None


def seeds_needed(guard: Guard, first: int, most: int, timeout_s: float) -> tuple[int | None, str]:
    """How many seeds the explorer needs to find that a guard is gone, and by what; None: it has not found it."""
    context = get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_search, args=(guard, first, most, there))
    process.start()
    there.close()
    found: tuple[int | None, str] = (None, "")
    try:
        if here.poll(timeout_s):
            found = here.recv()
    except EOFError:
        pass
    process.kill()
    process.join()
    return found


def _search(guard: Guard, first: int, most: int, there: Connection) -> None:
    take_away(guard)
    explorer = Explorer()
    with explorer.ready():
        for seed in range(first, first + most):
            if problems := explorer.explore(seed).problems:
                there.send((seed - first + 1, problems[0][:120]))
                return
    there.send((None, ""))


def take_away(guard: Guard) -> None:
    """Gives the functions of a guard's file the code that they would have without it, in this process."""
    name = "worker." + guard.file.removesuffix(".py").replace("/", ".")
    module, file = importlib.import_module(name), ROOT / "worker" / guard.file
    changed = ModuleType(name)
    changed.__dict__.update({"__file__": str(file), "__package__": module.__package__})
    code = compile(without(guard, file.read_text(encoding="utf-8")), str(file), "exec")
    exec(code, changed.__dict__)
    _replace_code(vars(module), vars(changed), name)


def _replace_code(old: Any, new: Any, module: str) -> None:
    for key, value in list(new.items()):
        before = old.get(key)
        if isinstance(value, FunctionType) and isinstance(before, FunctionType):
            before.__code__ = value.__code__
        elif isinstance(value, type) and isinstance(before, type) and value.__module__ == module:
            _replace_code(vars(before), vars(value), module)


def without(guard: Guard, text: str) -> str:
    """A file's text without the guard; ValueError where its old text does not occur once."""
    if text.count(guard.old) != 1:
        raise ValueError(f"{guard.file} has {text.count(guard.old)} times {guard.old!r}")
    return text.replace(guard.old, guard.new)
