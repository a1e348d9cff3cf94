"""Whether one worker process is healthy: its loops turn, its writer commits, and it sends what it can send.

Judged by the process itself before each heartbeat, which writes it into its row; `worker health` reads it there. A
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
"""Seconds that one turn of a loop, or one commit, may take; the connection to a host that vanished ends within 15."""
LONG_S = 600.0
"""The same of loops whose turns may be long, and of doorbells that a thread has in hand."""
STALLED_S = 30.0
"""Seconds for which parts may be due that no process takes, while this process marks none."""
LATE_S = 7.0
"""Seconds by which a heartbeat may be late; what held it up for longer may have held up the other threads, too."""
PROMPT = ("relay", "full_scan", "recovery", "hooks")
"""Loops whose turns are short. The heartbeat is missed by who reads its row, and the others hold up no delivery."""
FAILING = ("heartbeat", *PROMPT)
"""Loops that are missed when each of their turns fails with an error of ours, which a new process may not have."""
OUTAGES = (SQLAlchemyError, OSError, RetryTransaction, AccountsUnread, OperationalError)
"""What a database, a broker or a source of accounts that is away makes a turn raise."""
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Signs:
    """What a process knows of its own work; instants in seconds of the monotonic clock."""

    writer_busy_s: Callable[[float], float]
    """Seconds for which a commit has run, at an instant."""
    writer_away_at: Callable[[], float]
    """When the database last failed to take a commit."""
    marked_at: Callable[[], float]
    """When a part was last marked."""
    has_untaken_parts: Callable[[], bool]
    """True while parts are due that this process could send, and no process takes them."""
    at_work: Callable[[], int]
    """Doorbells and hooks that threads of this process have in hand."""
    broker_away: Callable[[], bool]
    hindered: Callable[[], Mapping[str, str]] = dict
    """Lease -> why this process cannot do that work now, though a restart would not help."""


class WorkerHealth:
    """Judges one worker process, from the thread of its heartbeat."""

    def __init__(self, loops: Mapping[str, Loop], signs: Signs, monotonic: Callable[[], float], every_s: float):
        """`every_s`: seconds from one heartbeat to the next."""
        self._loops, self._signs, self._monotonic, self._every_s = loops, signs, monotonic, every_s
        self._looked_at = monotonic()
        self._held_up_at = NEVER
        """When the database was last seen to be away, or this process to be held up as a whole."""
        self._broker_away_at = NEVER
        self._due_since: float | None = None

    def look(self) -> Health:
        """Judges the process as it is now."""
        now = self._monotonic()
        if self._is_held_up(now):
            self._held_up_at = now
        if self._signs.broker_away():
            self._broker_away_at = now
        self._looked_at = now
        # What was begun before an outage of the database has the time since its end.
        back_at = max(self._held_up_at, self._signs.writer_away_at())
        wrong = (*self._stuck(now, now - back_at), *self._failing(now), *self._stalled(now, back_at))
        return Health(wrong, self._signs.hindered())

    def _is_held_up(self, now: float) -> bool:
        """True when the last heartbeats failed or came late, so that other threads may have waited as well."""
        return isinstance(self._loops["heartbeat"].error, OUTAGES) or now - self._looked_at > self._every_s + LATE_S

    def _stuck(self, now: float, most_s: float) -> Iterator[str]:
        busy_s = min(self._signs.writer_busy_s(now), most_s)
        if busy_s > STUCK_S:
            yield f"the writer has been in one commit for {busy_s:.0f} s"
        for name, loop in self._loops.items():
            busy_s = min(loop.busy_s(now), most_s)
            if name != "heartbeat" and busy_s > (STUCK_S if name in PROMPT else LONG_S):
                yield f"the loop {name} has been in one turn for {busy_s:.0f} s"

    def _failing(self, now: float) -> Iterator[str]:
        for name in FAILING:
            loop = self._loops.get(name)
            if loop is None or loop.error is None or isinstance(loop.error, OUTAGES):
                continue
            if (failing_s := loop.failing_s(now)) > STUCK_S:
                error = type(loop.error).__name__
                yield f"each turn of the loop {name} has failed for {failing_s:.0f} s ({error})"

    def _stalled(self, now: float, back_at: float) -> Iterator[str]:
        if not self._signs.has_untaken_parts():
            self._due_since = None
            return
        self._due_since = now if self._due_since is None else self._due_since
        reconnected_at = self._broker_away_at + RECONNECT_S
        idle_s = now - max(self._due_since, self._signs.marked_at(), back_at, reconnected_at)
        # A thread may fetch a file or wait for an answer; but not for ever.
        if idle_s > (LONG_S if self._signs.at_work() else STALLED_S):
            yield f"parts are due and their lanes are open, but none was sent for {idle_s:.0f} s"
