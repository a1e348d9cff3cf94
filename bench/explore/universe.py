"""One seed, one universe: hosts, accounts, jobs, people and faults; then everything heals, and it runs on."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from bench.explore.backup import RESTORED, Backup
from bench.explore.broker import Broker
from bench.explore.campaigns import CUSTOMERS
from bench.explore.database import Databases, Store
from bench.explore.doubts import Doubts, count_doubts
from bench.explore.evidence import Evidence
from bench.explore.faults import Faults
from bench.explore.fibers import Home, Scheduler
from bench.explore.hooks import CURRENT, Hooks
from bench.explore.judge import problems
from bench.explore.liveness import Liveness
from bench.explore.people import People
from bench.explore.process import Host, settings_of
from bench.explore.producers import PEOPLE, QUIET_HOURS, Producer, accounts
from bench.explore.slices import set_slices
from bench.explore.threads import WORLD
from bench.explore.vendor import Vendor
from bench.explore.youdu import KNOWN_MODES
from worker.channels.wecom_app.targets import TARGETS
from worker.channels.youdu.account import InvalidUsers
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.domain.pacing.quiet import NONE
from worker.service.account_updates import EVERY_S
from worker.service.queues import BULK, FILES, HOOKS, NAMES, NORMAL, URGENT

MOST_USERS = TARGETS[0].maximum
FAULTS_S = 10.0
"""Virtual seconds in which faults happen."""
QUIET, STRANGE = ("account", "has quiet hours"), ("vendor", "does not know everybody")
"""What some universes have, as pairs of those that are counted."""
LOOK_S = 0.5
"""Virtual seconds between two looks at what has not ended."""
BOUND_S = 900.0
"""Virtual seconds after the last fault within which everything that may go has gone.

