"""What there is to do in the outbox: one statement for the loops of a process, each of whose answers probes an index.

A loop that learns here that there is nothing for it asks the database nothing. Where the last look is too long ago, it
looks for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache

from worker.domain.pacing.lane import Cause
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import Dialect
from worker.outbox.engine.sql import fetch

OVERDUE_US = 120 * SECOND
"""Microseconds after a call's deadline for which its answer may wait for the database before its part is in doubt."""
FRESH_S = 0.5
"""Seconds for which a look counts."""
RESTS = 20
"""Between two looks of the relay it rests at least so many times as long as the last one took."""
NEVER = float("-inf")


class Work(StrEnum):
    """What some loop has to do."""

    NEWLY_DUE = "newly due"
    """A part became due, and is not offered, since the instant of the look."""
    DUE = "due"
    """Some queued part is due, offered or not."""
    OPEN = "open"
    """Some part is queued or in doubt."""
    PROCESSES = "processes"
    """More than one process has not ended, and one of them may have died."""
    ORPHANS = "orphans"
    """A part is marked by a process that has ended, or for longer than a call can last."""
    DOUBTFUL = "doubtful"
    """A part is in doubt and its policy is due."""
    EXPIRED = "expired"
    """A queued part is past its `expires_at`."""
    WAITING = "waiting"
    """A part waits for another one, and its wait has ended."""
    RESUMED = "resumed"
    """A part is parked on a pause that has ended."""
    ORDERS = "orders"
    """There are orders, some of which may not go on."""
    EVENTS = "events"
    """An event for hooks is due or runs."""
    UNINDEXED = "unindexed"
    """A job that ended is not indexed."""
    COUNTS = "counts"
    """Counts are not added up."""
    TOKENS = "tokens"
    """An account is parked because its credentials were refused."""


class Agenda:
    """What one process saw lately; thread-safe."""

    def __init__(self, database: Database, monotonic: Callable[[], float]):
        self._database, self._monotonic = database, monotonic
        self._seen: tuple[float, frozenset[Work]] = NEVER, frozenset()
        self._took_s = 0.0

    def look(self, since: int | None = None) -> frozenset[Work]:
        """Returns what there is to do. Without an instant, in microseconds, nothing is newly due."""
        database, looked_at = self._database, self._monotonic()
        sql = _statement(database.dialect, database.now, since is not None)
        values = {"overdue": OVERDUE_US} | ({} if since is None else {"since": since})
        with database.reading() as connection:
            [answers] = fetch(connection, sql, values)
        found = frozenset(work for work, answer in zip(Work, answers, strict=True) if answer)
        # From before the statement: what came during it may not be in its answer.
        self._seen, self._took_s = (looked_at, found), self._monotonic() - looked_at
        return found

    def is_cheap(self) -> bool:
        """True where a look now costs next to nothing, judged by the last one."""
        # Behind a transaction that stays open for hours an index may hold every part that was sent meanwhile.
        return self._monotonic() - self._seen[0] >= RESTS * self._took_s

    def recent(self) -> frozenset[Work] | None:
        """Returns what the last look saw, or None if that was too long ago."""
        looked_at, found = self._seen
        return found if self._monotonic() - looked_at <= FRESH_S else None

    def lacks(self, work: Work) -> bool:
        """True where there was nothing of this a moment ago; False also where the last look is too long ago."""
        found = self.recent()
        return found is not None and work not in found

    def turn(self, work: Work, turn: Callable[[], float], rest_s: float) -> float:
        """Makes a loop's turn, unless it lacks work: then the loop rests. Returns the seconds until the next."""
        return rest_s if self.lacks(work) else turn()


@lru_cache(maxsize=8)
def _statement(dialect: Dialect, now: str, with_newly_due: bool) -> str:
    conditions = {**_conditions(dialect, dialect.known_once(now))}
    if not with_newly_due:
        conditions[Work.NEWLY_DUE] = "0 = 1"
    return "select " + ", ".join(f"case when {conditions[work]} then 1 else 0 end" for work in Work)


def _conditions(dialect: Dialect, now: str) -> Mapping[Work, str]:
    due = f"select 1 from worker_parts{dialect.by_partial_index('worker_parts_due')} where state = 0"
    doubt = "select 1 from worker_parts where state = 6"
    waiting = f"select 1 from worker_parts{dialect.by_index('worker_parts_waiting')} where waits_on is not null"
    parked = dialect.join("worker_parts p", "worker_parts_due_by_state")
    return {
        Work.NEWLY_DUE: f"exists ({due} and not_before > :since and not_before <= {now} and offered_until is null)",
        Work.DUE: f"exists ({due} and not_before <= {now})",
        Work.OPEN: f"exists ({due}) or exists ({doubt})",
        Work.PROCESSES: "(select count(*) from worker_processes where ended_at is null) > 1",
        Work.ORPHANS: (
            f"exists (select 1 from worker_parts where state = 1 and deadline_at < {now} - :overdue)"
            " or exists (select 1 from worker_parts p join worker_processes w on w.id = p.incarnation"
            " and w.ended_at is not null where p.state = 1)"
        ),
        Work.DOUBTFUL: f"exists ({doubt} and not_before <= {now})",
        Work.EXPIRED: (
            f"exists (select 1 from worker_parts where state = 0 and expires_at is not null and expires_at <= {now})"
        ),
        Work.WAITING: f"exists ({waiting} and state = 0 and not_before <= {now})",
        Work.RESUMED: (
            f"exists (select 1 from worker_pauses z{parked} on p.state = 0 and p.not_before = z.parked_until"
            " where z.ended_at is not null)"
        ),
        Work.ORDERS: "exists (select 1 from worker_orders)",
        Work.EVENTS: (
            f"exists (select 1 from worker_events where state = 0 and due_at <= {now})"
            " or exists (select 1 from worker_events where holder is not null)"
        ),
        Work.UNINDEXED: "exists (select 1 from worker_unindexed)",
        Work.COUNTS: "exists (select 1 from worker_counts)",
        Work.TOKENS: f"exists (select 1 from worker_lanes where parked = true and cause = '{Cause.TOKEN.value}')",
    }
