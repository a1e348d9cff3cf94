"""Finds standstills: due parts on open lanes while no part of their lane has moved for a minute; and their causes.

This is the only place that decides about it: `worker health`, `worker doctor`, `worker why`, the metrics, the notices
and the console read it. Lanes that are blocked, parked or paused do not stand still, nor do parts that wait for others
or for a time, nor lanes that wait for their turn while other lanes of their account move. If no part is late it costs
one index lookup, else one step for each lane with due parts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from worker.domain.job import JobKind, Priority
from worker.domain.pacing.lane import account_of
from worker.outbox.engine.clock import SECOND, instant
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.order_queue import parts_not_first
from worker.outbox.lanes.full_scan import first_queues_with_due, is_any_due_for
from worker.outbox.lanes.lanes import list_lanes
from worker.outbox.lanes.offering import DueBatch, is_anything_paused, jobs_of_parts, read_due_batch
from worker.outbox.lanes.pauses import paused_parts
from worker.outbox.lanes.processes import (
    BROKER,
    RELAY,
    Process,
    alive_processes,
    hindrance,
    lease_holder,
    queues_serving,
    recently_used_lanes,
    unusable_account_counts,
)
from worker.reporting.problem_kinds import KINDS

AFTER_S = 60.0
"""Seconds after which a part that is due, and whose lane does not move, stands still."""
SOON_S = 5.0
"""The same for a single job whose cause is known."""
MAX_QUEUES = 10_000
"""Most pairs of lane and priority that are examined."""
MAX_READS = 100
"""Most pairs whose first parts are read, and most parts that are read of each."""


class StandstillCause(StrEnum):
    """Why parts stand still."""

    NO_WORKER = "no_worker"
    """No worker process is alive."""
    BROKER = "broker"
    """No process can publish to the broker."""
    NO_LEADER = "no_leader"
    """No process can offer parts to the workers."""
    NO_CONSUMER = "no_consumer"
    """No process takes from their queue."""
    ACCOUNT = "account"
    """No process can use their account."""
    LEADER = "leader"
    """Something is wrong with the process that offers them."""
    PROCESS = "process"
    """Something is wrong with a process that takes from their queue."""
    NOT_TAKEN = "not_taken"
    """The parts are offered, and nothing is known that keeps the processes from sending them."""
    UNKNOWN = "unknown"
    """The parts are not offered, and nothing is known that keeps the leader from offering them."""


OF_EVERYTHING = frozenset({StandstillCause.NO_WORKER, StandstillCause.BROKER, StandstillCause.NO_LEADER})
"""Causes that stop every account, and are problems of their own."""
UNEXPLAINED = frozenset({StandstillCause.NOT_TAKEN, StandstillCause.UNKNOWN})
_Cause = tuple[StandstillCause, str, str]
"""The cause, a sentence about it, and what to do."""


@dataclass(frozen=True, slots=True)
class Standstill:
    """Parts of one account that stand still for one cause."""

    account: str
    cause: StandstillCause
    text: str
    """The cause as a sentence."""
    remedy: str
    """What to do, or where to look."""
    since: datetime
    """Since when the first of the parts has been due."""
    lanes: frozenset[str]
    """The lanes of the parts, at most a hundred."""


def find_standstills(
    connection: Connection,
    now_sql: str,
    *,
    only: Collection[str] | None = None,
    known_after_s: float = AFTER_S,
) -> list[Standstill]:
    """Returns the standstills, the longest first. `only` limits them to these lanes, named as in their parts.

    `known_after_s` is the time in seconds after which parts with a known cause stand still; parts without one do after
    a minute.
    """
    if not is_any_due_for(connection, now_sql, int(known_after_s * SECOND)):
        return []
    diagnosis = _Diagnosis(connection, now_sql, known_after_s)
    lanes = list_lanes(connection, now_sql, None)
    closed = {row["lane"] for row in lanes if row["parked"] or row["blocked_until"] > row["now"]}
    standstills: dict[tuple[str, StandstillCause, str], Standstill] = {}
    reads = 0
    for lane, priority, since in first_queues_with_due(connection, now_sql, MAX_QUEUES):
        if since > diagnosis.late:
            continue
        moves = diagnosis.may_wait(lane, priority)
        is_left_out = only is not None and lane not in only
        if is_left_out or closed & {lane, account_of(lane)} or (moves and known_after_s == AFTER_S):
            continue
        if reads == MAX_READS:
            break
        reads += 1
        if standstill_here := diagnosis.head_of(lane, priority, since, moves=moves):
            key = standstill_here.account, standstill_here.cause, standstill_here.text
            merged = standstills.get(key, standstill_here)
            standstills[key] = replace(
                merged, since=min(merged.since, standstill_here.since), lanes=merged.lanes | standstill_here.lanes
            )
    return sorted(standstills.values(), key=lambda standstill: standstill.since)


def broker_away(processes: Collection[Process]) -> str:
    """Returns why none of these processes can publish to the broker, or an empty string."""
    reasons = [process.health.hindered.get(BROKER, "") for process in processes]
    return reasons[0] if reasons and all(reasons) else ""


def standstills_by_lane(connection: Connection, now_sql: str, only: Collection[str]) -> dict[str, Standstill]:
    """Returns what stops parts of these lanes, by lane: soon if the cause is known, else after a minute."""
    standstills = find_standstills(connection, now_sql, only=only, known_after_s=SOON_S)
    return {lane: standstill for standstill in reversed(standstills) for lane in standstill.lanes}


class _Diagnosis:
    """Finds causes from one reading of the processes."""

    def __init__(self, connection: Connection, now_sql: str, known_after_s: float):
        self._connection, self._now_sql = connection, now_sql
        now = read_now(connection, now_sql)
        self.late, self._very_late = now - int(known_after_s * SECOND), now - int(AFTER_S * SECOND)
        """The instants before which parts must be due that stand still for a known cause, and for any."""
        self._processes = alive_processes(connection, now_sql)
        self._leader_id = lease_holder(connection, now_sql, RELAY)
        self._moved = recently_used_lanes(connection, now_sql, AFTER_S)
        self._moving = {account_of(lane) for lane in self._moved}
        self._unusable = unusable_account_counts(self._processes)
        self._pauses = is_anything_paused(connection)

    def may_wait(self, lane: str, priority: int) -> bool:
        """Returns True for a lane that moves, or that waits for its turn while other lanes of its account move."""
        if priority == Priority.URGENT and not self._consumers(priority, is_file=False):
            return False
        return lane in self._moved or (account_of(lane) in self._moving and self._general_cause() is None)

    def head_of(self, lane: str, priority: int, since: int, *, moves: bool) -> Standstill | None:
        """Returns the standstill of the first due parts of a lane, or None. A lane that `moves` needs a known cause."""
        connection = self._connection
        head = read_due_batch(connection, self._now_sql, lane, priority, MAX_READS)
        jobs = jobs_of_parts(connection, [*head.ids, *head.in_broker])
        # A new job is not late, even if its `due_at` lies in the past.
        ids = [part for part in (*head.ids, *head.in_broker) if part in jobs and jobs[part][1] <= self.late]
        waiting = {*parts_not_first(connection, ids)} if ids else set[str]()
        paused = paused_parts(connection, ids) if ids and self._pauses else {}
        for part in (part for part in ids if part not in waiting and part not in paused):
            kind, created_at = jobs[part]
            cause, text, remedy = self._cause(account_of(lane), priority, head, is_file=kind == JobKind.UPLOAD)
            due_at = max(since, created_at)
            if cause not in UNEXPLAINED or (due_at <= self._very_late and not moves):
                return Standstill(account_of(lane), cause, text, remedy, instant(due_at), frozenset({lane}))
        return None

    def _cause(self, account: str, priority: int, head: DueBatch, *, is_file: bool) -> _Cause:
        if general_cause := self._general_cause():
            return general_cause
        consumers = self._consumers(priority, is_file=is_file)
        if not consumers:
            queue, *_ = queues_serving(priority, is_file=is_file)
            text = f"no worker process takes from the queue {queue}"
            return StandstillCause.NO_CONSUMER, text, f"start one with the queue {queue} in its `-Q`"
        count, why = self._unusable.get(account, (0, ""))
        if count >= len(consumers):
            text = f"no worker process can use the account: {why}"
            return StandstillCause.ACCOUNT, text, "`worker doctor` says what to change"
        if problems := _health_problems(consumers):
            return StandstillCause.PROCESS, problems[0], "`worker health` there says more; restart it"
        if head.in_broker or head.was_offered:
            text = "they are offered to the workers, and it is not known why none sends them"
            return StandstillCause.NOT_TAKEN, text, f"look into the logs of {_names(consumers)}"
        text = "it is not known why they are not offered to the workers"
        suspects = self._leader() or self._processes
        return StandstillCause.UNKNOWN, text, f"look into the log of {_names(suspects)}, and restart it"

    def _general_cause(self) -> _Cause | None:
        """Returns a cause that holds for all parts, or None if there is none."""
        if not self._processes:
            return StandstillCause.NO_WORKER, "no worker process is alive", "start `worker up` or the Procfile's lines"
        if broker := broker_away(self._processes):
            return StandstillCause.BROKER, broker, KINDS["BrokerAway"].remedy
        if self._leader_id is None:
            why = "; ".join([*_relay_hindrances(self._processes), *_health_problems(self._processes)]) or (
                "no worker process runs the relay"
            )
            return StandstillCause.NO_LEADER, f"no worker process can offer them: {why}", "`worker doctor` says more"
        leader = self._leader()
        if problems := [*_health_problems(leader), *_relay_hindrances(leader)]:
            return StandstillCause.LEADER, problems[0], "its log says more; restart it, and another process takes over"
        return None

    def _leader(self) -> list[Process]:
        """Returns the process that offers parts, or an empty list if it is not alive any more."""
        return [process for process in self._processes if process.id == self._leader_id]

    def _consumers(self, priority: int, *, is_file: bool) -> list[Process]:
        """Returns the processes that take such parts from a queue, sooner or later."""
        queues = queues_serving(priority, is_file=is_file)
        return [process for process in self._processes if process.queues.intersection(queues)]


def _health_problems(processes: Sequence[Process]) -> list[str]:
    return [
        f"worker {process.host} {process.pid}: {problem}"
        for process in processes
        for problem in process.health.problems
    ]


def _relay_hindrances(processes: Sequence[Process]) -> list[str]:
    """Returns what keeps each process from the work of the relay."""
    hindered = [
        (process, hindrance(RELAY, process.health.hindered[RELAY]))
        for process in processes
        if RELAY in process.health.hindered
    ]
    return [f"worker {process.host} {process.pid}: {problem}" for process, problem in hindered]


def _names(processes: Sequence[Process]) -> str:
    return ", ".join(sorted({f"worker {process.host} {process.pid}" for process in processes})[:3])
