"""Stand-ins for what the worker's modules import to have threads, time and chance, made of the scheduler's fibers.

`installed` puts them into the globals and defaults of the worker's modules; outside of it nothing has changed.
"""

from __future__ import annotations

import os
import queue
import random
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CellType, FunctionType, ModuleType
from typing import Any

import uuid_utils

from bench.explore.fibers import FOREVER, Died, Fiber, Home, Scheduler

EPOCH_S = 1_700_000_000.0


class World:
    """What the stand-ins belong to at the moment: one universe after the other."""

    scheduler: Scheduler
    chance: random.Random
    ids = 0

    def begin(self, scheduler: Scheduler, chance: random.Random) -> None:
        """A universe begins."""
        self.scheduler, self.chance, self.ids = scheduler, chance, 0

    @property
    def home(self) -> Home | None:
        """The home of the fiber that runs; None: the explorer itself runs."""
        fiber = self.scheduler.current
        return fiber.home if fiber else None


WORLD = World()


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


class Lock:
    """A lock on which fibers wait."""

    __slots__ = ("_held", "_waiting")

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[Fiber] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See `threading`."""
        if not self._held:
            self._held = True
            return True
        if not blocking or timeout == 0:
            return False
        scheduler = WORLD.scheduler
        until = FOREVER if timeout < 0 else scheduler.now + timeout
        fiber = scheduler.current
        assert fiber is not None, "the explorer itself would wait for ever"
        self._waiting.append(fiber)
        try:
            while self._held:
                if not scheduler.wait(until) and self._held and scheduler.now >= until:
                    return False
        finally:
            self._waiting.remove(fiber)
        self._held = True
        return True

    def release(self) -> None:
        """See `threading`."""
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        for fiber in self._waiting:
            WORLD.scheduler.wake(fiber)

    def locked(self) -> bool:
        """See `threading`."""
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock(Lock):
    """The same, again and again for the fiber that has it."""

    __slots__ = ("_depth", "_owner")

    def __init__(self) -> None:
        super().__init__()
        self._owner: Fiber | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See `threading`."""
        me = WORLD.scheduler.current
        if self._depth and self._owner is me:
            self._depth += 1
            return True
        if super().acquire(blocking, timeout):
            self._owner, self._depth = me, 1
            return True
        return False

    def release(self) -> None:
        """See `threading`."""
        self._depth -= 1
        if not self._depth:
            super().release()


class Condition:
    """Fibers that wait until another one tells them."""

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = lock or RLock()
        self._waiting: list[Fiber] = []
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """See `threading`."""
        scheduler = WORLD.scheduler
        fiber = scheduler.current
        assert fiber is not None
        self._waiting.append(fiber)
        self._lock.release()
        try:
            return scheduler.wait(FOREVER if timeout is None else scheduler.now + timeout)
        finally:
            if fiber in self._waiting:
                self._waiting.remove(fiber)
            if not fiber.home.dead:
                self._lock.acquire()
            else:
                self._lock._held = True

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """See `threading`."""
        scheduler = WORLD.scheduler
        until = None if timeout is None else scheduler.now + timeout
        while not (result := predicate()):
            left = None if until is None else until - scheduler.now
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def notify(self, n: int = 1) -> None:
        """See `threading`."""
        for fiber in self._waiting[:n]:
            self._waiting.remove(fiber)
            WORLD.scheduler.wake(fiber)

    def notify_all(self) -> None:
        """See `threading`."""
        self.notify(len(self._waiting))


