"""One seed, one universe: hosts, accounts, jobs, people and faults; then everything heals, and it runs on."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field

from bench.explore.broker import Broker
from bench.explore.database import Databases, Store
from bench.explore.faults import Faults
from bench.explore.fibers import Home, Scheduler
from bench.explore.judge import Judge
from bench.explore.network import Vendor
from bench.explore.people import People
from bench.explore.process import Host
from bench.explore.producers import Producer, accounts
from bench.explore.threads import WORLD

FAULTS_S = 10.0
"""Virtual seconds in which faults happen."""
LOOK_S = 0.5
"""Virtual seconds between two looks at what has not ended."""
BOUND_S = 300.0
"""Virtual seconds after the last fault within which everything that may go has gone."""


@dataclass
class Told:
    """What became of a universe."""

    seed: int
    problems: list[str] = field(default_factory=list)
    """A sentence for each broken promise."""
    story: list[str] = field(default_factory=list)
    reached: Counter[tuple[str, str]] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    statements: int = 0
    virtual_s: float = 0.0

    @property
    def digest(self) -> str:
        """The same for each run of the same seed."""
        return hashlib.sha256("\n".join(self.story).encode()).hexdigest()[:16]


class Universe:
    """The parts of one universe, and its course."""

    def __init__(self, seed: int, store: Store, databases: Databases):
        rng = random.Random(seed)
        self.chance = chance = random.Random(rng.getrandbits(64))
        self.told = Told(seed)
        self.scheduler = Scheduler(random.Random(rng.getrandbits(64)), eagerness=chance.choice([0.02, 0.1, 0.4]))
        WORLD.begin(self.scheduler, random.Random(rng.getrandbits(64)))
        self.store, self._databases = store, databases
        self.vendor = Vendor(self.scheduler, random.Random(rng.getrandbits(64)), self._say)
        self.broker = Broker(self.scheduler, random.Random(rng.getrandbits(64)))
        self._outside = Home("outside")
        self.hosts: list[Host] = []
        self.faults = Faults(self.scheduler, chance, store, self.broker, self.vendor, self.hosts, self._say)
        store.begin(self.faults.step)
        of_all = accounts(chance)
        for number in range(chance.choice([2, 2, 3])):
            home = Home(f"host{number}", is_host=True, drift=chance.uniform(-1e-4, 1e-4), offset_s=chance.uniform(0, 5))
            databases.of(home)  # its engine is made before the universe begins
            self.hosts.append(
                Host(
                    home,
                    self.scheduler,
                    broker=self.broker,
                    vendor=self.vendor,
                    databases=databases,
                    accounts=of_all,
                    step=self.faults.step,
                    threads=chance.choice([1, 2, 3]),
                )
            )
        outside = databases.of(self._outside)
        self.producer = Producer(outside, self.scheduler, random.Random(rng.getrandbits(64)), of_all)
        self.people = People(outside, self.scheduler, random.Random(rng.getrandbits(64)), self.producer.jobs, self._say)
        self.judge = Judge(store, self.vendor, self.producer, self.people)

    def run(self) -> Told:
        """Runs it to its end, and judges it."""
        self.store.statements = 0  # without those of engines that were made just now
        try:
            self._with_faults()
            self._without_faults("after the last fault")
            for _ in range(2):  # a second time for what came into doubt meanwhile
                if not self.told.problems and self.judge.open_parts().parts:
                    self._from_outside("people", self.people.let_go)
                    self._without_faults("after people let everything go")
        finally:
            self.scheduler.close()
        return self._end()

    def _with_faults(self) -> None:
        scheduler, chance = self.scheduler, self.chance
        for host in self.hosts:
            host.start()
        spawn = scheduler.spawn
        jobs, commands, faults = chance.randint(4, 12), chance.choice([0, 2, 8]), chance.choice([0, 3, 8])
        outside = [
            spawn(self._outside, "producer", lambda: self.producer.produce(jobs, FAULTS_S * 0.7)),
            spawn(self._outside, "people", lambda: self.people.command(commands, FAULTS_S * 0.8)),
        ]
        spawn(self._outside, "faults", lambda: self.faults.happen(faults, FAULTS_S * 0.8))
        spawn(self._outside, "restarts", self.faults.keep_alive)
        scheduler.run(FAULTS_S)
        self.faults.heal()
        while not all(fiber.ended for fiber in outside):
            scheduler.run(scheduler.now + LOOK_S)

    def _without_faults(self, when: str) -> None:
        """Runs on until all has ended that may; notes what has not within the bound."""
        begun = self.scheduler.now
        self.scheduler.run(begun + LOOK_S)
        while moving := self.judge.moving():
            if self.scheduler.now > begun + BOUND_S:
                for part in moving:
                    self.told.problems.append(f"{part} stands still {when}")
                return
            self.scheduler.run(self.scheduler.now + LOOK_S)
        self._from_outside("judge", self._look)

    def _look(self) -> None:
        self.told.problems += self.judge.untrue(self._databases.of(self._outside))

    def _from_outside(self, name: str, work: object) -> None:
        """Lets work run beside the universe until it has ended."""
        assert callable(work)
        fiber = self.scheduler.spawn(self._outside, name, work)
        while not fiber.ended:
            self.scheduler.run(self.scheduler.now + 0.2)

    def _end(self) -> Told:
        told = self.told
        told.problems += [*self.scheduler.failures, *self.judge.problems(), *self.judge.left_over()]
        told.reached, told.virtual_s = self.faults.reached, self.scheduler.now
        told.fates.update({str(fate): count for fate, count in self.vendor.fates.items()})
        told.statements = self.store.statements
        for row in self.store.rows("select state, count(*) as n from worker_parts group by state"):
            told.states[str(row["state"])] += row["n"]
        self._say(f"ends: {sorted(told.states.items())}, {self.store.statements} statements")
        return told

    def _say(self, line: str) -> None:
        fiber = self.scheduler.current
        where = f" {fiber.home.name}/{fiber.name}" if fiber else ""
        self.told.story.append(f"{self.scheduler.now:9.3f}{where}: {line}")
