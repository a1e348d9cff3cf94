"""What people command meanwhile: pause, hold, cancel, decide, lift, skip, recall, press cards, at any time."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

from bench.explore.database import now_us
from bench.explore.fibers import Scheduler
from bench.explore.producers import AGENTS, CHANGING, TAGS, Job, Producer
from bench.explore.threads import Lock
from bench.explore.vendor import Vendor
from worker.config.settings import Settings
from worker.control.cancel import cancel, find_open
from worker.control.lift import lift, skip
from worker.control.pause import hold, pause, release, resume
from worker.control.recall import find_sent, recall_jobs
from worker.control.resolve import find_unknown, resolve
from worker.domain.callbacks.inbound import CardPress, Inbound
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.hooks.callbacks import CallbackStore
from worker.outbox.engine.database import Database

ACCOUNTS = ("hr", "it")
PERSON = "zhang"
SETTINGS = Settings()


@dataclass(slots=True)
class Span:
    """A time in which something must not be sent, in microseconds of the database's clock."""

    of: JobFilter | str
    """A filter that is paused, or a job that is held."""
    began_at: int
    ended_at: int | None = None

    def covers(self, job: Job, at: int) -> bool:
        """True where a mark of a job at an instant would be wrong."""
        if isinstance(self.of, str):
            concerns = self.of == job.id
        else:
            concerns = self.of.account == job.account or self.of.tag in job.tags
        return concerns and self.began_at < at and (self.ended_at is None or at < self.ended_at)


