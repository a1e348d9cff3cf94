"""What people command meanwhile: pause, hold, cancel, decide, recall, replay, reschedule, correct, erase and so on."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bench.explore.campaigns import CAMPAIGNS, OTHER_CUSTOMER
from bench.explore.database import instant_at, now_us
from bench.explore.fibers import FOREVER, Scheduler
from bench.explore.producers import AGENTS, CHANGING, ROOMS, TAGS, Job, Producer
from bench.explore.stored import recipients_of
from bench.explore.threads import Lock
from bench.explore.vendor import Vendor
from bench.explore.youdu import DESK
from worker.config.settings import Settings
from worker.control.cancel import cancel, find_open
from worker.control.correct import correct_jobs, find_correctable
from worker.control.erase import erase, find_person
from worker.control.lift import lift, skip
from worker.control.pause import pause, pause_jobs, resume, resume_jobs
from worker.control.recall import find_sent, recall_jobs
from worker.control.replay import find_replayable, replay_jobs
from worker.control.reschedule import find_waiting, reschedule
from worker.control.resolve import find_unknown, resolve
from worker.domain.callbacks.inbound import CardPress, Inbound
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.hooks.callbacks import CallbackStore
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database

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


@dataclass(frozen=True, slots=True)
class Change:
    """Other times of a job that waits. None: as before. All in microseconds of the database's clock."""

    began_at: int
    ended_at: int
    """When the command began and ended: it was committed in between."""
    due_at: int | None
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class Correction:
    """That a job was corrected: when, in microseconds of the database's clock, and for whom. Nobody: none was left."""

    of: str
    at: int
    people: tuple[str, ...]


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
    changes: dict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))
    """Job -> how it was rescheduled."""
    forgotten: set[str] = field(default_factory=set)
    """Jobs that got their former due_at back from a backup: a fence cannot know that they were sent before it."""
    corrections: list[Correction] = field(default_factory=list)
    sent_in_doubt: set[str] = field(default_factory=set)
    """Replays that were to go to those, too, who may have received the message already."""
    leaver: str = ""
    """Who is erased at any time, and at the end; empty: nobody."""
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
        commands += [self._recall] * (5 if self.producer.campaigns else 2)
        commands += [self._offer_by_hand] * 2 if self.producer.campaigns else []
        commands += [self._press] * 2 if self.producer.cards else []
        commands += [*[self._reschedule, self._replay] * 2, self._correct, *([self._erase] * 2 if self.leaver else [])]
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
        self.corrections = [correction for correction in self.corrections if correction.at <= since]
        replays = [job for job in self.producer.jobs if job.original]
        self.vendor.names = {(job.text, person): job.content for job in replays for person in job.people}
        for job, changes in self.changes.items():
            self.changes[job] = [change for change in changes if change.ended_at <= since]
            if any(change.due_at and change.ended_at > since for change in changes):
                self.forgotten.add(job)

    def times(self, job: Job, at: int, before: int) -> tuple[float, float]:
        """The earliest and the latest instant for a call of a job, as far as it is certain at an instant.

        `before`: the instant of the call before it, 0 for the first; another is due when a later change says so.
        """
        due, expiry = [0.0 if before else float(job.due_at)], [float(job.expires_at or FOREVER)]
        for change in self.changes.get(job.id, ()):
            for known, new, since in ((due, change.due_at, before), (expiry, change.expires_at, 0)):
                if new is not None and since < change.began_at < at:
                    known[:] = [new] if at > change.ended_at else [*known, new]
        return min(due), max(expiry)

    @property
    def _accounts(self) -> Sequence[str]:
        used = {CAMPAIGNS: self.producer.campaigns, ROOMS: self.producer.rooms, DESK: self.producer.desks}
        return [name for name in AGENTS.values() if used.get(name, True)]

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
        for account in self._accounts:
            self._decide(account, sent=False)
        for job in self.producer.jobs:
            with suppress(WorkerError):
                self._skip(job)

    def erase_all(self) -> None:
        """Erases who left, once nothing is open."""
        self.told("people erase who left")
        for job in self.producer.jobs:
            with suppress(WorkerError):
                self._skip(job)  # what is first in an order stays as it is
        self._erase()

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
            held = pause_jobs([job.id], person=PERSON, database=self.database).jobs
            if job.id in held:
                self.holds.append(Span(job.id, now_us()))
                self.told(f"held {job.content}")

    def _release(self) -> None:
        if standing := [span for span in self.holds if span.ended_at is None]:
            span = self.chance.choice(standing)
            assert isinstance(span.of, str)
            span.ended_at = now_us()
            resume_jobs([span.of], person=PERSON, database=self.database)
            self.told("released a held job")

    def _cancel(self) -> None:
        if job := self._job():
            found = find_open(JobFilter(ids=[job.id]), database=self.database)
            if found.ids:
                cancel(found, person=PERSON, database=self.database)
                self.cancelled.setdefault(job.id, now_us())
                self.told(f"cancelled {job.content}")

    def _decide(self, account: str = "", *, sent: bool | None = None) -> None:
        wanted, force = JobFilter(account=account or self.chance.choice(self._accounts)), self.chance.random() < 0.5
        found = find_unknown(wanted, force=force, database=self.database)
        if found.ids:
            self.decided = {part.partition("-")[0]: now_us() for part in found.ids} | self.decided
            says = self.chance.random() < 0.5 if sent is None else sent
            resolve(found, sent=says, person=PERSON, why="he asked", database=self.database)
            self.told(f"decided about {len(found.ids)} in doubt: {'sent' if says else 'not sent'}")

    def _recall(self) -> None:
        if (job := self._job()) and (found := find_sent(JobFilter(ids=[job.id]), database=self.database)).ids:
            done = recall_jobs(found, person=PERSON, database=self.database, accounts=self.producer.accounts)
            self.producer.recalls.update(dict.fromkeys(done.jobs, job))
            # A job that has been sent whole may still be recalled; it is not marked any more either.
            self.cancelled.setdefault(job.id, now_us())
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

    def _offer_by_hand(self) -> None:
        """Makes a group send like one of a job, also for somebody else."""
        if offers := [(offer, who, sender) for offer, who, sender in self.producer.offered.values() if sender]:
            offer, customers, sender = self.chance.choice(offers)
            self.vendor.tasks.make_by_hand(offer, sender, (*customers, OTHER_CUSTOMER), self.scheduler.now)
            self.told(f"made a group send by hand that says {offer}, for {','.join(customers)} and another")

    def _reschedule(self) -> None:
        """Gives a job that waits other times, or another priority."""
        chance = self.chance
        if chance.random() < 0.5:
            ids = [job.id] if (job := self._job()) else []
        else:
            ids = list(find_waiting(JobFilter(account=chance.choice(self._accounts)), database=self.database).ids)
        if not ids:
            return
        found, now = find_waiting(JobFilter(ids=[chance.choice(ids)]), database=self.database), now_us()
        due_at = now + int(chance.uniform(-1.0, 6.0) * 1e6) if chance.random() < 0.6 else None
        expires_at = now + int(chance.uniform(0.5, 12.0) * 1e6) if chance.random() < 0.4 else None
        done = reschedule(
            found,
            due_at=due_at and instant(due_at),
            expires_at=expires_at and instant(expires_at),
            priority=chance.choice([None, "urgent", "bulk"]),
            person=PERSON,
            database=self.database,
        )
        for id in done.jobs:
            self.changes[id].append(Change(now, now_us(), due_at, expires_at))
            self.told(f"rescheduled {self.producer.name_of(id)}")

    def _correct(self) -> None:
        """Sends another message in the place of one."""
        if not (job := self._job()):
            return
        accounts, database = self.producer.accounts, self.database
        content = f"correction of {job.content} at {self.scheduler.now:.3f}"
        found = find_correctable(JobFilter(ids=[job.id]), content, database=database, accounts=accounts)
        done = correct_jobs(found, person=PERSON, database=database, accounts=accounts)
        if found.ids:
            self.cancelled.setdefault(job.id, now_us())
        query = f"select id from worker_jobs where kind = 'recall' and target_job_id = '{job.id}'"
        for [id] in self._read(query):
            self.producer.recalls.setdefault(id, job)
        if any("no recipient left" in note for note in done.notes.values()):
            self.corrections.append(Correction(job.id, now_us(), ()))
            self.told(f"corrected {job.content} for nobody")
        for id in done.jobs:
            offer = content if job.offer else ""
            correction = self._add(id, replace(job, content=content, original=None, offer=offer))
            self.corrections.append(Correction(job.id, now_us(), correction.people))
            self.told(f"corrected {job.content}")

    def _replay(self) -> None:
        """Sends a job that has ended once more, to those whom it did not reach."""
        chance, jobs, database = self.chance, self.producer.jobs, self.database
        find = partial(
            find_replayable, unknown=chance.random() < 0.3, cancelled=chance.random() < 0.5, database=database
        )
        ended = find(JobFilter(ids=[job.id for job in jobs])).ids if jobs else ()
        if not (replayable := [job for job in jobs if job.id in ended and job.content not in self.producer.twins]):
            return
        job = chance.choice(replayable)
        content = f"replay of {job.first.content} at {self.scheduler.now:.3f}"
        found = find(JobFilter(ids=[job.id]))
        chain = [one.id for one in jobs if one.first == job.first]
        in_doubt = find_unknown(JobFilter(ids=chain), force=True, database=database).ids
        done = replay_jobs(found, person=PERSON, database=database, accounts=self.producer.accounts)
        for id in done.jobs:
            replay = self._add(id, replace(job, content=content, original=job.first))
            self.sent_in_doubt |= {id} if found.unknown and in_doubt else set()
            self._name(replay, job)
            self.told(f"replayed {job.content} for {','.join(replay.people)}")

    def _name(self, replay: Job, before: Job) -> None:
        """Has the vendor's record tell the calls of a replay from those of the job before it, which had ended then."""
        producer = self.producer
        # For fewer customers it is like another group send, which may also have been made while it was replayed.
        if replay.text in producer.twins or (replay.text != before.text and replay.text in producer.offered):
            producer.twins.add(replay.text)
            alike = {job.content for job in producer.jobs if job.text == replay.text}
            producer.jobs = [replace(job, content=job.text) if job.content in alike else job for job in producer.jobs]
            self.vendor.merge(alike, replay.text)
            return
        if replay.offer:
            producer.offered.setdefault(replay.text, (replay.offer, replay.people, ""))
        [(created_at,)] = self._read(f"select created_at from worker_jobs where id = '{replay.id}'")
        for person in replay.people:
            self.vendor.name(replay.text, person, replay.content, instant_at(created_at))

    def _add(self, id: str, like: Job) -> Job:
        """Adds a job that a command enqueued, with the times and the people that it was given."""
        [(due_at, expires_at)] = self._read(f"select due_at, expires_at from worker_jobs where id = '{id}'")
        specs = self._read(f"select spec from worker_parts where job_id = '{id}'")
        people = tuple(sorted(person for [spec] in specs for person in recipients_of(json.loads(spec))))
        times = {"due_at": due_at, "expires_at": expires_at, "committed_at": now_us()}
        job = replace(like, id=id, people=people, **times)
        if job.offer and not job.original:
            job = replace(job, content=job.text)
        self.producer.jobs.append(job)
        return job

    def _read(self, query: str) -> list[Any]:
        with self.database.reading() as connection:
            return list(connection.exec_driver_sql(query))

    def _erase(self) -> None:
        found = find_person(self.leaver, database=self.database)
        done = erase(found, person=PERSON, database=self.database)
        self.told(f"erased {self.leaver} from {done.counts['jobs']} jobs; {done.counts['unchanged']} stay as they are")

    def _lift(self) -> None:
        account = self.chance.choice(self._accounts)
        lift(account, person=PERSON, database=self.database)
        self.told(f"lifted {account}")

    def _skip(self, job: Job | None = None) -> None:
        if job := job or self._job():
            began_at = now_us()
            skip(job.id, person=PERSON, database=self.database)
            self.skipped.setdefault(job.id, began_at)
            self.told(f"skipped {job.content}")
