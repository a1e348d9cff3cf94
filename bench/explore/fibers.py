"""The scheduler: every thread of every simulated process is a greenlet of one thread, and exactly one of them runs.

The seed chooses who goes on at each switch. Time is virtual: it moves a little with each statement, and jumps to the
next alarm when nobody can run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # greenlet has no types

FOREVER = float("inf")


class Died(BaseException):
    """The process of this fiber is no more."""


class Home:
    """What dies, sleeps and has a clock as a whole: a process on a simulated host."""

    def __init__(self, name: str, *, is_host: bool = False, drift: float = 0.0, offset_s: float = 0.0):
        """`is_host`: the process of a worker, which meets faults."""
        self.name, self.is_host = name, is_host
        self.drift, self.offset_s = drift, offset_s
        self.number = 1
        """Of its host's processes, in the order in which they began."""
        self.dead = False
        self.frozen_until = 0.0
        self.fibers: list[Fiber] = []

    def clock(self, now: float) -> float:
        """The home's own monotonic clock at an instant."""
        return self.offset_s + now * (1.0 + self.drift)

    def again(self) -> Home:
        """The home of the process that comes after."""
        after = Home(self.name, is_host=self.is_host, drift=self.drift, offset_s=self.offset_s)
        after.number = self.number + 1
        return after

    def __repr__(self) -> str:
        return self.name


class Fiber:
    """One thread of a simulated process."""

    __slots__ = ("alarm", "ended", "greenlet", "home", "name", "number", "parked", "waiters", "woken")

    def __init__(
        self,
        home: Home,
        name: str,
        number: int,
        work: Callable[[], object],
        hub: greenlet,
        failed: Callable[[str], None],
    ):
        self.home, self.name, self.number = home, name, number
        self.ended = False
        self.woken = False
        self.parked = False
        self.alarm = 0
        """Counts its waits, so that an alarm of an earlier wait is not heard in a later one."""
        self.waiters: list[Fiber] = []

        def run() -> None:
            try:
                work()
            except Died:
                pass
            except Exception as error:  # noqa: BLE001  the end of a thread that should not end; the judge tells of it
                failed(f"{home.name}/{name} ended with {type(error).__name__}: {error}")
            finally:
                self.ended = True

        self.greenlet = greenlet(run, hub)


