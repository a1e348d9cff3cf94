"""The faults of a universe: what happens to which host at which step, as its seed chooses."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum

from bench.explore.broker import Broker
from bench.explore.database import Store
from bench.explore.fibers import Died, Home, Scheduler
from bench.explore.process import Host
from bench.explore.vendor import Vendor
from worker.domain.state import PartState

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
_MARKED = (
    "select p.id, p.claim from worker_parts p join worker_processes w on w.id = p.incarnation"
    f" where p.state = {PartState.SENDING:d} and w.ended_at is null and w.host = ?"
)
_CALLED_AGAIN = "select 1 from worker_parts where id = ? and claim > ?"
AT_A_CALL = ("before_mark", "after_mark", "before_record", "before_record")
"""Where it matters most how long a process sleeps."""
REFUSAL_SLEPT_OVER = 0.2
"""So often a process sleeps before it reads a refusal, where the vendor drops a repeat of what it has refused."""
LONG_S = 8.0, 25.0
"""Virtual seconds of a sleep that no lease outlasts."""
WAKES = {"after_mark": 0.5, "before_record": 0.5, "after_record": 0.8}
"""Step -> how often it wakes a host that sleeps in an earlier call of the same part."""


class Fault(StrEnum):
    """What happens to a process."""

    DIES = "dies"
    SLEEPS = "sleeps past its lease"
    ANSWER_LOST = "loses the answer to a commit"
    DATABASE_AWAY = "finds the database away"
    READ_ONLY = "finds the database read-only"
    CLOCK_STEPS = "has its clock set"
    BROKER_AWAY = "reaches the broker no more"


PROCESS_PAIRS = tuple(
    (step, fault) for fault in Fault for step in STEPS if fault is not Fault.ANSWER_LOST or step == "committed"
)
"""Which fault may strike at which step."""


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
    is_down: bool = False
    """True while no process may be started."""
    without: Collection[str] = ()
    """What is left out."""
    crowded: bool = False
    """True where a limit is short for what is sent: then a process often sleeps between its permit and its call."""
    _dooms: dict[str, list[Doom]] = field(default_factory=lambda: defaultdict(list))
    """Host -> what waits for it."""
    _asleep: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """Host that sleeps -> the parts that it has marked, each with the number of the call."""

    # -- at each step -------------------------------------------------------------------------------------------------

    def step(self, label: str) -> None:
        """A fiber is about to take a step: another one may go on, and its process may meet a fault."""
        fiber = self.scheduler.current
        if fiber is None:
            return
        if fiber.home.dead:
            raise Died
        if label in WAKES and not self.crowded:
            self._wake_others(fiber.home, WAKES[label])
        dooms = self._dooms[fiber.home.name]
        for doom in [doom for doom in dooms if doom.step == label]:
            doom.count -= 1
            if doom.count <= 0:
                dooms.remove(doom)
                self.strike(doom.fault, label, fiber.home)
        if label == "before_record" and fiber.home.is_refused:
            self._read_refusal(fiber.home)
        self.scheduler.point()

    def _read_refusal(self, home: Home) -> None:
        """A process often sleeps before it reads a refusal for which the vendor drops the repeat."""
        home.is_refused = False
        if self.vendor.counts_refused and not self.over and self.chance.random() < REFUSAL_SLEPT_OVER:
            self.strike(Fault.SLEEPS, "before_record", home, LONG_S)

    def _wake_others(self, home: Home, often: float) -> None:
        """Hosts that sleep wake up when another one has called the same part again: the worst moments."""
        for host in self.hosts:
            if host.home is not home and host.home.frozen_until > self.scheduler.now:
                parts = self._asleep.get(host.name)
                is_moment = not parts or any(self.store.rows(_CALLED_AGAIN, *part) for part in parts)
                if is_moment and self.chance.random() < (often if parts else 0.4):
                    self.scheduler.thaw(host.home)

    def strike(self, fault: Fault, label: str, home: Home, sleeps_s: tuple[float, float] | None = None) -> None:
        """Lets a fault happen to the process that runs. `sleeps_s`: from how many to how many seconds it sleeps."""
        self.reached[label, fault] += 1
        self.told(f"{home.name} {fault} at {label}")
        chance, now = self.chance, self.scheduler.now
        match fault:
            case Fault.DIES:
                self.scheduler.kill(home)
            case Fault.SLEEPS:
                longer = [] if self.crowded else [(3.0, 8.0), LONG_S]
                spans_s = [sleeps_s] if sleeps_s else [(0.5, 3.0), (0.5, 3.0), *longer]
                home.frozen_until = now + chance.uniform(*chance.choice(spans_s))
                self._asleep[home.name] = [(row["id"], row["claim"]) for row in self.store.rows(_MARKED, home.name)]
            case Fault.ANSWER_LOST:
                self.store.away_until[home.name] = now + chance.choice([0.0, 0.0, chance.uniform(0.1, 4.0)])
                raise self.store.lost()
            case Fault.DATABASE_AWAY:
                away = [host.name for host in self.hosts] if chance.random() < 0.5 else [home.name]
                self.store.away_until |= dict.fromkeys(away, now + chance.uniform(0.1, 8.0))
            case Fault.READ_ONLY:
                until = now + chance.uniform(0.1, 6.0)
                self.store.read_only_until |= {host.name: until for host in self.hosts}
            case Fault.CLOCK_STEPS:
                home.wall_s += chance.choice([-3600.0, -5.0, 5.0, 3600.0])
            case Fault.BROKER_AWAY:
                self.broker.unreached.add(home.name)

    # -- over time ----------------------------------------------------------------------------------------------------

    def happen(self, count: int, within_s: float) -> None:
        """Prepares so many faults in about so many seconds. In most of the universes vendor and broker begin ill."""
        if self.chance.random() < 0.7 and "illness" not in self.without:
            self.vendor.fall_ill()
            self.broker.fall_ill()
        seed = self.chance.getrandbits(64)
        for number in range(count):
            chance = random.Random(seed + number)  # where one is left out, the others stay as they are
            self.scheduler.sleep(chance.expovariate(count / within_s))
            if self.over:
                return
            if f"fault {number}" not in self.without:
                self._one(chance)

    def _one(self, chance: random.Random) -> None:
        host = chance.choice(self.hosts)
        kind = chance.random()
        if kind < 0.7:
            step = chance.choice(STEPS)
            fault = chance.choice([*Fault, Fault.DIES, Fault.DIES, Fault.SLEEPS, Fault.SLEEPS])
            if fault is Fault.ANSWER_LOST:
                step = "committed"
            elif fault is Fault.SLEEPS and chance.random() < 0.8:
                step = "before_mark" if self.crowded else chance.choice(AT_A_CALL)
            self._dooms[host.name].append(Doom(fault, step, chance.randint(1, 2 if step in FEW else 40)))
        elif kind < 0.8:
            self.vendor.fall_ill()
        elif kind < 0.87:
            self.broker.fall_ill()
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
                if host.home.dead and not self.is_down and (self.over or self.chance.random() < 0.2):
                    self.told(f"{host.name} starts again")
                    host.again()

    def heal(self) -> None:
        """There are no more faults; what was broken is whole again. Who sleeps wakes up in his own time."""
        self.told("no more faults")
        self.over = True
        self._dooms.clear()
        self.store.away_until.clear()
        self.store.read_only_until.clear()
        self.vendor.ill = 0.0
        self.broker.heal()
