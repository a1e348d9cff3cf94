"""Stand-ins for what the worker's modules import to have threads, time and chance, made of the scheduler's fibers.

`installed` puts them into the globals and defaults of the worker's modules; outside of it nothing has changed.
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

EPOCH_S = 1_700_000_000.0


def monotonic(*_: object) -> float:
    """The clock of the host on which this fiber runs."""
    home, now = WORLD.home, WORLD.scheduler.now
    return 1_000.0 + (home.clock(now) if home else now)


def wall_clock() -> float:
    """Seconds since 1970 by that host's clock."""
    return EPOCH_S + monotonic()


def sleep(seconds: float) -> None:
    """Stands still for so long."""
    WORLD.scheduler.sleep(seconds)


class Uuid:
    """A UUIDv7 of the host's clock, with bits that the seed chooses."""

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
    """Chance that the seed of the universe decides, also where no seed is given."""

    def __init__(self, seed: Any = None):
        super().__init__(WORLD.chance.getrandbits(64) if seed is None else seed)


class _Beside(ModuleType):
    """A module with some names replaced."""

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
"""An object or dictionary, a name in it, what it was, and what it becomes."""


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
            for cell in function.__closure__ or ():  # a dataclass has the factories of its defaults there
                if (found := _content(cell)) is not None and id(found) in values:
                    yield cell, "cell_contents", found, values[id(found)]


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


@contextmanager
def installed(*more: tuple[Any, Any]) -> Iterator[None]:
    """The stand-ins are in all modules of the worker that are loaded; `more`: further things, and what they become."""
    made: list[Change] = []
    try:
        for change in _changes({**_VALUES, **{id(real): stand_in for real, stand_in in more}}):
            setattr(change[0], change[1], change[3])
            made.append(change)
        yield
    finally:
        for holder, name, before, _ in reversed(made):
            setattr(holder, name, before)
