"""Replaces the threads, locks and queues of `threading` and `queue` by ones that use the scheduler's fibers."""

from __future__ import annotations

import queue
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from bench.explore.fibers import FOREVER, Fiber, Home, Scheduler


class World:
    """The universe that runs now. All stand-ins use its scheduler and its random numbers."""

    scheduler: Scheduler
    chance: random.Random
    ids = 0

    def begin(self, scheduler: Scheduler, chance: random.Random) -> None:
        """Begins another universe."""
        self.scheduler, self.chance, self.ids = scheduler, chance, 0

    @property
    def home(self) -> Home | None:
        """The home of the fiber that runs, or None if the explorer itself runs."""
        fiber = self.scheduler.current
        return fiber.home if fiber else None


WORLD = World()


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
    """A lock that the fiber which holds it can acquire again."""

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
    """See `threading`."""

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
    """A thread that runs as a fiber, in the home of the fiber that starts it."""

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
