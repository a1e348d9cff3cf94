"""What stands still, and why: parts that are due on open lanes, while no part of their lane has moved for a minute.

The one judgement of it, which `worker health`, `worker doctor`, `worker why`, the metrics, the notices and the console
read. Lanes that are blocked, parked or paused do not stand still, nor do parts that wait for others or for a time, nor
lanes that wait for their turn while other lanes of their account move. Without a part that is late it costs one look at
an index, else one step for each lane with due parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from worker.domain.job import Kind, Priority
from worker.domain.pacing.lane import account_of
from worker.outbox.engine.clock import SECOND, instant
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.order_queue import out_of_turn
from worker.outbox.lanes.full_scan import START, Place, any_due_since, places_with_due
from worker.outbox.lanes.lanes import list_lanes
from worker.outbox.lanes.offering import Head, head_of_lane, jobs_behind, some_paused
from worker.outbox.lanes.pauses import paused_among
from worker.outbox.lanes.processes import (
    Process,
    QueueName,
    alive,
    hindrance,
    holder_of,
    moved_lately,
    unusable_accounts_told,
)

AFTER_S = 60.0
"""Seconds after which a part that is due, and whose lane does not move, stands still."""
SOON_S = 5.0
"""The same for a single job, where the cause is known."""
SLICE, MOST = 1_000, 10_000
"""Places (a lane and a priority) with due parts that are looked through at a time, and in all."""
LOOKS = 100
"""Places whose first parts are read at most, and so many parts of each."""
RELAY = "relay"
"""The lease of the process that offers parts."""


class StandstillCause(StrEnum):
    """Why parts stand still."""

    NO_WORKER = "no_worker"
    """No worker process is alive."""
    NO_LEADER = "no_leader"
    """No process can offer parts to the others."""
    NO_CONSUMER = "no_consumer"
    """No process takes from their queue."""
    ACCOUNT = "account"
    """No process can use their account."""
    LEADER = "leader"
    """Something is wrong with the process that offers them."""
    PROCESS = "process"
    """Something is wrong with a process that takes from their queue."""
    NOT_TAKEN = "not_taken"
    """They are offered, and nothing is known of what keeps the processes from sending them."""
    UNKNOWN = "unknown"
    """They are not offered, and nothing is known of what keeps the leader from it."""


UNEXPLAINED = frozenset({StandstillCause.NOT_TAKEN, StandstillCause.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Standstill:
    """Parts of one account that stand still for one cause."""

    account: str
    cause: StandstillCause
    text: str
    """The cause, in a sentence."""
    remedy: str
    """What to do, or where to look."""
    since: datetime
    """Since when the first of them has been due."""
    lanes: frozenset[str]
    """Their lanes, a hundred of them at most."""


def standing_still(
    connection: Connection,
    now_sql: str,
    *,
    only: Collection[str] | None = None,
    known_after_s: float = AFTER_S,
) -> list[Standstill]:
    """What stands still now, the longest first. `only`: of these lanes, as their parts have them; None: of all.

    `known_after_s`: seconds after which parts stand still whose cause is known; the others do after a minute.
    """
    if not any_due_since(connection, now_sql, int(known_after_s * SECOND)):
        return []
    look = _Look(connection, now_sql, known_after_s)
    closed = {
        row["lane"]
        for row in list_lanes(connection, now_sql, None)
        if row["parked"] or row["blocked_until"] > row["now"]
    }
    found: dict[tuple[str, StandstillCause, str], Standstill] = {}
    looks = 0
    for lane, priority, since in _places(connection, now_sql, look.late):
        if (only is not None and lane not in only) or closed & {lane, account_of(lane)}:
            continue
        if looks == LOOKS:
            break
        moves = look.may_wait(lane, priority)
        if known_after_s < AFTER_S or not moves:
            looks += 1
            for one in look.judge(lane, priority, since, moves=moves):
                key = one.account, one.cause, one.text
                known = found.get(key, one)
                found[key] = replace(known, since=min(known.since, one.since), lanes=known.lanes | one.lanes)
    return sorted(found.values(), key=lambda one: one.since)


def standing_now(connection: Connection, now_sql: str, only: Collection[str]) -> dict[str, Standstill]:
    """What keeps parts of these lanes from moving, by lane: soon, where the cause is known, else after a minute."""
    found = standing_still(connection, now_sql, only=only, known_after_s=SOON_S)
    return {lane: one for one in reversed(found) for lane in one.lanes}


def _places(connection: Connection, now_sql: str, before: int) -> Iterator[tuple[str, int, int]]:
    """(key of a lane, priority, instant) of those whose first part has been due since an instant before `before`."""
    after: Place | None = START
    seen = 0
    while after is not None and seen < MOST:
        places, after = places_with_due(connection, now_sql, after, SLICE)
        seen += SLICE
        yield from (place for place in places if place[2] <= before)


class _Look:
    """One look at processes and lanes."""

    def __init__(self, connection: Connection, now_sql: str, known_after_s: float):
        self._connection, self._now_sql = connection, now_sql
        now = read_now(connection, now_sql)
        self.late, self._very_late = now - int(known_after_s * SECOND), now - int(AFTER_S * SECOND)
        """The instants before which parts must be due that stand still for a known cause, and for any."""
        self._processes = alive(connection, now_sql)
        leader = holder_of(connection, now_sql, RELAY)
        self._leader = next((one for one in self._processes if one.id == leader), None)
        self._has_leader = leader is not None
        self._moved = moved_lately(connection, now_sql, AFTER_S)
        self._moving = {account_of(lane) for lane in self._moved}
        self._unusable = unusable_accounts_told(self._processes)
        self._pauses = some_paused(connection)

    def may_wait(self, lane: str, priority: int) -> bool:
        """True for a lane that moves, or that waits for its turn while others of its account move."""
        if priority == Priority.URGENT and not self._takers(priority, is_file=False):
            return False
        return lane in self._moved or (account_of(lane) in self._moving and self._of_all() is None)

    def judge(self, lane: str, priority: int, since: int, *, moves: bool) -> Iterator[Standstill]:
        """What stands still at the head of a lane, if anything does; of one that `moves`, for a known cause alone."""
        connection = self._connection
        head = head_of_lane(connection, self._now_sql, lane, priority, LOOKS)
        jobs = jobs_behind(connection, [*head.ids, *head.out])
        # A `due_at` in the past makes no new job late.
        ids = [part for part in (*head.ids, *head.out) if part in jobs and jobs[part][1] <= self.late]
        waiting = set(out_of_turn(connection, ids)) if ids else set()
        paused = paused_among(connection, ids) if ids and self._pauses else {}
        for part in (part for part in ids if part not in waiting and part not in paused):
            kind, made_at = jobs[part]
            cause, text, remedy = self._cause(account_of(lane), priority, head, is_file=kind == Kind.UPLOAD)
            due_at = max(since, made_at)
            if cause not in UNEXPLAINED or (due_at <= self._very_late and not moves):
                yield Standstill(account_of(lane), cause, text, remedy, instant(due_at), frozenset({lane}))
                return

    def _cause(self, account: str, priority: int, head: Head, *, is_file: bool) -> tuple[StandstillCause, str, str]:
        takers = self._takers(priority, is_file=is_file)
        wanted = QueueName.URGENT if priority == Priority.URGENT else QueueName.NORMAL
        if general := self._of_all():
            return general
        if not takers:
            text = f"no worker process takes from the queue {wanted}"
            return StandstillCause.NO_CONSUMER, text, f"start one with the queue {wanted} in its `-Q`"
        count, why = self._unusable.get(account, (0, ""))
        if count >= len(takers):
            text = f"no worker process can use the account: {why}"
            return StandstillCause.ACCOUNT, text, "`worker doctor` says what to change"
        if ill := next(_wrongs(takers), None):
            return StandstillCause.PROCESS, ill, "`worker health` there says more; restart it"
        if head.out or head.again:
            text = "they are offered, and no cause is known why no worker process sends them"
            return StandstillCause.NOT_TAKEN, text, f"look into the logs of {_names(takers)}"
        text = "no cause is known why they are not offered"
        leading = [self._leader] if self._leader else self._processes
        return StandstillCause.UNKNOWN, text, f"look into the log of {_names(leading)}, and restart it"

    def _of_all(self) -> tuple[StandstillCause, str, str] | None:
        """A cause that holds for all parts; None: there is none."""
        if not self._processes:
            return StandstillCause.NO_WORKER, "no worker process is alive", "start `worker up` or the Procfile's lines"
        if not self._has_leader:
            told = "; ".join([*_hindrances(self._processes), *_wrongs(self._processes)])
            told = told or "none has the relay's lease"
            return StandstillCause.NO_LEADER, f"no worker process can offer them: {told}", "`worker doctor` says more"
        leader = [self._leader] if self._leader else []
        if told := next(iter([*_wrongs(leader), *_hindrances(leader)]), ""):
            return StandstillCause.LEADER, told, "its log says more; restart it, and another one leads"
        return None

    def _takers(self, priority: int, *, is_file: bool) -> list[Process]:
        """The processes that take such parts, sooner or later; urgent ones come into no other queue."""
        own = {Priority.URGENT: QueueName.URGENT, Priority.BULK: QueueName.BULK}.get(Priority(priority))
        queues = {own} if own is QueueName.URGENT else {own, QueueName.NORMAL, QueueName.FILES if is_file else None}
        return [one for one in self._processes if queues & one.queues]


def _wrongs(processes: Sequence[Process]) -> Iterator[str]:
    yield from (f"worker {one.host} {one.pid}: {told}" for one in processes for told in one.health.wrong)


def _hindrances(processes: Sequence[Process]) -> list[str]:
    """What keeps each of them from the work of the relay."""
    found = [(one, hindrance(RELAY, one.health.hindered[RELAY])) for one in processes if RELAY in one.health.hindered]
    return [f"worker {one.host} {one.pid}: {told}" for one, told in found]


def _names(processes: Sequence[Process]) -> str:
    return ", ".join(sorted({f"worker {one.host} {one.pid}" for one in processes})[:3])
