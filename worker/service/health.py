"""Judges whether one worker process is healthy: its loops turn, its writer commits, and due parts are sent.

The process judges itself before each heartbeat, which writes the result into its row. `worker health` reads it there. A
database or a broker that is away makes no process unhealthy, because a restart would bring neither back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from worker.domain.errors import AccountsUnread, RetryTransaction
from worker.outbox.lanes.processes import Health
from worker.service.loop import Loop
from worker.service.rabbitmq import RECONNECT_S

STUCK_S = 20.0
"""Seconds that one turn of a loop, or one commit, may take. A connection to a vanished host fails within 15."""
LONG_STUCK_S = 600.0
"""The same for loops with long turns, and for doorbells that a thread works on."""
STALLED_S = 30.0
"""Seconds for which parts may be due and not sent by any process, while this process marks none."""
LATE_S = 7.0
"""Seconds by which a heartbeat may be late. A longer delay may have delayed the other threads, too."""
SHORT_LOOPS = ("relay", "full_scan", "recovery", "hooks")
"""Loops with short turns. A stuck heartbeat is noticed by its old row, and the other loops delay no delivery."""
WATCHED_LOOPS = ("heartbeat", *SHORT_LOOPS)
"""Loops that make the process unhealthy if each turn raises an error that a restart may cure."""
OUTAGE_ERRORS = (SQLAlchemyError, OSError, RetryTransaction, AccountsUnread, OperationalError)
"""What a turn raises while a database, a broker or a source of accounts is away."""
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class HealthSignals:
    """What a process knows of its own work. Instants are seconds of the monotonic clock."""

    writer_busy_s: Callable[[float], float]
    """Returns for how many seconds the current commit has run at the given instant."""
    writer_away_at: Callable[[], float]
    """When a commit last failed because of the database."""
    marked_at: Callable[[], float]
    """When a part was last marked."""
    has_untaken_parts: Callable[[], bool]
    """True while parts are due that this process could send and no process takes."""
    busy: Callable[[], int]
    """Returns how many doorbells and hooks the threads of this process work on."""
    broker_away: Callable[[], bool]
    hindered: Callable[[], Mapping[str, str]] = dict
    """Lease to the reason why this process cannot do that work now, though a restart would not help."""


class WorkerHealth:
    """Judges one worker process, from the thread of its heartbeat."""

    def __init__(
        self, loops: Mapping[str, Loop], signals: HealthSignals, monotonic: Callable[[], float], every_s: float
    ):
        """`every_s` is the number of seconds from one heartbeat to the next."""
        self._loops, self._signals, self._monotonic, self._every_s = loops, signals, monotonic, every_s
        self._checked_at = monotonic()
        self._delayed_at = NEVER
        """When the database was last away, or this process was last delayed as a whole."""
        self._broker_away_at = NEVER
        self._due_since: float | None = None

    def check(self) -> Health:
        """Returns the health of the process now."""
        now = self._monotonic()
        if self._is_delayed(now):
            self._delayed_at = now
        if self._signals.broker_away():
            self._broker_away_at = now
        self._checked_at = now
        # Work that began before an outage of the database is given the time since the outage ended.
        back_at = max(self._delayed_at, self._signals.writer_away_at())
        problems = (*self._stuck(now, now - back_at), *self._failing(now), *self._stalled(now, back_at))
        return Health(problems, self._signals.hindered())

    def _is_delayed(self, now: float) -> bool:
        """Returns True if the last heartbeat failed or was late, so that other threads may be delayed, too."""
        return (
            isinstance(self._loops["heartbeat"].error, OUTAGE_ERRORS) or now - self._checked_at > self._every_s + LATE_S
        )

    def _stuck(self, now: float, limit_s: float) -> Iterator[str]:
        busy_s = min(self._signals.writer_busy_s(now), limit_s)
        if busy_s > STUCK_S:
            yield f"the writer thread has been in one commit for {busy_s:.0f} s"
        for name, loop in self._loops.items():
            busy_s = min(loop.busy_s(now), limit_s)
            if name != "heartbeat" and busy_s > (STUCK_S if name in SHORT_LOOPS else LONG_STUCK_S):
                yield f"the background loop {name} has been in one turn for {busy_s:.0f} s"

    def _failing(self, now: float) -> Iterator[str]:
        for name in WATCHED_LOOPS:
            loop = self._loops.get(name)
            if loop is None or loop.error is None or isinstance(loop.error, OUTAGE_ERRORS):
                continue
            if (failing_s := loop.failing_s(now)) > STUCK_S:
                error = type(loop.error).__name__
                yield f"each turn of the background loop {name} has failed for {failing_s:.0f} s ({error})"

    def _stalled(self, now: float, back_at: float) -> Iterator[str]:
        if not self._signals.has_untaken_parts():
            self._due_since = None
            return
        self._due_since = now if self._due_since is None else self._due_since
        reconnected_at = self._broker_away_at + RECONNECT_S
        idle_s = now - max(self._due_since, self._signals.marked_at(), back_at, reconnected_at)
        # A thread may be fetching a file or waiting for an answer, but not for ever.
        if idle_s > (LONG_STUCK_S if self._signals.busy() else STALLED_S):
            yield f"parts are due and their lanes are open, but none was sent for {idle_s:.0f} s"
