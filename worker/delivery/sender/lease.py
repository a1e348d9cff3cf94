"""A process as the others see it: an incarnation with a lease, and the leases of works that one process does at a time.

A process that could not renew its own stops marking and calling by its own monotonic clock, before another process may
declare it dead, and goes on as a new incarnation.

A process whose work, such as the relay, has failed for some seconds lets any other take the lease of the work. Where no
other does, it goes on trying: its lease then counts as lapsed, so that a process that can do the work takes it at once.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection

from worker.config.application import places_of
from worker.domain.callbacks.hook import Ends
from worker.domain.errors import NotPublished
from worker.outbox.engine.clock import SECOND, boot_clock, micros
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import (
    HEALTHY,
    Fitness,
    Health,
    bury,
    free_lease,
    held_leases,
    renew,
    renew_leases,
    take_lease,
)

log = structlog.get_logger()

DOUBT_S = 60.0
"""Seconds for which a process that has given a lease up takes it only where no better one wants it."""
LONGEST_S = 60.0
"""Seconds for which its work may fail at most before it gives the lease up, however often it has done so."""
NEVER = float("-inf")
OFTEN = 5
"""Failures within a minute of each other from which on they are told, even where the work succeeds in between."""
MEANS = "means"
"""The trouble of a process that lacks what the work takes, such as a broker."""


class Lease:
    """One process's incarnation and its lease."""

    def __init__(
        self,
        database: Database,
        *,
        threads: int,
        queues: Callable[[], Iterable[str] | None] = lambda: None,
        hooked_ends: Ends | None = None,
        hooked_tags: Iterable[str] = (),
        lease_s: float = 10.0,
        clock: Callable[[], float] = boot_clock,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ):
        self._database, self._threads, self._lease_s = database, threads, lease_s
        self._queues, self._hooked_ends, self._hooked_tags = queues, hooked_ends, tuple(hooked_tags)
        self._clock, self._new_id = clock, new_id
        self._guard = threading.Lock()
        self._incarnation = new_id()
        self._before: str | None = None
        """The last incarnation that had a heartbeat, where this one has had none yet."""
        self._until = -1.0
        self._has_ended = False

    @property
    def incarnation(self) -> str:
        """The id under which this process marks parts now."""
        return self._incarnation

    def may_act(self, incarnation: str | None = None) -> bool:
        """True while the lease holds and is still the given incarnation's; None: any. Only then mark or call."""
        return self._clock() < self._until and incarnation in (None, self._incarnation)

    def beat(
        self,
        lanes: Mapping[str, Any] | None = None,
        unusable: Mapping[str, str] | None = None,
        health: Health = HEALTHY,
    ) -> None:
        """Renews the lease; after a lapse under a new incarnation. Raises what the database raises.

        Does nothing once the lease was ended: a late heartbeat would leave the row of a process that never ends.
        """
        with self._guard:
            if self._has_ended:
                return
            started = self._clock()
            if 0 <= self._until < started:
                self._come_back()
            while not self._renewed(json.dumps(lanes or {}), json.dumps(unusable) if unusable else None, health):
                # Another process declared this incarnation dead, and its marked parts are in doubt already.
                self._come_back()
            self._before = None
            # Counted from before the renewal, however long that took, and for nine tenths of the lease: our clock must
            # end it before the database's does.
            self._until = started + self._lease_s * 0.9

    def _come_back(self) -> None:
        self._before, self._incarnation = self._before or self._incarnation, self._new_id()

    def _renewed(self, lanes: str, unusable: str | None, health: Health) -> bool:
        with self._database.writing() as connection:
            return renew(
                connection,
                self._database.now,
                self._incarnation,
                lease_us=int(self._lease_s * 1_000_000),
                threads=self._threads,
                host=socket.gethostname()[:100],
                pid=os.getpid(),
                lanes=lanes,
                unusable=unusable,
                queues=self._queues(),
                health=health,
                hooked_ends=self._hooked_ends,
                hooked_tags=self._hooked_tags,
                before=self._before,
            )

    def end(self) -> None:
        """Ends the lease, so that other processes need not wait until it runs out."""
        with self._guard:
            self._until, self._has_ended = 0.0, True
            with self._database.writing() as connection:
                bury(connection, self._database.now, [self._incarnation])


@dataclass(slots=True)
class _Trouble:
    """What keeps failing; instants in seconds of the monotonic clock."""

    reason: str
    since: float
    last: float