@dataclass
class People:
    """Gives commands, and remembers which of them were carried out and when."""

    database: Database
    scheduler: Scheduler
    chance: random.Random
    producer: Producer
    vendor: Vendor
    told: Callable[[str], None]
    pauses: list[Span] = field(default_factory=list)
    holds: list[Span] = field(default_factory=list)
    cancelled: dict[str, int] = field(default_factory=dict)
    """Job -> when it was cancelled, at the latest."""
    decided: dict[str, int] = field(default_factory=dict)
    """Job -> when a person first decided about its part in doubt, at the earliest."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Job -> when its order was first let go on without it, at the earliest."""
    disabled: list[Span] = field(default_factory=list)
    breaks: bool = False
    """Whether an account is disabled and broken, too."""
    without: Collection[str] = ()
    """What is left out."""
    waits: Lock = field(default_factory=Lock)
    """Held while a command is given, and by whoever has people wait."""

    def command(self, count: int, within_s: float) -> None:
        """Gives so many commands in about so many seconds."""
        commands = [self._pause, self._resume, self._hold, self._release, self._cancel, self._decide, self._lift]
        commands += [self._break] * 2 if self.breaks else []
        commands += [self._recall, *([self._press] * 2 if self.producer.cards else [])]
        seed = self.chance.getrandbits(64)
        for number in range(count):
            self.chance = random.Random(seed + number)  # where one is left out, the others stay as they are
            self.scheduler.sleep(self.chance.expovariate(count / within_s))
            if f"command {number}" not in self.without:
                with self.waits, suppress(WorkerError):
                    self.chance.choice([*commands, self._skip, self._hold, self._cancel])()

    def forget(self, since: int) -> None:
        """Forgets what was commanded after an instant, to which the database was put back."""
        for spans in (self.pauses, self.holds):
            spans[:] = [span for span in spans if span.began_at <= since]
            for span in spans:
                span.ended_at = span.ended_at if span.ended_at is None or span.ended_at <= since else None
        for commands in (self.cancelled, self.decided, self.skipped):
            for job in [job for job, at in commands.items() if at > since]:
                del commands[job]

    @property
    def standing(self) -> list[JobFilter]:
        """What is paused now."""
        return [span.of for span in self.pauses if span.ended_at is None and isinstance(span.of, JobFilter)]

    @property
    def held(self) -> list[str]:
        """The jobs that are held now."""
        return [span.of for span in self.holds if span.ended_at is None and isinstance(span.of, str)]

    def let_go(self) -> None:
        """Takes everything back, and decides what is in doubt."""
        self.told("people let everything go")
        while self.standing:
            self._resume()
        while self.held:
            self._release()
        for account in ACCOUNTS:
            self._decide(account, sent=False)
        for job in self.producer.jobs:
            with suppress(WorkerError):
                self._skip(job)

    def _job(self) -> Job | None:
        """Any job, or one of the newest, or one in flight: one that gets no answer, or the one that was called last."""
        jobs, vendor = self.producer.jobs, self.vendor
        if vendor.calls and self.chance.random() < 0.4:
            unanswered = [content for content, until in vendor.unanswered.items() if until > self.scheduler.now]
            content = (unanswered or [vendor.calls[-1].content])[-1]
            return next((job for job in jobs if job.content == content), None)
        return self.chance.choice(jobs[self.chance.choice([0, -2]) :]) if jobs else None

    def _break(self) -> None:
        """Disables an account or gives it a wrong secret, or mends it."""
        if self.producer.accounts.broken:
            self.mend()
        elif self.chance.random() < 0.6:
            self.producer.accounts.disable()
            self.disabled.append(Span(JobFilter(account=CHANGING), now_us()))
            self.told(f"disabled {CHANGING}")
        else:
            self.producer.accounts.spoil()
            self.told(f"gave {CHANGING} a wrong secret")

    def mend(self) -> None:
        """Mends the account."""
        for span in self.disabled:
            span.ended_at = span.ended_at or now_us()
        self.producer.accounts.mend()
        self.told(f"mended {CHANGING}")

    def _pause(self) -> None:
        paused = self.chance.choice([JobFilter(tag=self.chance.choice(TAGS)), JobFilter(account="it")])
        if paused not in self.standing:
            pause(paused, person=PERSON, database=self.database)
            self.pauses.append(Span(paused, now_us()))
            self.told(f"paused {paused.account or paused.tag}")

    def _resume(self) -> None:
        if standing := [span for span in self.pauses if span.ended_at is None]:
            span = self.chance.choice(standing)
            assert isinstance(span.of, JobFilter)
            span.ended_at = now_us()
            resume(span.of, person=PERSON, database=self.database)
            self.told(f"resumed {span.of.account or span.of.tag}")

    def _hold(self) -> None:
        if (job := self._job()) and job.id not in self.held:
            held = hold([job.id], person=PERSON, database=self.database).jobs
            if job.id in held:
                self.holds.append(Span(job.id, now_us()))
                self.told(f"held {job.content}")

    def _release(self) -> None:
        if standing := [span for span in self.holds if span.ended_at is None]:
            span = self.chance.choice(standing)
            assert isinstance(span.of, str)
            span.ended_at = now_us()
            release([span.of], person=PERSON, database=self.database)
            self.told("released a held job")

    def _cancel(self) -> None:
        if job := self._job():
            found = find_open(JobFilter(ids=[job.id]), database=self.database)
            if found.ids:
                cancel(found, person=PERSON, database=self.database)
                self.cancelled.setdefault(job.id, now_us())
                self.told(f"cancelled {job.content}")

    def _decide(self, account: str = "", *, sent: bool | None = None) -> None:
        found = find_unknown(JobFilter(account=account or self.chance.choice(ACCOUNTS)), database=self.database)
        if found.ids:
            self.decided = {part.partition("-")[0]: now_us() for part in found.ids} | self.decided
            says = self.chance.random() < 0.5 if sent is None else sent
            resolve(found, sent=says, person=PERSON, why="he asked", database=self.database)
            self.told(f"decided about {len(found.ids)} in doubt: {'sent' if says else 'not sent'}")

    def _recall(self) -> None:
        if (job := self._job()) and (found := find_sent(JobFilter(ids=[job.id]), database=self.database)).ids:
            done = recall_jobs(found, person=PERSON, database=self.database, accounts=self.producer.accounts)
            self.producer.recalls.update(dict.fromkeys(done.jobs, job))
            self.told(f"recalled {job.content}")

    def _press(self) -> None:
        """Presses a card; the vendor calls the application back, where the worker stores it."""
        if self.vendor.cards:
            task_id, card = self.chance.choice(list(self.vendor.cards.items()))
            code = self.vendor.press(task_id)
            press = CardPress(task_id, "yes", "button_interaction", code, {})
            inbound = Inbound("template_card_event", "lisi", now_us() // 1_000_000, (code,), {}, card=press)
            CallbackStore(self.database, SETTINGS, self.producer.accounts).store(AGENTS[card.account], inbound)
            self.told(f"pressed {card.content}, which brings {code}")

    def _lift(self) -> None:
        account = self.chance.choice(ACCOUNTS)
        lift(account, person=PERSON, database=self.database)
        self.told(f"lifted {account}")

    def _skip(self, job: Job | None = None) -> None:
        if job := job or self._job():
            began_at = now_us()
            skip(job.id, person=PERSON, database=self.database)
            self.skipped.setdefault(job.id, began_at)
            self.told(f"skipped {job.content}")
