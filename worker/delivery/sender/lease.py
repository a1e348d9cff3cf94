"""The leases of a process: its own, and those of the jobs that one process does at a time, such as the relay.

A process that could not renew its own lease stops marking and calling by its monotonic clock, before another process
may declare it dead. It goes on as a new incarnation.

A process whose work, such as the relay, has failed for some seconds lets any other process take the lease of the work.
Until one does, it goes on trying. Its lease then counts as lapsed, so that a process that can do the work takes over at
once.
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

from worker.config.application import traceback_summary
from worker.domain.callbacks.hook import NO_HOOKS, Subscriptions
from worker.domain.errors import NotPublished
from worker.outbox.engine.clock import SECOND, SKEW_US, boot_clock, micros
from worker.outbox.engine.database import Database
from worker.outbox.engine.error_text import is_away
from worker.outbox.lanes.processes import (
    HEALTHY,
    Fitness,
    Health,
    acquire_lease,
    end_processes,
    list_leases,
    release_lease,
    renew_heartbeat,
    renew_leases,
)

log = structlog.get_logger()

DOUBT_S = 60.0
"""Seconds for which a process that gave up a lease takes it again only if no fitter process takes it."""
LONGEST_S = 60.0
"""The longest time in seconds that its work may fail before it gives up the lease, however often that has happened."""
NEVER = float("-inf")
OFTEN = 5
"""So many failures within a minute of each other are reported, even if the work succeeds in between."""
MEANS = "means"
"""The name under which a missing requirement of the work, such as a broker, counts as a failure."""


class Lease:
    """The incarnation and the lease of one process."""

    def __init__(
        self,
        database: Database,
        *,
        threads: int,
        queues: Callable[[], Iterable[str] | None] = lambda: None,
        hooks: Subscriptions = NO_HOOKS,
        lease_s: float = 10.0,
        clock: Callable[[], float] = boot_clock,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ):
        self._database, self._threads, self._lease_s = database, threads, lease_s
        self._queues, self._hooks = queues, hooks
        self._clock, self._new_id = clock, new_id
        self._lock = threading.Lock()
        self._incarnation = new_id()
        self._previous: str | None = None
        """The last incarnation with a heartbeat, while the present one has none yet, else None."""
        self._until = -1.0
        self._has_ended = False

    @property
    def incarnation(self) -> str:
        """The id under which this process marks parts now."""
        return self._incarnation

    def may_act(self, incarnation: str | None = None) -> bool:
        """Returns True while the lease holds for this incarnation, or for any if None. Only then mark or call."""
        return self._clock() < self._until and incarnation in (None, self._incarnation)

    def beat(
        self,
        lanes: Mapping[str, Any] | None = None,
        unusable: Mapping[str, str] | None = None,
        health: Health = HEALTHY,
    ) -> None:
        """Renews the lease, after a lapse as a new incarnation. Raises the errors of the database.

        Does nothing after `end`: a late heartbeat would leave a row of a process that never ends.
        """
        with self._lock:
            if self._has_ended:
                return
            started = self._clock()
            if 0 <= self._until < started:
                self._begin_incarnation()
            while not self._renewed(json.dumps(lanes or {}), json.dumps(unusable) if unusable else None, health):
                # Another process declared this incarnation dead, and its marked parts are in doubt already.
                self._begin_incarnation()
            self._previous = None
            # Counted from before the renewal, however long that took, and for nine tenths of the lease: by our clock it
            # must end before it ends by the database's.
            self._until = started + self._lease_s * 0.9

    def _begin_incarnation(self) -> None:
        self._previous, self._incarnation = self._previous or self._incarnation, self._new_id()

    def _renewed(self, lanes: str, unusable: str | None, health: Health) -> bool:
        with self._database.writing() as connection:
            return renew_heartbeat(
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
                hooks=self._hooks,
                before=self._previous,
            )

    def end(self) -> None:
        """Ends the lease, so that other processes need not wait until it lapses."""
        with self._lock:
            self._until, self._has_ended = 0.0, True
            with self._database.writing() as connection:
                end_processes(connection, self._database.now, [self._incarnation])


@dataclass(slots=True)
class _Failure:
    """A failure that goes on. Instants are seconds of the monotonic clock."""

    reason: str
    since: float
    last: float


class Renewals:
    """Renews all leases of one process with one statement, and reads those of others with one. Thread-safe."""

    def __init__(self, database: Database, holder: Callable[[], str], monotonic: Callable[[], float]):
        self._database, self._holder, self._monotonic = database, holder, monotonic
        self._lock = threading.Lock()
        self._members: list[Leadership] = []
        self._read_at = NEVER
        self._holders: dict[str, tuple[str, float]] = {}
        """Lease -> its holder when all were read last, and until when."""

    def add(self, leadership: Leadership) -> None:
        """Adds a lease."""
        self._members.append(leadership)

    def renew(self, first: Leadership) -> bool:
        """Renews all leases in use when one of them is due. Returns False if one was lost; then each renews its own."""
        with self._lock:
            now = self._monotonic()
            if now < first.renew_at:
                return True  # another thread was faster
            # The lease of a thread that hangs is not in use, so it lapses and another process takes it.
            # `first` is, even if another thread renewed it meanwhile and then stood still until it was due again.
            together = [leadership for leadership in self._members if leadership is first or leadership.is_in_use()]
            lengths = {leadership.name: micros(leadership.lease_s) for leadership in together}
            database, holder = self._database, self._holder()
            renewed = database.run(lambda connection: renew_leases(connection, database.now, holder, lengths))
            for leadership in together if renewed else ():
                leadership.renewed(now)
            return renewed

    def may_take(self, lease: Leadership, fitness: Fitness) -> bool:
        """Returns True for a lease that no fitter process holds. One reading serves all leases, once each."""
        with self._lock:
            now, holder = self._monotonic(), self._holder()
            if now - self._read_at >= lease.retry_s / 2:
                with self._database.reading() as connection:
                    holders = list_leases(connection, self._database.now)
                self._holders = {name: (by, now + left_us / SECOND) for name, (by, left_us) in holders.items()}
                self._read_at = now
            by, until = self._holders.pop(lease.name, (holder, NEVER))
            is_set_back = until > now + lease.lease_s + SKEW_US / SECOND
            return by == holder or until + fitness * lease.lease_s < now or is_set_back


class Leadership:
    """One process's lease of work that one process does at a time, and how that work goes."""

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
        self._was_used = False
        """True when the work made a turn since the last renewal."""
        self._renewals = renewals or Renewals(database, holder, monotonic)
        self._renewals.add(self)
        self._fitness = Fitness.ABLE
        """The fitness with which this process last took the lease."""
        self._ongoing_failures: dict[str, _Failure] = {}
        self._times_given_up = 0
        """How often it gave up the lease since its work last succeeded."""
        self._doubtful_until = NEVER
        self._doubt_reason = ""
        self._failure_count = 0
        """Number of failures, each within a minute of the one before."""
        self._failed_at, self._failure_reason = NEVER, ""
        self._lacked_means = False
        """Whether the last failure was a missing requirement, which the process itself reports while it is missing."""

    @property
    def retry_s(self) -> float:
        """Seconds after which a process without the lease tries again to take it."""
        return self.lease_s / 10

    def lead(self) -> bool:
        """Takes the lease, or renews it when a third of it is over. Returns False if another process has it."""
        now, fitness = self._monotonic(), self._own_fitness()
        self._was_used = True
        is_as_before = self.active and fitness is self._fitness
        if is_as_before and now < self.renew_at:
            return True
        database, holder, lease_us = self._database, self._holder(), micros(self.lease_s)
        was = self.active
        try:
            if is_as_before and fitness is Fitness.ABLE and self._renewals.renew(self):
                return True
            self.active = (was or self._renewals.may_take(self, fitness)) and database.run(
                lambda c: acquire_lease(c, database.now, self.name, holder, lease_us, fitness)
            )
        except Exception:
            # A database that is away makes all work fail, and says nothing about this process.
            self._ongoing_failures.clear()
            raise
        # A failing process checks before each turn, so that it stops as soon as another process has taken over.
        self.renew_at, self._fitness = now + (0 if fitness is Fitness.UNABLE else self.lease_s / 3), fitness
        self._was_used = False
        if was and not self.active:
            self._record_loss()
        return self.active

    def is_in_use(self) -> bool:
        """Returns True for a lease that this process has and whose work made a turn since the last renewal."""
        return self.active and self._fitness is Fitness.ABLE and self._was_used

    def renewed(self, now: float) -> None:
        """Notes that the lease was renewed at an instant."""
        self.renew_at, self._was_used = now + self.lease_s / 3, False

    def holds(self, connection: Connection) -> bool:
        """Renews the lease in a transaction; until it ends no other process can take the lease.

        Returns False if another process has it.
        """
        return acquire_lease(
            connection, self._database.now, self.name, self._holder(), micros(self.lease_s), self._fitness
        )

    def stop(self) -> None:
        """Gives the lease back, so that another process takes over at once."""
        if self.active:
            self.active = False
            self._database.run(lambda connection: release_lease(connection, self.name, self._holder()))

    def turn(self, work: Callable[[], float]) -> float:
        """Makes a turn of the work if this process has the lease. Returns the seconds until the next turn."""
        if not self.lead():
            return self.retry_s
        with self.trying():
            delay = work()
        self.succeeded()
        # The lease is renewed in time, however seldom there is something to do.
        return min(delay, self.lease_s / 3)

    # -- how the work goes --------------------------------------------------------------------------------------------

    @contextmanager
    def trying(self, what: str = "") -> Iterator[None]:
        """Records an error that the work inside raises, and raises it again. `what` names the part of the work.

        A database that is away makes all work fail, and says nothing about this process.
        """
        try:
            yield
        except Exception as error:
            if is_away(error):
                raise
            reason = (
                str(error)
                if isinstance(error, NotPublished)
                else f"each of its turns fails ({traceback_summary(error, max_lines=1)})"
            )
            self.failed(reason, what)
            raise

    def failed(self, reason: str, what: str = "") -> None:
        """Records that the work, or a part of it, has failed."""
        now = self._monotonic()
        self._failure_count = self._failure_count + 1 if now - self._failed_at < DOUBT_S else 1
        self._failed_at, self._failure_reason, self._lacked_means = now, reason, what == MEANS
        failure = self._ongoing_failures.setdefault(what, _Failure(reason, now, now))
        failure.reason, failure.last = reason, now

    def succeeded(self, what: str = "") -> None:
        """Records that the work, or a part of it, has succeeded."""
        self._ongoing_failures.pop(what, None)
        if not self._ongoing_failures:
            self._times_given_up, self._doubtful_until = 0, NEVER

    def record_idle(self, what: str = "") -> None:
        """Records a turn with nothing to do. After a while of such turns the work no longer counts as failing."""
        failure = self._ongoing_failures.get(what)
        if failure is not None and self._monotonic() - failure.last > self._patience_s():
            del self._ongoing_failures[what]

    def hold_back(self, reason: str) -> None:
        """Records that this process lacks what the work needs: it takes no lease, and soon gives back its own."""
        self.failed(reason, MEANS)
        if self.active and not self._lasting_failure():
            self.lead()
        elif self.active:
            log.warning("lease_given_back", lease=self.name, reason=reason)
            self.stop()

    def has_means(self) -> None:
        """Records that this process again has what the work needs."""
        self._ongoing_failures.pop(MEANS, None)

    def problem(self) -> str:
        """Returns what has kept this process from the work for some seconds, or an empty string.

        A missing requirement of the work is not among it.
        """
        now = self._monotonic()
        if self._lacked_means:
            return ""
        if failure := self._lasting_failure():
            return f"{failure.reason}, for {now - failure.since:.0f} s"
        if now < self._doubtful_until:
            return f"it has left this task to another process: {self._doubt_reason}"
        # Also if other turns succeed: the lane that makes some of them fail may never get its turn.
        is_often = self._failure_count >= OFTEN and now - self._failed_at < DOUBT_S
        return f"{self._failure_reason}, again and again" if is_often else ""

    def _own_fitness(self) -> Fitness:
        if self.active and self._lasting_failure():
            return Fitness.UNABLE
        return Fitness.DOUBTFUL if self._monotonic() < self._doubtful_until else Fitness.ABLE

    def _lasting_failure(self) -> _Failure | None:
        """Returns the failure that has lasted so long that another process should try, or None."""
        now = self._monotonic()
        failures = [
            failure for failure in list(self._ongoing_failures.values()) if now - failure.since >= self._patience_s()
        ]
        return min(failures, key=lambda failure: failure.since, default=None)

    def _patience_s(self) -> float:
        # Longer each time, so that two processes that both fail do not take the lease from each other all the time.
        return min(LONGEST_S, self.lease_s / 2 * 2.0 ** min(self._times_given_up, 8))

    def _record_loss(self) -> None:
        if failure := self._lasting_failure():
            self._times_given_up += 1
            self._doubtful_until, self._doubt_reason = self._monotonic() + DOUBT_S, failure.reason
            self._ongoing_failures.clear()