class Renewals:
    """Renews the leases of one process with one statement, and asks for those of others with one; thread-safe."""

    def __init__(self, database: Database, holder: Callable[[], str], monotonic: Callable[[], float]):
        self._database, self._holder, self._monotonic = database, holder, monotonic
        self._guard = threading.Lock()
        self._members: list[Leadership] = []
        self._asked_at = NEVER
        self._held: dict[str, tuple[str, float]] = {}
        """Lease -> who had it when all were asked for, and until when."""

    def add(self, leadership: Leadership) -> None:
        """Takes one more lease in."""
        self._members.append(leadership)

    def renew(self, first: Leadership) -> bool:
        """Renews all leases that are in use, as one is due; False where any was lost: each asks for its own then."""
        with self._guard:
            now = self._monotonic()
            if now < first.renew_at:
                return True  # another thread was faster
            # A thread that stands still asks for nothing, so its lease runs out and another process takes it.
            together = [leadership for leadership in self._members if leadership.is_in_use()]
            lengths = {leadership.name: micros(leadership.lease_s) for leadership in together}
            database, holder = self._database, self._holder()
            renewed = database.run(lambda connection: renew_leases(connection, database.now, holder, lengths))
            for leadership in together if renewed else ():
                leadership.renewed(now)
            return renewed

    def may_take(self, lease: Leadership, fitness: Fitness) -> bool:
        """True for a lease that no fitter process has. One answer tells of all, and counts once for each."""
        with self._guard:
            now, holder = self._monotonic(), self._holder()
            if lease.name not in self._held or now - self._asked_at >= lease.asks_every_s / 2:
                with self._database.reading() as connection:
                    left = held_leases(connection, self._database.now)
                self._held = {name: (by, now + left_us / SECOND) for name, (by, left_us) in left.items()}
                self._asked_at = now
            by, until = self._held.pop(lease.name, (holder, NEVER))
            return by == holder or until + fitness * lease.lease_s < now


