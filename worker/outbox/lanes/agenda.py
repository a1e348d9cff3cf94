"""Tells the loops of a process what work there is in the outbox. One statement asks for all kinds, each by an index.

A loop without work runs no query of its own. If the last answer is too old, the loop queries the outbox itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache

from worker.domain.pacing.lane import Cause
from worker.outbox.engine.clock import SECOND, SKEW_US
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import Dialect
from worker.outbox.engine.sql import fetch

OVERDUE_US = 120 * SECOND
"""Microseconds after a call's deadline after which its part is in doubt. Its answer may have to wait for the database.
"""
MAX_AGE_S = 0.5
"""Seconds for which an answer is used."""
MIN_REST_RATIO = 20
"""The relay queries the agenda only after a rest of this many times the duration of the last query."""
NEVER = float("-inf")


class Work(StrEnum):
    """A kind of work that a loop may have to do."""

    NEWLY_DUE = "newly due"
    """A part has become due since the given instant and is not offered."""
    DUE = "due"
    """A queued part is due, offered or not."""
    OPEN = "open"
    """A part is queued or in doubt."""
    PROCESSES = "processes"
    """More than one process has not ended. One of them may have died."""
    ORPHANS = "orphans"
    """A part is marked by a process that has ended, or for longer than a call can last."""
    DOUBTFUL = "doubtful"
    """A part is in doubt, and it is time to repeat its call, search for it or hold it, or the clock was set back."""
    EXPIRED = "expired"
    """A queued part is past its `expires_at`."""
    WAITING = "waiting"
    """A part waits for another job, and it is time to check again."""
    RESUMED = "resumed"
    """A part still waits for a pause that has ended."""
    ORDERS = "orders"
    """There are orders. One of them may have stopped."""
    EVENTS = "events"
    """An event for hooks is due, or its hook is running."""
    UNINDEXED = "unindexed"
    """A job that ended is not indexed yet."""
    COUNTS = "counts"
    """There are counts that are not added up yet."""
    TOKENS = "tokens"
    """An account is parked because the vendor refused its credentials."""
    FUTURE_BLOCKS = "future blocks"
    """A lane was blocked in the future: the clock was ahead and has been set back."""


class Agenda:
    """The work in the outbox, as one process has read it lately. Thread-safe."""

    def __init__(self, database: Database, monotonic: Callable[[], float]):
        self._database, self._monotonic = database, monotonic
        self._latest: tuple[float, frozenset[Work]] = NEVER, frozenset()
        self._refresh_s = 0.0
        self.now = 0
        """The database's clock at the last refresh, in microseconds."""

    def refresh(self, since: int | None = None) -> frozenset[Work]:
        """Reads what work there is. With `since`, in microseconds, it also asks what has become due since then."""
        database, started_at = self._database, self._monotonic()
        sql = _statement(database.dialect, database.now, since is not None)
        values = {"overdue": OVERDUE_US} | ({} if since is None else {"since": since})
        with database.reading() as connection:
            [(self.now, *answers)] = fetch(connection, sql, values)
        work = frozenset(work for work, answer in zip(Work, answers, strict=True) if answer)
        # Counted from before the statement, because its answer may lack work that came meanwhile.
        self._latest, self._refresh_s = (started_at, work), self._monotonic() - started_at
        return work

    def is_refresh_cheap(self) -> bool:
        """Returns whether a query now would cost next to nothing, judging by the last one."""
        # While another transaction stays open for hours, an index may keep an entry for every part sent meanwhile.
        return self._monotonic() - self._latest[0] >= MIN_REST_RATIO * self._refresh_s

    def recent(self) -> frozenset[Work] | None:
        """Returns the last answer, or None if it is too old."""
        started_at, work = self._latest
        return work if self._monotonic() - started_at <= MAX_AGE_S else None

    def lacks(self, work: Work) -> bool:
        """Returns whether a moment ago there was no such work. Returns False too if the last answer is too old."""
        recent = self.recent()
        return recent is not None and work not in recent

    def run_unless_idle(self, work: Work, run_once: Callable[[], float], rest_s: float) -> float:
        """Runs a loop's turn if there may be work for it. Returns the seconds until the next turn."""
        return rest_s if self.lacks(work) else run_once()


def marked_later_than(instant: str) -> str:
    """Returns the condition for a part that is not held and whose first mark is later than the SQL `instant`."""
    # No part is due before its mark. So the index by due time has nearly always nothing to show.
    return f"not_before > {instant} and first_marked_at > {instant}"


@lru_cache(maxsize=8)
def _statement(dialect: Dialect, now: str, with_newly_due: bool) -> str:
    now = dialect.planned_now(now)
    conditions = {**_conditions(dialect, now)}
    if not with_newly_due:
        conditions[Work.NEWLY_DUE] = "0 = 1"
    return f"select {now}, " + ", ".join(f"case when {conditions[work]} then 1 else 0 end" for work in Work)


def _conditions(dialect: Dialect, now: str) -> Mapping[Work, str]:
    # States of parts: 0 queued, 1 sending, 6 unknown. With bound values no partial index is used.
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
        Work.DOUBTFUL: (
            f"exists ({doubt} and not_before <= {now})"
            f" or exists (select 1 from worker_parts{dialect.force_index('worker_parts_due_by_state')} where state = 6"
            f" and {marked_later_than(f'{now} + {SKEW_US}')})"
        ),
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
        Work.FUTURE_BLOCKS: f"exists (select 1 from worker_lanes where blocked_at > {now} + {SKEW_US})",
    }
