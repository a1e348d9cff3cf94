"""Takes away one guard after the other, and counts the seeds that the explorer needs to find that it is gone.

A guard is taken away in a forked process: the functions of its file get the code that they would have without it.
"""

from __future__ import annotations

import importlib
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from bench.explore.database import Store
from bench.explore.explorer import Explorer
from bench.explore.guards import Guard

HEAD = f"{'seeds':>6} {'cpu s':>6}  {'without the guard of':48} what was broken"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Search:
    """Where guards are missed, and for how long."""

    make: Callable[[], Store]
    first: int
    """The first seed."""
    most: int
    """How many seeds for each guard."""
    timeout_s: float
    """Seconds of processor time for each guard."""


def lines(guards: Iterable[Guard], search: Search) -> Iterator[tuple[str, bool]]:
    """A line of the table for each guard, and whether the explorer found that it was gone."""
    explorer = Explorer(search.make())
    with explorer.ready():  # what is loaded now is loaded in each fork
        explorer.explore(search.first)
    for guard in guards:
        found = seeds_to_notice(guard, search)
        seeds = f"{found.seeds}" if found.problem else f">{found.seeds}"
        yield f"{seeds:>6} {found.cpu_s:6.1f}  {guard.promise:48} {found.problem or '-'}", bool(found.problem)


@dataclass(frozen=True, slots=True)
class Found:
    """How many seeds were tried without a guard, and what the last of them broke."""

    seeds: int
    cpu_s: float
    problem: str
    """Empty where no promise was broken."""


def seeds_to_notice(guard: Guard, search: Search) -> Found:
    """Tries seeds without a guard until a promise is broken, or for so many seconds of processor time."""
    context = get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_search, args=(guard, search, there))
    process.start()
    there.close()
    try:
        found: Found = here.recv()
    except EOFError:
        process.join()
        if process.exitcode != -signal.SIGPROF:
            raise  # an error, which the process has printed
        found = Found(0, search.timeout_s, "")
    process.join()
    return found


def _search(guard: Guard, search: Search, there: Connection) -> None:
    signal.setitimer(signal.ITIMER_PROF, 2 * search.timeout_s)  # ends the process if a universe has no end
    take_away(guard)
    explorer, began = Explorer(search.make()), time.process_time()
    seeds, problems = 0, list[str]()
    with explorer.ready():
        while not problems and seeds < search.most and time.process_time() - began < search.timeout_s:
            problems = explorer.explore(search.first + seeds).problems
            seeds += 1
    there.send(Found(seeds, time.process_time() - began, problems[0][:120] if problems else ""))


def take_away(guard: Guard) -> None:
    """Gives the functions of a guard's files the code that they would have without it, in this process."""
    for file in guard.files:
        name = "worker." + file.removesuffix(".py").replace("/", ".")
        module, path = importlib.import_module(name), ROOT / "worker" / file
        changed = ModuleType(name)
        changed.__dict__.update({"__file__": str(path), "__package__": module.__package__})
        code = compile(without(guard, file, path.read_text(encoding="utf-8")), str(path), "exec")
        exec(code, changed.__dict__)
        if not sum(_replace_code(vars(module), vars(changed), name)):
            raise ValueError(f"no function of {file} is another without its guard")
    _forget_statements()


def _replace_code(old: Any, new: Any, module: str) -> Iterator[bool]:
    """For each function, whether its code is another now."""
    for key, value in list(new.items()):
        before = old.get(key)
        before, value = getattr(before, "__wrapped__", before), getattr(value, "__wrapped__", value)
        if isinstance(value, FunctionType) and isinstance(before, FunctionType):
            yield before.__code__ != value.__code__
            before.__code__ = value.__code__
        elif isinstance(value, type) and isinstance(before, type) and value.__module__ == module:
            yield from _replace_code(vars(before), vars(value), module)


def _forget_statements() -> None:
    """Has the worker's modules build their SQL anew, of which they keep what they have built."""
    for name, module in list(sys.modules.items()):
        for value in list(vars(module).values()) if name.startswith("worker.") else ():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def without(guard: Guard, file: str, text: str) -> str:
    """A file's text without the guard; ValueError where an old text does not occur once."""
    for edit in guard.edits:
        if edit.file == file:
            if text.count(edit.old) != 1:
                raise ValueError(f"{file} has {text.count(edit.old)} times {edit.old!r}")
            text = text.replace(edit.old, edit.new)
    return text
