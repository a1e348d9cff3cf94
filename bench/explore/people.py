"""What people command meanwhile: pause, resume, hold, release, cancel, decide, lift, skip, at any time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bench.explore.database import now_us
from bench.explore.fibers import Scheduler
from bench.explore.producers import TAGS, Job
from worker.control.cancel import cancel, find_open
from worker.control.lift import lift, skip
from worker.control.pause import hold, pause, release, resume_paused
from worker.control.resolve import find_unknown, resolve
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.outbox.engine.database import Database

ACCOUNTS = ("hr", "it")
PERSON = "zhang"


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
    jobs: Sequence[Job]
    told: Callable[[str], None]
    pauses: list[Span] = field(default_factory=list)
    holds: list[Span] = field(default_factory=list)
    cancelled: dict[str, int] = field(default_factory=dict)
    """Job -> when it was cancelled, at the latest."""
    decided: set[str] = field(default_factory=set)
    """Jobs whose part in doubt a person decided about."""
    skipped: set[str] = field(default_factory=set)

    def command(self, count: int, within_s: float) -> None:
        """Gives so many commands in about so many seconds."""
        commands = [self._pause, self._resume, self._hold, self._release, self._cancel, self._decide, self._lift]
        for _ in range(count):
            self.scheduler.sleep(self.chance.expovariate(count / within_s))
            with suppress(WorkerError):
                self.chance.choice([*commands, self._skip, self._hold, self._cancel])()

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
        for job in self.jobs:
            with suppress(WorkerError):
                skip(job.id, person=PERSON, database=self.database)
                self.skipped.add(job.id)

    def _job(self) -> Job | None:
        return self.chance.choice(self.jobs) if self.jobs else None

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
            resume_paused(span.of, person=PERSON, database=self.database)
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
            self.decided |= {part.partition("-")[0] for part in found.ids}
            says = self.chance.random() < 0.5 if sent is None else sent
            resolve(found, sent=says, person=PERSON, why="he asked", database=self.database)
            self.told(f"decided about {len(found.ids)} in doubt: {'sent' if says else 'not sent'}")

    def _lift(self) -> None:
        account = self.chance.choice(ACCOUNTS)
        lift(account, person=PERSON, database=self.database)
        self.told(f"lifted {account}")

    def _skip(self) -> None:
        if job := self._job():
            skip(job.id, person=PERSON, database=self.database)
            self.skipped.add(job.id)
            self.told(f"skipped {job.content}")
