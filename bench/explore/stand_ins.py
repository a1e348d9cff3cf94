"""Replaces the threads, clocks and random numbers that the worker's modules import by those of the explorer.

`installed` puts the stand-ins into the globals and defaults of the worker's modules, and takes them out at the end.
"""

from __future__ import annotations

import os
import queue
import random
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import CellType, FunctionType, ModuleType
from typing import Any

import uuid_utils

from bench.explore.threads import WORLD, Condition, Event, Lock, RLock, SimpleQueue, Thread

EPOCH_S = 1_700_001_055
"""What all clocks show at first: 22:30:55 UTC, so that quiet hours begin and end in the midst of the faults."""
UPTIME_S = 1_000.0
"""For how long each host has run then."""


def monotonic(*_: object) -> float:
    """Returns the monotonic clock of the host on which this fiber runs."""
    home, now = WORLD.home, WORLD.scheduler.now
    return UPTIME_S + (home.clock(now) if home else now)


def wall_clock() -> float:
    """Returns the seconds since 1970 by the clock of that host."""
    return EPOCH_S - UPTIME_S + monotonic() + (WORLD.home.wall_s if WORLD.home else 0.0)


def sleep(seconds: float) -> None:
    """Waits for so many seconds of virtual time."""
    WORLD.scheduler.sleep(seconds)


class Uuid:
    """A UUIDv7 with the time of the host's clock and random bits of the seed."""

    def __init__(self) -> None:
        WORLD.ids += 1
        instant, rest = int(wall_clock() * 1000), WORLD.chance.getrandbits(48)
        self.hex = f"{instant:012x}7{WORLD.ids % 4096:03x}8{WORLD.ids // 4096 % 4096:03x}{rest:012x}"

    def __str__(self) -> str:
        return self.hex


def _get_ident() -> int:
    fiber = WORLD.scheduler.current
    return fiber.number if fiber else 0


class _Seeded(random.Random):
    """`random.Random` whose numbers depend on the universe's seed even if it is made without one."""

    def __init__(self, seed: Any = None):
        super().__init__(WORLD.chance.getrandbits(64) if seed is None else seed)


class _Beside(ModuleType):
    """A copy of a module in which some names are replaced."""

    def __init__(self, module: ModuleType, **replaced: Any):
        super().__init__(module.__name__)
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _host() -> str:
    home = WORLD.home
    return home.name if home else "outside"


def _pid() -> int:
    home = WORLD.home
    return home.number if home else 0


def _random_bytes(count: int) -> bytes:
    return WORLD.chance.randbytes(count)


_MODULES: dict[ModuleType, ModuleType] = {
    threading: _Beside(
        threading,
        Lock=Lock,
        RLock=RLock,
        Condition=Condition,
        Event=Event,
        Thread=Thread,
        get_ident=_get_ident,
    ),
    time: _Beside(
        time, monotonic=monotonic, time=wall_clock, sleep=sleep, clock_gettime=monotonic, perf_counter=monotonic
    ),
    random: _Beside(random, Random=_Seeded),
    secrets: _Beside(
        secrets,
        token_hex=lambda count=16: _random_bytes(count).hex(),
        token_urlsafe=lambda count=16: _random_bytes(count).hex(),
        token_bytes=_random_bytes,
    ),
    socket: _Beside(socket, gethostname=_host),
    os: _Beside(os, getpid=_pid),
    uuid_utils: _Beside(uuid_utils, uuid7=Uuid),
}
_VALUES: dict[int, Any] = {
    id(real): stand_in
    for real, stand_in in (
        (uuid_utils.uuid7, Uuid),
        (queue.SimpleQueue, SimpleQueue),
        (threading.Lock, Lock),
        (threading.Event, Event),
        (threading.Condition, Condition),
        (time.monotonic, monotonic),
        (time.sleep, sleep),
        (time.time, wall_clock),
        (os.urandom, _random_bytes),
        *((real, stand_in) for real, stand_in in _MODULES.items()),
    )
}
Change = tuple[Any, str, Any, Any]
"""An object, the name of one of its attributes, the old value, and the new one."""


def _changes(values: Mapping[int, Any]) -> Iterator[Change]:
    for name, module in list(sys.modules.items()):
        if name == "worker" or name.startswith("worker."):
            for key, value in list(vars(module).items()):
                if id(value) in values and getattr(value, "__module__", None) != name:
                    yield module, key, value, values[id(value)]
                elif getattr(value, "__module__", None) == name:
                    yield from _in_functions(value, values)


def _in_functions(value: Any, values: Mapping[int, Any]) -> Iterator[Change]:
    functions = [value] if isinstance(value, FunctionType) else vars(value).values() if isinstance(value, type) else ()
    for function in functions:
        if isinstance(function, FunctionType):
            if function.__defaults__ and any(id(one) in values for one in function.__defaults__):
                changed = tuple(values.get(id(one), one) for one in function.__defaults__)
                yield function, "__defaults__", function.__defaults__, changed
            named = function.__kwdefaults__
            if named and any(id(one) in values for one in named.values()):
                yield function, "__kwdefaults__", named, {k: values.get(id(v), v) for k, v in named.items()}
            for cell in function.__closure__ or ():  # a dataclass keeps its default factories there
                if (found := _content(cell)) is not None and id(found) in values:
                    yield cell, "cell_contents", found, values[id(found)]


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


@contextmanager
def installed(*more: tuple[Any, Any]) -> Iterator[None]:
    """Replaces them in all loaded modules of the worker. `more` has further pairs of a real object and its stand-in."""
    made: list[Change] = []
    try:
        for change in _changes({**_VALUES, **{id(real): stand_in for real, stand_in in more}}):
            setattr(change[0], change[1], change[3])
            made.append(change)
        yield
    finally:
        for holder, name, before, _ in reversed(made):
            setattr(holder, name, before)
