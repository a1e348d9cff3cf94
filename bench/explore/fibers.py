"""Runs each thread of each simulated process as a greenlet, called fiber here. Only one fiber runs at a time.

The seed chooses which fiber continues at each switch. Time is virtual: each statement moves it a little, and if no
fiber can run it jumps to the next alarm.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # greenlet has no types

FOREVER = float("inf")


class Died(BaseException):
    """Raised in a fiber whose process was killed."""


class Home:
    """A process on a simulated host. Its fibers die and sleep together and share a clock."""

    def __init__(self, name: str, *, drift: float = 0.0, offset_s: float = 0.0):
        self.name = name
        self.drift, self.offset_s = drift, offset_s
        self.wall_s = 0.0
        """How many seconds its wall clock was set forward."""
        self.number = 1
        """Counts the processes of the host, from 1 in the order in which they started."""
        self.dead = False
        self.is_refused = False
        """True where a message was refused, and no thread has come to the record of an answer since."""
        self.frozen_until = 0.0
        self.fibers: list[Fiber] = []

    def clock(self, now: float) -> float:
        """Converts an instant of the scheduler to the monotonic clock of this host."""
        return self.offset_s + now * (1.0 + self.drift)

    def again(self) -> Home:
        """Returns the home of the process that follows this one on the same host."""
        after = Home(self.name, drift=self.drift, offset_s=self.offset_s)
        after.number, after.wall_s = self.number + 1, self.wall_s
        return after

    def __repr__(self) -> str:
        return self.name


class Fiber:
    """One thread of a simulated process."""

    __slots__ = ("alarm", "ended", "frozen", "greenlet", "home", "name", "number", "parked", "waiters", "woken")

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
        self.frozen = False
        """Whether it could run but has to wait because its home sleeps."""
        self.alarm = 0
        """The number of its latest wait. An alarm that was set for an earlier wait is ignored."""
        self.waiters: list[Fiber] = []

        def run() -> None:
            try:
                work()
            except Died:
                pass
            except Exception as error:  # noqa: BLE001  no thread should end by an error; the judge reports it
                failed(f"{home.name}/{name} ended with {type(error).__name__}: {error}")
            finally:
                self.ended = True

        self.greenlet = greenlet(run, hub)


class Scheduler:
    """Runs fibers one at a time. The seed chooses which."""

    def __init__(self, rng: random.Random, *, eagerness: float = 0.2, statement_s: float = 0.0004):
        """`eagerness`: the share of switch points at which another fiber continues; `statement_s`: the time of each."""
        self.rng = rng
        self.now = 0.0
        self.current: Fiber | None = None
        self.failures: list[str] = []
        """One sentence for each fiber that ended with an error."""
        self._eagerness, self._statement_s = eagerness, statement_s
        self._ready: list[Fiber] = []
        self._alarms: list[tuple[float, int, int, Fiber]] = []
        self._numbers = 0
        self._hub = getcurrent()
        self._fibers: list[Fiber] = []
        self._dying: list[Home] = []

    # -- called by the explorer: start and end fibers -----------------------------------------------------------------

    def spawn(self, home: Home, name: str, work: Callable[[], object]) -> Fiber:
        """Adds a fiber to a home. It starts when the seed chooses it."""
        if home.dead:
            raise Died
        self._numbers += 1
        fiber = Fiber(home, name, self._numbers, work, self._hub, self.failures.append)
        home.fibers.append(fiber)
        self._fibers.append(fiber)
        self._ready.append(fiber)
        return fiber

    def kill(self, home: Home) -> None:
        """Ends a home and all its fibers. Raises `Died` if a fiber of this home calls it."""
        home.dead = True
        self._dying.append(home)
        if self.current is not None and self.current.home is home:
            raise Died
        if self.current is None:
            self._bury()

    def run(self, until: float, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Runs all fibers until an instant, or until `stop` returns true. It is called each time before time jumps."""
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

    def thaw(self, home: Home) -> None:
        """Ends the sleep of a home. Its fibers can run again."""
        home.frozen_until = self.now
        for fiber in home.fibers:
            if fiber.frozen:
                fiber.parked = fiber.frozen = False
                fiber.alarm += 1
                self._ready.append(fiber)

    def close(self) -> None:
        """Ends all homes with their fibers."""
        for fiber in self._fibers:
            fiber.home.dead = True
            self._dying.append(fiber.home)
        self._bury()

    # -- called inside fibers -----------------------------------------------------------------------------------------

    def point(self) -> None:
        """A switch point: moves time a little and may let another fiber continue."""
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
        """Waits until another fiber wakes this one or until an instant. Returns whether it was woken."""
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
        """Waits for so many seconds of virtual time."""
        self.wait(self.now + max(seconds, 1e-6))

    def wake(self, fiber: Fiber) -> None:
        """Ends the wait of a fiber, if it waits."""
        if fiber.parked:
            fiber.parked, fiber.woken = False, True
            self._ready.append(fiber)

    def join(self, fiber: Fiber, until: float = FOREVER) -> None:
        """Waits until another fiber has ended."""
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
            fiber.parked = fiber.frozen = True
            self._numbers += 1
            heappush(self._alarms, (fiber.home.frozen_until, self._numbers, fiber.alarm, fiber))
            return
        fiber.frozen = False
        before, self.current = self.current, fiber
        try:
            fiber.greenlet.switch()
        finally:
            self.current = before
        if fiber.ended:
            for waiter in fiber.waiters:
                self.wake(waiter)

    def _throw(self, fiber: Fiber) -> None:
        if not fiber.greenlet:  # it has not started
            fiber.ended = True
            return
        before, self.current = self.current, fiber
        try:
            fiber.greenlet.throw(Died)
        finally:
            self.current = before

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
