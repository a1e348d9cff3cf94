"""Random histories of an installation: processes that die anywhere, a broker that loses doorbells, a vendor that fails,
people who pause, hold, cancel, resolve and lift. The real modules run, one step at a time, with driven clocks.

A process dies before one of its transactions or after its commit, chosen by the seed; nothing of it is done any more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlalchemy import Connection

from rig.open_parts import OpenPart, OpenParts
from tests.support.runtime import (
    PNG,
    ChangingAccounts,
    ScriptedVendor,
    Site,
    Ticks,
    an_account,
    busy,
    lost,
    refused,
    unsent,
)
from tests.support.scripted_transport import ScriptedTransport
from tests.support.scripted_web import ScriptedWeb
from worker import ButtonCard, CardUpdate, File, Image, Text, To, enqueue, recall, replay, update_card
from worker.config.accounts import FixedAccounts
from worker.config.settings import DeliverySettings
from worker.control.cancel import cancel, find_open
from worker.control.lift import lift, skip
from worker.control.pause import hold, pause, release, resume
from worker.control.resolve import find_unknown, resolve
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.delivery.sender.runtime import Dependencies
from worker.delivery.sender.writer import PendingWrite, Writer
from worker.domain.call import CallResult, Request
from worker.domain.errors import NotPublished, WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.settle import SECOND
from worker.outbox.commit.commands import Mark
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

ACTS = 40
"""What happens in one history, besides the time that passes."""
TAGS, PEOPLE = ("a", "b"), ("lisi", "wangwu", "zhaoliu")
QUIET = "05:00-06:30 Asia/Shanghai"
"""Holds when a history begins, and for 17 minutes."""
LONGEST_S = 3 * 86_400.0
"""Driven seconds after the last fault within which everything that may go has gone: a third 45009 in a row lasts until
midnight in Asia/Shanghai.
"""


class Died(BaseException):
    """The process is no more."""


class MortalDatabase(Database):
    """A process's way to the database, which ends with the process: before a transaction, or after its commit."""

    def __init__(self, database: Database):
        self.__dict__.update(database.__dict__)
        self.lives()

    def lives(self) -> None:
        """It does not die soon."""
        self._left: int | None = None
        self._committed = False

    def dies(self, *, after: int, committed: bool) -> None:
        """It dies after so many transactions: before the next one, or when that is `committed`."""
        self._left, self._committed = after, committed

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Dies before it, or reads."""
        self._begin(committed=False)
        with super().reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Dies before it, or writes, or dies when that is committed."""
        self._begin(committed=self._committed)
        with super().writing() as connection:
            yield connection
        if self._left is not None and self._left < 0:
            raise Died

    def _begin(self, *, committed: bool) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0 and not committed:
                raise Died


class InlineWriter(Writer):
    """A writer without a thread: what it is given is committed by whoever gives it."""

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self, timeout_s: float) -> bool:
        """Nothing is left."""
        return True

    def flush(self, timeout_s: float) -> bool:
        """Nothing is left."""
        return True

    def mark(self, marks: Sequence[Mark]) -> None:
        """All in one transaction, as the thread does."""
        self._write([PendingWrite(mark) for mark in marks])

    def _put(self, item: Any) -> PendingWrite:
        pending_write = PendingWrite(item)
        self._write([pending_write])
        return pending_write


@dataclass(eq=False)
class WorkerProcess:
    """One process: its machinery, its way to the database, and its share in the recovery."""

    site: Site
    accounts: ChangingAccounts
    database: MortalDatabase

    def __post_init__(self) -> None:
        runtime = self.site.runtime
        self._recovery = runtime.leadership("recovery", runtime.settings.lease_s)

    def recover(self) -> None:
        """A turn of the recovery, where no other process makes it."""
        self._recovery.turn(self.site.recovery.turn)