More than `Policy.busy_last_s`, the longest wait: of a message whose third -1 is the last answer of its lane.
"""
MOST_STATEMENTS = 60_000
"""A universe that takes more does something again and again; most take about a thousand."""


@dataclass
class Told:
    """What became of a universe."""

    seed: int
    problems: list[str] = field(default_factory=list)
    """A sentence for each broken promise."""
    story: list[str] = field(default_factory=list)
    reached: Counter[tuple[str, str]] = field(default_factory=Counter)
    states: Counter[int] = field(default_factory=Counter)
    doubts: Doubts = field(default_factory=Doubts)
    """What was in doubt when all was calm and no person had decided yet."""
    statements: int = 0
    virtual_s: float = 0.0
    things: tuple[str, ...] = ()
    """What could have been left out."""

    @property
    def digest(self) -> str:
        """The same for each run of the same seed."""
        return hashlib.sha256("\n".join(self.story).encode()).hexdigest()[:16]


class Universe:
    """The parts of one universe, and its course."""

    def __init__(
        self, seed: int, store: Store, databases: Databases, without: Collection[str] = (), threads_turn: int = 0
    ):
        """`without`: things that are left out; `threads_turn`: another number gives the threads another order."""
        rng = random.Random(seed)
        self.chance = chance = random.Random(rng.getrandbits(64))
        self.told, self._without, self._unnamed = Told(seed), without, list[str]()
        self.scheduler = Scheduler(
            random.Random(rng.getrandbits(64) + threads_turn),
            eagerness=chance.choice([0.02, 0.1, 0.4]),
            statement_s=chance.choice([0.0004, 0.0004, 0.002, 0.008]),
        )
        WORLD.begin(self.scheduler, random.Random(rng.getrandbits(64)))
        self.store, self._databases = store, databases
        self.vendor = Vendor(self.scheduler, random.Random(rng.getrandbits(64)), self.say)
        self.vendor.counts_refused, self.vendor.counts_unflagged = chance.random() < 0.5, chance.random() < 0.5
        self.vendor.token_s = chance.choice([4, 7_200])
        self.broker = Broker(self.scheduler, random.Random(rng.getrandbits(64)))
        self._outside = Home("outside")
        self.hosts: list[Host] = []
        self.faults = Faults(self.scheduler, chance, store, self.broker, self.vendor, self.hosts, self.say)
        store.begin(self.faults.step)
        there = chance.random() < 0.25
        CURRENT.hooks = self.hooks = Hooks(self.scheduler, random.Random(rng.getrandbits(64)), there=there)
        settings = settings_of(chance)
        self.faults.crowded = chance.random() < 0.04
        people = PEOPLE[:1] if self.faults.crowded else chance.choice([PEOPLE, PEOPLE, PEOPLE[:1]])
        limited = 1.0 if self.faults.crowded else 0.4
        more = random.Random(f"{seed}, more")
        quiet_hours, invalid_users = self._begin_odd(more, people), self._begin_youdu(more)
        call_deadline_s = settings.delivery.call_deadline_s
        of_all = accounts(chance, self.scheduler, call_deadline_s, people, limited, quiet_hours, invalid_users)
        self._add_hosts(of_all, settings, without)
        outside = databases.of(self._outside)
        ordered, cards = chance.choice([0.0, 0.4, 0.8]), chance.choice([0.0, 0.2, 0.6])
        own_chance = random.Random(rng.getrandbits(64))
        self.producer = Producer(outside, self.scheduler, own_chance, of_all, people, ordered, cards)
        own_chance = random.Random(rng.getrandbits(64))
        self.people = People(outside, self.scheduler, own_chance, self.producer, self.vendor, self.say)
        self.people.breaks = own_chance.random() < 0.15
        own_chance = random.Random(rng.getrandbits(64))
        self.producer.files = own_chance.choice([0.0, 0.0, 0.4])
        self._add_odd(more)
        self.restores = self._has("restore", store.can_restore and own_chance.random() < 0.05)
        self.backup = Backup(
            store, self.scheduler, own_chance, self.hosts, self.producer, self.people, self.faults, self.say
        )
        self.faults.without = self.producer.without = self.people.without = without
        self.liveness = Liveness(store, self.producer, self.people, self.hooks)
        self.known = Evidence(store, self.vendor, self.producer, self.people, self.hooks, self.backup, settings)

    def _begin_odd(self, more: random.Random, people: Sequence[str]) -> str:
        """Chooses slices and whom the vendor does not know, and returns the quiet hours of an account."""
        is_small = random.Random(f"{self.told.seed}, slices").random() < 0.25
        set_slices(small=self._has("small slices", is_small))
        quiet_hours, is_quiet, has_strangers = more.choice(QUIET_HOURS), more.random() < 0.08, more.random() < 0.15
        self.vendor.strangers = {people[-1]} if self._has("strangers", has_strangers) else set()
        return quiet_hours if self._has("quiet hours", is_quiet) else NONE

    def _begin_youdu(self, more: random.Random) -> InvalidUsers:
        """Chooses what the server of Youdu does with whom it does not know, and returns what its account says of it."""
        self.vendor.invalid_users = more.choice(KNOWN_MODES)
        return more.choice([self.vendor.invalid_users] * 3 + [InvalidUsers.UNKNOWN])

    def _add_odd(self, more: random.Random) -> None:
        """Chooses who is erased, and how many jobs have a tenant or are group sends."""
        producer, vendor = self.producer, self.vendor
        self.people.leaver = more.choice(producer.people) if self._has("leaver", more.random() < 0.15) else ""
        producer.tenants = more.choice([0.0, 0.0, 0.0, 0.6])
        producer.campaigns = more.choice([0.0, 0.0, 0.6])
        producer.split = self._has("split", more.random() < 0.25)
        object.__setattr__(TARGETS[0], "maximum", 1 if producer.split else MOST_USERS)
        producer.rooms = more.choice([0.0, 0.0, 0.5])
        producer.desks = more.choice([0.0, 0.0, 0.5])
        if producer.campaigns and vendor.strangers:
            vendor.strangers = {*vendor.strangers, CUSTOMERS[-1]}

    def _has(self, thing: str, holds: bool) -> bool:
        """True where this universe has something that most have not, and it is not left out."""
        self.told.things += (thing,) if holds else ()
        return holds and thing not in self._without

    def _add_hosts(self, of_all: AccountSource, settings: Settings, without: Collection[str]) -> None:
        queues = self._queues(random.Random(f"{self.told.seed}, queues"))
        for number in range(self.chance.choice([2, 2, 3])):
            home = Home(f"host{number}", drift=self.chance.uniform(-1e-4, 1e-4), offset_s=self.chance.uniform(0, 5))
            threads = self.chance.choice([1, 2, 3])
            if f"host {number}" in without:
                continue
            self._databases.of(home)  # its engine is made before the universe begins
            self.hosts.append(
                Host(
                    home,
                    self.scheduler,
                    broker=self.broker,
                    vendor=self.vendor,
                    databases=self._databases,
                    accounts=of_all,
                    settings=settings,
                    step=self.faults.step,
                    threads=threads,
                    queues=queues.get(number, NAMES),
                )
            )

    def _queues(self, chance: random.Random) -> dict[int, Sequence[str]]:
        """Returns the hosts that take from some queues only: the second, and the first perhaps from all others."""
        own = chance.choice([(FILES,), (BULK,), (URGENT,), (FILES, BULK), (NORMAL, HOOKS), (URGENT, NORMAL, HOOKS)])
        others = tuple(name for name in NAMES if name not in own) if chance.random() < 0.5 else NAMES
        is_whole = not {"host 0", "host 1"}.intersection(self._without)
        return {0: others, 1: own} if self._has("queues", chance.random() < 0.2) and is_whole else {}

    def run(self) -> Told:
        """Runs it to its end, and judges it."""
        self.store.statements = 0  # without those of engines that were made just now
        try:
            self._with_faults()
            self._without_faults("after the last fault")
            self._unnamed = [*count_doubts(self.store, self.told.doubts)]
            before, open_parts = None, self.liveness.open_parts()
            # Again for what came into doubt meanwhile: in an order it may be one part after the other.
            while not self.told.problems and open_parts.parts and open_parts != before:
                self._from_outside("people", self.people.let_go)
                self._without_faults("after people let everything go")
                before, open_parts = open_parts, self.liveness.open_parts()
            if not self.told.problems:
                self.told.problems += self.liveness.undecided()
            if self.people.leaver and not self.told.problems:
                self._from_outside("people", self.people.erase_all)
        finally:
            self.scheduler.close()
        return self._end()

    def _with_faults(self) -> None:
        scheduler, chance = self.scheduler, self.chance
        for host in self.hosts:
            host.start()
        spawn = scheduler.spawn
        jobs, commands, faults = chance.randint(4, 12), chance.choice([0, 3, 10]), chance.choice([0, 4, 12])
        if self.faults.crowded:
            jobs, faults = 11, 12
        counted = [("host", len(self.hosts)), ("job", jobs), ("command", commands), ("fault", faults)]
        self.told.things += (*(f"{what} {n}" for what, count in counted for n in range(count)), "illness")
        outside = [
            spawn(self._outside, "producer", lambda: self.producer.produce(jobs, FAULTS_S * 0.7)),
            spawn(self._outside, "people", lambda: self.people.command(commands, FAULTS_S * 0.8)),
        ]
        if self.restores:
            outside.append(spawn(self._outside, "backup", lambda: self.backup.happen(FAULTS_S * 0.8)))
        spawn(self._outside, "faults", lambda: self.faults.happen(faults, FAULTS_S * 0.8))
        spawn(self._outside, "restarts", self.faults.keep_alive)
        scheduler.run(FAULTS_S)
        self.faults.heal()
        self.hooks.failing = 0.0
        while not all(fiber.ended for fiber in outside):
            scheduler.run(scheduler.now + LOOK_S)
        if self.producer.accounts.broken:
            scheduler.run(scheduler.now + chance.uniform(0.0, 8.0))
            self._from_outside("people", self.people.mend)
            scheduler.run(scheduler.now + EVERY_S + 1.0)  # a recall waits for nothing else, not even for a pause

    def _without_faults(self, when: str) -> None:
        """Runs on until all has ended that may; notes what has not within the bound."""
        begun, has_looked = self.scheduler.now, False
        self.scheduler.run(begun + LOOK_S)
        while (moving := self.liveness.moving()) or not has_looked:
            if not moving:  # time goes on while the judge looks
                self._from_outside("judge", self._look)
                has_looked = True
            elif self.scheduler.now > begun + BOUND_S or self._is_endless():
                self.told.problems += [f"{what} stands still {when}" for what in moving]
                return
            else:
                self.scheduler.run(self.scheduler.now + LOOK_S)

    def _look(self) -> None:
        self.told.problems += self.liveness.untrue(self._databases.of(self._outside))

    def _from_outside(self, name: str, work: object) -> None:
        """Lets work run beside the universe until it has ended."""
        assert callable(work)
        fiber = self.scheduler.spawn(self._outside, name, work)
        while not fiber.ended:
            if self._is_endless():
                self.told.problems.append(f"{name} did not end within {MOST_STATEMENTS} statements")
                return
            self.scheduler.run(self.scheduler.now + 0.2)

    def _is_endless(self) -> bool:
        return self.store.statements > MOST_STATEMENTS

    def _end(self) -> Told:
        told = self.told
        told.problems += [*self._unnamed, *self.scheduler.failures, *problems(self.known), *self.liveness.left_over()]
        told.virtual_s = self.scheduler.now
        for reached in (self.faults.reached, self.vendor.fates, self.broker.fates):
            told.reached.update({(step, str(fault)): count for (step, fault), count in reached.items()})
        told.reached[RESTORED] += self.backup.restored_at is not None
        told.reached[QUIET] += "quiet hours" in told.things
        told.reached[STRANGE] += bool(self.vendor.strangers)
        told.statements = self.store.statements
        for row in self.store.rows("select state, count(*) as n from worker_parts group by state"):
            told.states[row["state"]] += row["n"]
        self.say(f"ends: {sorted(told.states.items())}, {self.store.statements} statements")
        return told

    def say(self, line: str) -> None:
        """Adds a line to the story."""
        fiber = self.scheduler.current
        where = f" {fiber.home.name}/{fiber.name}" if fiber else ""
        self.told.story.append(f"{self.scheduler.now:9.3f}{where}: {line}")
