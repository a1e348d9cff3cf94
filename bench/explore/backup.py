"""A database that is put back to a moment ago, with all that people do then."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.explore.database import Store, now_us
from bench.explore.faults import Faults
from bench.explore.fibers import Scheduler
from bench.explore.people import PERSON, People
from bench.explore.process import Host
from bench.explore.producers import Producer
from worker.control.fence import fence, find_restored
from worker.domain.errors import WorkerError
from worker.outbox.engine.clock import instant

RESTORED = ("database", "restored")
"""What such a universe has reached, as a step and a fault."""


@dataclass
class Backup:
    """A backup that is made, and restored seconds later as docs/runbooks.md says. What was committed since is gone."""

    store: Store
    scheduler: Scheduler
    chance: random.Random
    hosts: Sequence[Host]
    producer: Producer
    people: People
    faults: Faults
    told: Callable[[str], None]
    made_at: float | None = None
    """Virtual seconds."""
    restored_at: float | None = None

    def covers(self, at: float) -> bool:
        """True for an instant, in virtual seconds, of whose commits nothing is left."""
        return self.made_at is not None and self.made_at <= at <= (self.restored_at or self.made_at)

    def happen(self, within_s: float) -> None:
        """Makes a backup, and restores it."""
        self.scheduler.sleep(self.chance.uniform(0.0, within_s / 2))
        with self.producer.waits, self.people.waits:  # nobody is in the middle of a command or a transaction
            self._until_idle()
            backup, made_at_us = self.store.backup(), now_us()
            self.made_at = self.scheduler.now
            self.told("a backup is made")
        self.scheduler.sleep(self.chance.uniform(0.1, within_s / 2))
        with self.producer.waits, self.people.waits:
            self.faults.is_down = True
            for host in self.hosts:
                if not host.home.dead:
                    self.scheduler.kill(host.home)
            self._until_idle()
            self.store.restore(backup)
            self.restored_at = self.scheduler.now
            self.told("the backup is restored")
            self._forget(made_at_us)
            self._fence(made_at_us)
            self.faults.is_down = False

    def _until_idle(self) -> None:
        while self.store.is_writing:
            self.scheduler.sleep(0.001)

    def _forget(self, made_at: int) -> None:
        there = {row["id"] for row in self.store.rows("select id from worker_jobs")}
        self.producer.forget(there)
        self.people.forget(made_at)

    def _fence(self, made_at: int) -> None:
        database = self.people.database
        while True:
            try:
                fence(find_restored(instant(made_at), database=database), person=PERSON, database=database)
            except WorkerError:  # a process that was killed counts as alive for a while
                self.scheduler.sleep(1.0)
            else:
                return