@dataclass
class Installation:
    """Processes on one outbox, what the broker holds of theirs, and what people and the vendor did."""

    database: Database
    clock: DrivenClock
    rng: random.Random
    ticks: Ticks = field(default_factory=Ticks)
    vendor: ScriptedVendor = field(default_factory=ScriptedVendor)
    processes: list[WorkerProcess] = field(default_factory=list)
    broker: list[Doorbell] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    pauses: list[JobFilter] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    """The history so far, as a story."""

    def __post_init__(self) -> None:
        self.accounts = [
            an_account(),
            an_account("it", settings={"agentid": 8}),
            replace(an_account("pr", settings={"agentid": 9}), quiet_hours=QUIET),
        ]
        for _ in range(2):
            self.begin_process()

    # -- processes ----------------------------------------------------------------------------------------------------

    def begin_process(self) -> None:
        """A new process, with nothing in memory."""
        rng, made = random.Random(self.rng.random()), count()
        first = f"{len(self.told):08x}{rng.getrandbits(64):016x}"
        database, accounts = MortalDatabase(self.database), ChangingAccounts(self.accounts)
        transport = ScriptedTransport(self.vendor)
        dependencies = Dependencies(
            database,
            accounts,
            transport,
            DeliverySettings(threads=4),
            web=ScriptedWeb(),
            monotonic=self.ticks,
            life_clock=self.ticks,
            rng=rng,
            new_id=lambda: f"{first}{next(made):08x}",
            pause=lambda seconds: None,
            writer=InlineWriter,
        )
        site = Site(dependencies, accounts, self.clock, self.ticks, self.vendor, transport, [], [], [])
        site.publish = self.broker.extend
        self.processes.append(WorkerProcess(site, accounts, database))

    def live(self, work: Callable[[WorkerProcess], object], process: WorkerProcess | None = None) -> None:
        """One process works; where it dies at that, another begins."""
        process = process or self.rng.choice(self.processes)
        try:
            work(process)
        except Died:
            self.processes.remove(process)
            self.begin_process()

    def turn(self, process: WorkerProcess) -> None:
        """What the threads of a process do once, in any order."""
        site = process.site
        site.runtime.lease.beat(site.runtime.lane_states.summary())
        site.relay.lead()
        works: list[Callable[[], object]] = [site.relay.full_scan, site.relay.turn, process.recover]
        self.rng.shuffle(works)
        for work in works:
            with suppress(NotPublished):
                work()
        for _ in range(self.rng.randint(0, 4)):
            self.answer(process)

    def answer(self, process: WorkerProcess) -> None:
        """The next doorbell of the broker."""
        if self.broker:
            bell = self.broker.pop(0)
            process.site.bell.answer(bell.lane, bell.ids, probe=bell.probe, calls=bell.calls)

    def pass_time(self, seconds: float) -> None:
        """For all alike."""
        self.clock.advance(seconds)
        self.ticks.advance(seconds)

    # -- what happens -------------------------------------------------------------------------------------------------

    def act(self) -> None:
        """One thing more happens, and a little time passes."""
        [what] = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        self.told.append(what)
        getattr(self, f"_{what}")()
        if self.rng.random() < 0.5:
            self.pass_time(self.rng.choice([0.01, 0.3, 1.0, 1.0, 3.0, 12.0]))

    def _enqueue(self) -> None:
        rng = self.rng
        due_at = self._in_seconds(rng.choice([0, 0, 0, 2, 40]))
        options: dict[str, Any] = {"due_at": due_at, "priority": rng.choice(["urgent", "normal", "normal", "bulk"])}
        if rng.random() < 0.4:
            options |= {"order_key": rng.choice("kl"), "on_gap": rng.choice(["hold", "skip"])}
        if rng.random() < 0.3:
            options["tenant"] = rng.choice(["red", "blue"])
        if rng.random() < 0.4:
            options["tags"] = [rng.choice(TAGS)]
        if rng.random() < 0.2:
            options["on_unknown"] = rng.choice(["hold", "resend"])
        if rng.random() < 0.1:
            options["expires_at"] = self._in_seconds(120)
        account, people = rng.choice(["hr", "hr", "it", "pr"]), To(users=rng.sample(PEOPLE, rng.randint(1, 2)))
        self._ask(lambda connection, **known: enqueue(connection, account, self._message(), people, **options, **known))

    def _message(self) -> Text | ButtonCard | Image:
        kind = self.rng.random()
        if kind < 0.15:
            return ButtonCard(main_title={"title": "leave"}, button_list=[{"text": "ok", "key": "ok"}])
        if kind < 0.25:
            return Image(file=File(PNG, "a.png"))
        return Text(content=f"text {len(self.jobs)}", duplicate_check=self.rng.random() < 0.7)

    def _follow(self) -> None:
        """Asks for something more of a job: a recall, a card's update, or the job once more."""
        if self.jobs:
            job, update = self.rng.choice(self.jobs), CardUpdate(replace_name="done")
            works: list[Callable[..., Any]] = [
                lambda connection, **known: recall(connection, job, **known),
                lambda connection, **known: update_card(connection, job, update, **known),
                lambda connection, **known: replay(connection, job, accepted=True, unknown=True, **known),
            ]
            with suppress(WorkerError):
                self._ask(self.rng.choice(works))

    def _ask(self, work: Callable[..., Any]) -> None:
        """In a transaction of a producer's own."""
        with self.database.writing() as connection:
            self.jobs.append(work(connection, accounts=FixedAccounts(self.accounts)).id)

    def _in_seconds(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(self.clock.micros / SECOND + seconds, UTC)

    def _work(self) -> None:
        self.live(self.turn)

    def _answer(self) -> None:
        self.live(self.answer)

    def _die(self) -> None:
        """A process dies in one of its next transactions: most often with calls to make."""
        if self.rng.random() < 0.7:
            for _ in range(3):
                self._enqueue()
            for process in list(self.processes):
                self.live(self._offer, process)
            work = self.answer
        else:
            work = self.turn
        process = self.rng.choice(self.processes)
        process.database.dies(after=self.rng.randint(0, 20), committed=self.rng.random() < 0.5)
        self.live(work, process)

    def _offer(self, process: WorkerProcess) -> None:
        """What is due comes to the broker, where this process leads."""
        process.site.runtime.lease.beat()
        process.site.relay.full_scan()
        with suppress(NotPublished):
            process.site.relay.turn()

    def _vendor_fails(self) -> None:
        self.vendor.says(*(self.rng.choice(ANSWERS) for _ in range(self.rng.randint(1, 6))))

    def _tokens_fail(self) -> None:
        self.vendor.says_for_tokens(self.rng.choice([busy(), lost(), unsent(), refused(40001, "invalid secret")]))
        for process in list(self.processes):
            self.live(lambda process: process.site.forget_tokens(), process)

    def _broker_loses(self) -> None:
        self.broker[:] = [bell for bell in self.broker if self.rng.random() < 0.5]

    def _broker_doubles(self) -> None:
        self.broker += self.rng.sample(self.broker, len(self.broker) // 2)
        self.rng.shuffle(self.broker)

    def _broker_goes(self) -> None:
        """One process does not reach it any more."""

        def refuse(bells: Sequence[Doorbell]) -> None:
            raise NotPublished("away", bells)

        self.rng.choice(self.processes).site.publish = refuse

    def _broker_comes(self) -> None:
        for process in self.processes:
            process.site.publish = self.broker.extend

    def _pause(self) -> None:
        wanted = self.rng.choice([JobFilter(tag=self.rng.choice(TAGS)), JobFilter(account="it")])
        pause(wanted, person="zhang", database=self.database)
        self.pauses.append(wanted)

    def _resume(self) -> None:
        if self.pauses:
            wanted = self.pauses.pop(self.rng.randrange(len(self.pauses)))
            self.pauses = [other for other in self.pauses if other != wanted]
            resume(wanted, person="zhang", database=self.database)

    def _hold(self) -> None:
        if self.jobs:
            job = self.rng.choice(self.jobs)
            self.held |= set(hold([job], person="zhang", database=self.database).jobs)

    def _release(self) -> None:
        if self.held:
            release([self.held.pop()], person="zhang", database=self.database)

    def _cancel(self) -> None:
        if self.jobs:
            found = find_open(JobFilter(ids=[self.rng.choice(self.jobs)]), database=self.database)
            cancel(found, person="zhang", database=self.database)

    def _decide(self) -> None:
        found = find_unknown(JobFilter(account=self.rng.choice(["hr", "it", "pr"])), database=self.database)
        resolve(found, sent=self.rng.random() < 0.5, person="zhang", why="he asked them", database=self.database)

    def _lift(self) -> None:
        with suppress(WorkerError):
            lift(self.rng.choice(["hr", "it", "pr"]), person="zhang", database=self.database)

    def _skip(self) -> None:
        with suppress(WorkerError):
            skip(self.rng.choice(self.jobs or [""]), person="zhang", database=self.database)

    def _account_goes(self) -> None:
        self.rng.choice(self.processes).accounts.replace(*(a for a in self.accounts if a.name != "it"))

    def _account_comes(self) -> None:
        for process in self.processes:
            process.accounts.replace(*self.accounts)

    # -- the end ------------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """The faults are over; what people said stands."""
        self.told.append("-- no more faults")
        self.vendor.heals()
        self._account_comes()
        self._broker_comes()
        for process in self.processes:
            process.database.lives()

    def let_go(self) -> None:
        """People take back what they said, and decide what is in doubt."""
        self.told.append("-- people let everything go")
        while self.pauses:
            self._resume()
        while self.held:
            self._release()
        for wanted in (JobFilter(account=account) for account in ("hr", "it", "pr")):
            resolve(
                find_unknown(wanted, database=self.database),
                sent=False,
                person="zhang",
                why="he asked",
                database=self.database,
            )
        for job in self.jobs:
            with suppress(WorkerError):
                skip(job, person="zhang", database=self.database)

    def drive(self, still: Callable[[], Sequence[OpenPart]], seconds: int = 0) -> None:
        """Lets time pass until nothing is left of what `still` names; AssertionError where something stays.

        At least so many seconds, one by one: who has died is known when its lease has not moved for ten.
        """
        ends_at, step = self.ticks.now + LONGEST_S, 1.0
        while seconds > 0 or still():
            before = self.vendor.taken, len(self.open_parts())
            self.pass_time(step)
            seconds -= 1
            for process in self.processes:
                self.turn(process)
            while self.broker:
                self.answer(self.rng.choice(self.processes))
            is_moving = seconds > 0 or before != (self.vendor.taken, len(self.open_parts()))
            step = 1.0 if is_moving else min(300.0, step * 1.5)
            assert self.ticks.now < ends_at, "\n".join([*self.told, *map(str, still())])

    # -- looking ------------------------------------------------------------------------------------------------------

    def moving(self) -> list[OpenPart]:
        """The open parts that neither a pause, a hold, a doubt nor another part keeps."""
        return self._read().moving(self.pauses, self.held)

    def undecided(self) -> list[OpenPart]:
        """The open parts that do not wait for a person's decision."""
        return [part for part in self.open_parts() if not part.is_in_doubt]

    def open_parts(self) -> Sequence[OpenPart]:
        """Parts that have not ended, with what their jobs say."""
        return self._read().parts

    def _read(self) -> OpenParts:
        with self.database.reading() as connection:
            return OpenParts.read(lambda query: connection.exec_driver_sql(query).mappings().all())


ANSWERS: tuple[CallResult | Callable[[Request], CallResult], ...] = (
    busy(),
    lost(),
    unsent(),
    unsent("refused"),
    refused(45009, "api freq out of limit"),
    refused(45033, "api concurrent out of limit"),
    refused(45035, "api conflict"),
    refused(42001, "access_token expired"),
    refused(60020, "not allow to access from your ip"),
    refused(40001, "invalid credential"),
    refused(0, "ok", msgid="m", invaliduser="lisi"),
    refused(81013, "user & party & tag all invalid"),
)
WEIGHTS = {
    "enqueue": 12,
    "follow": 3,
    "work": 14,
    "answer": 14,
    "die": 3,
    "vendor_fails": 5,
    "tokens_fail": 1,
    "broker_loses": 2,
    "broker_doubles": 2,
    "broker_goes": 1,
    "broker_comes": 1,
    "pause": 1,
    "resume": 1,
    "hold": 2,
    "release": 1,
    "cancel": 1,
    "decide": 1,
    "lift": 1,
    "skip": 1,
    "account_goes": 1,
    "account_comes": 1,
}
