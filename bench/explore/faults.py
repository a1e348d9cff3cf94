"""The faults of a universe: what happens to which host at which step, as its seed chooses."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from bench.explore.broker import Broker
from bench.explore.database import LOST, Store
from bench.explore.fibers import Died, Home, Scheduler
from bench.explore.network import Vendor
from bench.explore.process import Host

STEPS = (
    "begin",
    "statement",
    "commit",
    "committed",
    "connect",
    "taken",
    "before_mark",
    "after_mark",
    "before_record",
    "after_record",
    "before_ack",
)
"""Where a fault may strike; those after `taken` are the steps that the worker itself names."""
FEW = frozenset(STEPS[4:])
"""Steps that each happen a few times in a universe."""


class Fault(StrEnum):
    """What happens to a process."""

    DIES = "dies"
    SLEEPS = "sleeps past its lease"
    ANSWER_LOST = "loses the answer to a commit"
    DATABASE_AWAY = "finds the database away"
    BROKER_AWAY = "reaches the broker no more"


@dataclass(slots=True)
class Doom:
    """A fault that waits for a step of a host."""

    fault: Fault
    step: str
    count: int
    """The how-manieth such step from now on."""


@dataclass
class Faults:
    """Makes faults happen until they end."""

    scheduler: Scheduler
    chance: random.Random
    store: Store
    broker: Broker
    vendor: Vendor
    hosts: list[Host]
    told: Callable[[str], None]
    reached: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(Step, fault) -> how often it happened there."""
    over: bool = False
    _dooms: dict[str, Doom] = field(default_factory=dict)

    # -- at each step -------------------------------------------------------------------------------------------------

    def step(self, label: str) -> None:
        """A fiber is about to take a step: another one may go on, and its process may meet a fault."""
        fiber = self.scheduler.current
        if fiber is None:
            return
        if fiber.home.dead:
            raise Died
        doom = self._dooms.get(fiber.home.name)
        if doom is not None and doom.step == label:
            doom.count -= 1
            if doom.count <= 0:
                del self._dooms[fiber.home.name]
                self.strike(doom.fault, label, fiber.home)
        self.scheduler.point()

    def strike(self, fault: Fault, label: str, home: Home) -> None:
        """Lets a fault happen to the process that runs."""
        self.reached[label, fault] += 1
        self.told(f"{home.name} {fault} at {label}")
        chance, now = self.chance, self.scheduler.now
        match fault:
            case Fault.DIES:
                self.scheduler.kill(home)
            case Fault.SLEEPS:
                home.frozen_until = now + chance.uniform(3.0, 9.0)
            case Fault.ANSWER_LOST:
                raise sqlite3.OperationalError(LOST)
            case Fault.DATABASE_AWAY:
                self.store.away_until = now + chance.uniform(0.1, 6.0)
            case Fault.BROKER_AWAY:
                self.broker.unreached.add(home.name)

    # -- over time ----------------------------------------------------------------------------------------------------

    def happen(self, count: int, within_s: float) -> None:
        """Prepares so many faults in about so many seconds."""
        for _ in range(count):
            self.scheduler.sleep(self.chance.expovariate(count / within_s))
            if self.over:
                return
            self._one()

    def _one(self) -> None:
        chance = self.chance
        host = chance.choice(self.hosts)
        kind = chance.random()
        if kind < 0.7:
            step = chance.choice(STEPS)
            fault = chance.choice([*Fault, Fault.DIES, Fault.DIES])
            if fault is Fault.ANSWER_LOST:
                step = "committed"
            self._dooms[host.name] = Doom(fault, step, chance.randint(1, 3 if step in FEW else 40))
        elif kind < 0.8:
            self.vendor.ill = chance.choice([0.0, 0.3, 0.9])
            self.told(f"the vendor is ill: {self.vendor.ill}")
        elif kind < 0.87:
            self.broker.faulty = chance.choice([0.0, 0.2, 0.6])
            self.told(f"the broker is faulty: {self.broker.faulty}")
        elif kind < 0.92:
            self.told("the broker loses everything")
            self.broker.flush()
        elif kind < 0.96:
            self.told("the broker is reached again")
            self.broker.unreached.clear()
        else:
            self.told(f"{host.name} is to end")
            host.leave()

    def keep_alive(self) -> None:
        """Starts a process in the place of each that has died, after a while."""
        while True:
            self.scheduler.sleep(0.5)
            for host in self.hosts:
                if host.home.dead and (self.over or self.chance.random() < 0.2):
                    self.told(f"{host.name} starts again")
                    host.again()

    def heal(self) -> None:
        """There are no more faults; what was broken is whole again."""
        self.told("no more faults")
        self.over = True
        self._dooms.clear()
        self.store.away_until = 0.0
        self.vendor.ill = 0.0
        self.broker.heal()
        for host in self.hosts:
            host.home.frozen_until = 0.0