class Scheduler:
    """Runs fibers one at a time, as a seed chooses."""

    def __init__(self, rng: random.Random, *, eagerness: float = 0.2, statement_s: float = 0.0004):
        """`eagerness`: the part of the switch points at which another fiber goes on; `statement_s`: what each takes."""
        self.rng = rng
        self.now = 0.0
        self.current: Fiber | None = None
        self.failures: list[str] = []
        """A sentence for each fiber that an error ended."""
        self._eagerness, self._statement_s = eagerness, statement_s
        self._ready: list[Fiber] = []
        self._alarms: list[tuple[float, int, int, Fiber]] = []
        self._numbers = 0
        self._hub = getcurrent()
        self._fibers: list[Fiber] = []
        self._dying: list[Home] = []

    # -- called by whoever starts and ends things ---------------------------------------------------------------------

    def spawn(self, home: Home, name: str, work: Callable[[], object]) -> Fiber:
        """A new fiber of a home, which begins when its turn comes."""
        if home.dead:
            raise Died
        self._numbers += 1
        fiber = Fiber(home, name, self._numbers, work, self._hub, self.failures.append)
        home.fibers.append(fiber)
        self._fibers.append(fiber)
        self._ready.append(fiber)
        return fiber

    def kill(self, home: Home) -> None:
        """Ends a home: none of its fibers does anything more. Raises `Died` in one of them."""
        home.dead = True
        self._dying.append(home)
        if self.current is not None and self.current.home is home:
            raise Died
        if self.current is None:
            self._bury()

    def run(self, until: float, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Lets everything run until an instant, or until `stop`, which is asked whenever time jumps."""
        while True:
            while self._alarms and self._alarms[0][0] <= self.now:
                self._ring(heappop(self._alarms))
            if not self._ready:
                if not self._alarms or self._alarms[0][0] > until or stop():
                    self.now = max(self.now, min(until, self._alarms[0][0] if self._alarms else until))
                    return
                self.now = self._alarms[0][0]
                continue
            if self.now > until:
                return
            self._go(self._next())
            if self._dying:
                self._bury()

    def close(self) -> None:
        """Ends every home that has fibers left."""
        for fiber in self._fibers:
            fiber.home.dead = True
            self._dying.append(fiber.home)
        self._bury()

    # -- called inside fibers -----------------------------------------------------------------------------------------

    def point(self) -> None:
        """A moment in which another fiber may go on, and time passes."""
        fiber = self.current
        if fiber is None:
            return
        if fiber.home.dead:
            raise Died
        self.now += self._statement_s
        if fiber.home.frozen_until > self.now or self.rng.random() < self._eagerness:
            self._ready.append(fiber)
            self._leave(fiber)

    def wait(self, until: float = FOREVER) -> bool:
        """Stands still until another fiber wakes this one, or an instant; True where it was woken."""
        fiber = self.current
        assert fiber is not None, "only a fiber waits"
        if fiber.home.dead:
            raise Died
        fiber.woken, fiber.parked = False, True
        fiber.alarm += 1
        if until != FOREVER:
            self._numbers += 1
            heappush(self._alarms, (max(until, self.now), self._numbers, fiber.alarm, fiber))
        self._leave(fiber)
        return fiber.woken

    def sleep(self, seconds: float) -> None:
        """Stands still for so long."""
        self.wait(self.now + max(seconds, 1e-6))

    def wake(self, fiber: Fiber) -> None:
        """Lets a fiber go on that waits."""
        if fiber.parked:
            fiber.parked, fiber.woken = False, True
            self._ready.append(fiber)

    def join(self, fiber: Fiber, until: float = FOREVER) -> None:
        """Waits for the end of another fiber."""
        while not fiber.ended and self.now < until:
            assert self.current is not None
            fiber.waiters.append(self.current)
            self.wait(until)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _ring(self, alarm: tuple[float, int, int, Fiber]) -> None:
        _, _, number, fiber = alarm
        if fiber.parked and fiber.alarm == number:
            fiber.parked = False
            self._ready.append(fiber)

    def _next(self) -> Fiber:
        ready = self._ready
        place = int(self.rng.random() * len(ready)) if len(ready) > 1 else 0
        ready[place], ready[-1] = ready[-1], ready[place]
        return ready.pop()

    def _go(self, fiber: Fiber) -> None:
        if fiber.ended or fiber.home.dead:
            return
        if fiber.home.frozen_until > self.now:
            fiber.parked = True
            self._numbers += 1
            heappush(self._alarms, (fiber.home.frozen_until, self._numbers, fiber.alarm, fiber))
            return
        with self._as_current(fiber):
            fiber.greenlet.switch()
        if fiber.ended:
            for waiter in fiber.waiters:
                self.wake(waiter)

    def _throw(self, fiber: Fiber) -> None:
        if not fiber.greenlet:  # it has not begun
            fiber.ended = True
            return
        with self._as_current(fiber):
            fiber.greenlet.throw(Died)

    def _leave(self, fiber: Fiber) -> None:
        self._hub.switch()
        if fiber.home.dead:
            raise Died

    def _bury(self) -> None:
        while self._dying:
            home = self._dying.pop()
            fibers, home.fibers = home.fibers, []
            for fiber in fibers:
                while not fiber.ended:
                    self._throw(fiber)
                for waiter in fiber.waiters:
                    self.wake(waiter)

    @contextmanager
    def _as_current(self, fiber: Fiber) -> Iterator[None]:
        before, self.current = self.current, fiber
        try:
            yield
        finally:
            self.current = before