class Leadership:
    """One process's part in a work that one process does at a time."""

    def __init__(
        self,
        database: Database,
        name: str,
        *,
        holder: Callable[[], str],
        lease_s: float,
        monotonic: Callable[[], float],
        renewals: Renewals | None = None,
    ):
        self._database, self.name, self._holder = database, name, holder
        self.lease_s, self._monotonic = lease_s, monotonic
        self.active = False
        self.renew_at = 0.0
        self._has_asked = False
        """True when the work took a turn since the last renewal."""
        self._renewals = renewals or Renewals(database, holder, monotonic)
        self._renewals.add(self)
        self._fitness = Fitness.ABLE
        """As which it last took the lease."""
        self._troubles: dict[str, _Trouble] = {}
        self._given_up = 0
        """How often it gave the lease up since its work last succeeded."""
        self._doubtful_until = NEVER
        self._why_doubtful = ""
        self._failures = 0
        """Failures of the work, each within a minute of the one before."""
        self._failed_at, self._why_failed = NEVER, ""

    @property
    def asks_every_s(self) -> float:
        """Seconds after which a process without the lease asks for it again."""
        return self.lease_s / 10

    def lead(self) -> bool:
        """Takes or renews the lease when a third of it is over; False: another process has it, so do nothing."""
        now, fitness = self._monotonic(), self._judge()
        self._has_asked = True
        is_as_before = self.active and fitness is self._fitness
        if is_as_before and now < self.renew_at:
            return True
        database, holder, lease_us = self._database, self._holder(), micros(self.lease_s)
        was = self.active
        try:
            if is_as_before and fitness is Fitness.ABLE and self._renewals.renew(self):
                return True
            self.active = (was or self._renewals.may_take(self, fitness)) and database.run(
                lambda c: take_lease(c, database.now, self.name, holder, lease_us, fitness)
            )
        except Exception:
            # A database that is away makes all work fail, and says nothing about this process.
            self._troubles.clear()
            raise
        # Who fails asks before each turn, so that it stops as soon as another process has taken over.
        self.renew_at, self._fitness = now + (0 if fitness is Fitness.UNABLE else self.lease_s / 3), fitness
        self._has_asked = False
        if was and not self.active:
            self._note_loss()
        return self.active

    def is_in_use(self) -> bool:
        """True for a lease that is held, and whose work took a turn since it was renewed."""
        return self.active and self._fitness is Fitness.ABLE and self._has_asked

    def renewed(self, now: float) -> None:
        """Notes that its lease counts from an instant on."""
        self.renew_at, self._has_asked = now + self.lease_s / 3, False

    def holds(self, connection: Connection) -> bool:
        """Renews the lease in a transaction, until whose end no other process takes it; False: another has it."""
        return take_lease(
            connection, self._database.now, self.name, self._holder(), micros(self.lease_s), self._fitness
        )

    def stop(self) -> None:
        """Gives the lease back, so that another process takes over at once."""
        if self.active:
            self.active = False
            self._database.run(lambda connection: free_lease(connection, self.name, self._holder()))

    def turn(self, work: Callable[[], float]) -> float:
        """Makes a turn of the work where this process has the lease; returns the seconds until the next."""
        if not self.lead():
            return self.asks_every_s
        with self.trying():
            delay = work()
        self.succeeded()
        # The lease is renewed in time, however seldom there is something to do.
        return min(delay, self.lease_s / 3)

    # -- how the work goes --------------------------------------------------------------------------------------------

    @contextmanager
    def trying(self, what: str = "") -> Iterator[None]:
        """Notes an error of the work inside, which is raised all the same. `what`: which part of the work it is."""
        try:
            yield
        except Exception as error:
            why = str(error) if isinstance(error, NotPublished) else f"its turns fail ({places_of(error, most=1)})"
            self.failed(why, what)
            raise

    def failed(self, reason: str, what: str = "") -> None:
        """Notes that the work, or a part of it, has failed."""
        now = self._monotonic()
        self._failures = self._failures + 1 if now - self._failed_at < DOUBT_S else 1
        self._failed_at, self._why_failed = now, reason
        trouble = self._troubles.setdefault(what, _Trouble(reason, now, now))
        trouble.reason, trouble.last = reason, now

    def succeeded(self, what: str = "") -> None:
        """Notes that the work, or a part of it, was done."""
        self._troubles.pop(what, None)
        if not self._troubles:
            self._given_up, self._doubtful_until = 0, NEVER

    def passed(self, what: str = "") -> None:
        """Notes a turn in which there was nothing to do, which proves that the work can be done only after a while."""
        trouble = self._troubles.get(what)
        if trouble is not None and self._monotonic() - trouble.last > self._patience_s():
            del self._troubles[what]

    def hold_back(self, reason: str) -> None:
        """Notes that this process lacks what the work takes: it takes no lease, and soon gives back the one it has."""
        self.failed(reason, MEANS)
        if self.active and not self._lasting():
            self.lead()
        elif self.active:
            log.warning("lease_given_back", lease=self.name, reason=reason)
            self.stop()

    def has_means(self) -> None:
        """Notes that this process has again what the work takes."""
        self._troubles.pop(MEANS, None)

    def problem(self) -> str:
        """What has kept this process from the work for some seconds, or made it give the lease up; empty: nothing."""
        now = self._monotonic()
        if lasting := self._lasting():
            return f"{lasting.reason}, for {now - lasting.since:.0f} s"
        if now < self._doubtful_until:
            return f"it gave the work up: {self._why_doubtful}"
        # Beside turns that succeed: what one lane makes fail may stand still all the same.
        is_often = self._failures >= OFTEN and now - self._failed_at < DOUBT_S
        return f"it fails again and again: {self._why_failed}" if is_often else ""

    def _judge(self) -> Fitness:
        if self.active and self._lasting():
            return Fitness.UNABLE
        return Fitness.DOUBTFUL if self._monotonic() < self._doubtful_until else Fitness.ABLE

    def _lasting(self) -> _Trouble | None:
        """What has failed for so long that another process is to try; None: nothing."""
        now = self._monotonic()
        troubles = [one for one in list(self._troubles.values()) if now - one.since >= self._patience_s()]
        return min(troubles, key=lambda one: one.since, default=None)

    def _patience_s(self) -> float:
        # Longer each time, so that two processes that both fail do not take the lease from each other all the time.
        return min(LONGEST_S, self.lease_s / 2 * 2.0 ** min(self._given_up, 8))

    def _note_loss(self) -> None:
        if lasting := self._lasting():
            self._given_up += 1
            self._doubtful_until, self._why_doubtful = self._monotonic() + DOUBT_S, lasting.reason
            self._troubles.clear()