class Event:
    """See `threading`."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[Fiber] = []

    def is_set(self) -> bool:
        """See `threading`."""
        return self._set

    def set(self) -> None:
        """See `threading`."""
        self._set = True
        waiting, self._waiting = self._waiting, []
        for fiber in waiting:
            WORLD.scheduler.wake(fiber)

    def clear(self) -> None:
        """See `threading`."""
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """See `threading`."""
        scheduler = WORLD.scheduler
        until = FOREVER if timeout is None else scheduler.now + timeout
        while not self._set and scheduler.now < until:
            fiber = scheduler.current
            assert fiber is not None
            self._waiting.append(fiber)
            try:
                scheduler.wait(until)
            finally:
                if fiber in self._waiting:
                    self._waiting.remove(fiber)
        return self._set


class Thread:
    """A fiber of the home of whoever starts it."""

    def __init__(
        self,
        target: Callable[..., Any] | None = None,
        name: str = "thread",
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        daemon: bool | None = None,
    ) -> None:
        self._target, self.name, self._args, self._kwargs = target, name, args, kwargs or {}
        self._fiber: Fiber | None = None

    def start(self) -> None:
        """See `threading`."""
        home = WORLD.home
        target = self._target
        assert home is not None
        assert target is not None
        self._fiber = WORLD.scheduler.spawn(home, self.name, lambda: target(*self._args, **self._kwargs))

    def join(self, timeout: float | None = None) -> None:
        """See `threading`."""
        assert self._fiber is not None
        WORLD.scheduler.join(self._fiber, FOREVER if timeout is None else WORLD.scheduler.now + timeout)

    def is_alive(self) -> bool:
        """See `threading`."""
        return self._fiber is not None and not self._fiber.ended


class SimpleQueue:
    """See `queue`."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiting: deque[Fiber] = deque()

    def put(self, item: Any, *_: object) -> None:
        """See `queue`."""
        self._items.append(item)
        for fiber in self._waiting:
            WORLD.scheduler.wake(fiber)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """See `queue`."""
        scheduler = WORLD.scheduler
        until = FOREVER if timeout is None else scheduler.now + timeout
        while not self._items:
            if not block or scheduler.now >= until:
                raise queue.Empty
            fiber = scheduler.current
            assert fiber is not None
            self._waiting.append(fiber)
            try:
                scheduler.wait(until)
            finally:
                self._waiting.remove(fiber)
        return self._items.popleft()

    def get_nowait(self) -> Any:
        """See `queue`."""
        return self.get(block=False)

    def empty(self) -> bool:
        """See `queue`."""
        return not self._items


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


def _changes() -> Iterator[Change]:
    for name, module in list(sys.modules.items()):
        if name == "worker" or name.startswith("worker."):
            for key, value in list(vars(module).items()):
                if id(value) in _VALUES:
                    yield module, key, value, _VALUES[id(value)]
                elif getattr(value, "__module__", None) == name:
                    yield from _in_functions(value)


def _in_functions(value: Any) -> Iterator[Change]:
    functions = [value] if isinstance(value, FunctionType) else vars(value).values() if isinstance(value, type) else ()
    for function in functions:
        if isinstance(function, FunctionType):
            if function.__defaults__ and any(id(one) in _VALUES for one in function.__defaults__):
                changed = tuple(_VALUES.get(id(one), one) for one in function.__defaults__)
                yield function, "__defaults__", function.__defaults__, changed
            named = function.__kwdefaults__
            if named and any(id(one) in _VALUES for one in named.values()):
                yield function, "__kwdefaults__", named, {k: _VALUES.get(id(v), v) for k, v in named.items()}
            for cell in function.__closure__ or ():  # a dataclass has the factories of its defaults there
                if (found := _content(cell)) is not None and id(found) in _VALUES:
                    yield cell, "cell_contents", found, _VALUES[id(found)]


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


@contextmanager
def installed(*more: tuple[ModuleType, str, Any]) -> Iterator[None]:
    """The stand-ins are in all modules of the worker that are loaded; `more`: what further names of modules become."""
    made: list[Change] = []
    further = [(module, name, getattr(module, name), stand_in) for module, name, stand_in in more]
    try:
        for change in (*_changes(), *further):
            setattr(change[0], change[1], change[3])
            made.append(change)
        yield
    finally:
        for holder, name, before, _ in reversed(made):
            setattr(holder, name, before)


__all__ = ["WORLD", "Died", "installed", "monotonic", "sleep"]
