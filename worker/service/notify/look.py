"""What is wrong now, as alerts: read from the outbox with the queries of the metrics, none of which grows with it.

Decides neither how long a cause must stand nor who is told. Names accounts, channels, queues and processes, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection

from worker.delivery.scheduler.relay import LEASE
from worker.domain.callbacks.hook import EventState
from worker.domain.job import Priority
from worker.domain.pacing.lane import Standing, standing
from worker.domain.state import PartState
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.lanes import list_lanes
from worker.outbox.lanes.processes import Process, QueueName, living, unusable_accounts_told
from worker.outbox.upkeep import gauges
from worker.outbox.upkeep.alerts import set_aside_lately, without_callbacks
from worker.reporting.standstill import standing_still
from worker.service.notify.judge import Found, Situation

OPEN_S = 900
"""Seconds after its `due_at` from which on an open job that is no bulk is told of."""
CLOCK_S = 90
"""Seconds between the clocks that are told; callbacks are refused at 300."""
BLOCKED_S = 60
"""Seconds for which an account that carries notices may be blocked; then the next target is taken."""
_BREAKER = (Standing.BREAKER_OPEN, Standing.BREAKER_HALF_OPEN)


class Lookout:
    """Looks at one outbox."""

    def __init__(self, database: Database, *, failures: int, unknowns: int, wall_clock: Callable[[], float]):
        """`failures` in a row open a breaker; so many `unknowns` of an account are not told."""
        self._database, self._failures, self._unknowns = database, failures, unknowns
        self._wall_clock = wall_clock

    def look(self) -> Situation:
        """What is wrong now; raises when the outbox cannot be read."""
        with self._database.reading() as connection:
            now = read_now(connection, self._database.now)
            found = {*self._processes(connection), *self._parts(connection, now)}
            if abs(now / SECOND - self._wall_clock()) > CLOCK_S:
                found.add(("ClocksApart", ""))
            found |= {("CallbacksStopped", account) for account in without_callbacks(connection, now)}
            if gauges.hook_events(connection)[EventState.PARKED]:
                found.add(("HooksFailed", ""))
            rows = list_lanes(connection, self._database.now, None)
            found |= {("SetAside", account) for account in set_aside_lately(connection, now)}
            found |= {("StandingStill", one.account) for one in standing_still(connection, self._database.now)}
        return Situation(frozenset({*found, *self._lanes(rows)}), unfit=frozenset(_blocked(rows)))

    def _processes(self, connection: Connection) -> Iterator[Found]:
        alive = living(connection, self._database.now)
        fresh = [one for one in alive if one.fresh]
        if not fresh or not gauges.lease_is_held(connection, self._database.now, LEASE):
            yield "NothingIsDelivered", ""
        for queue in (QueueName.URGENT, QueueName.NORMAL):
            if fresh and not any(queue in one.queues for one in fresh):
                yield "QueueWithoutWorkers", queue.value
        for one in alive:
            if not one.fresh:
                yield "ProcessesSilent", _told(one)
                continue
            if one.health.wrong:
                yield "WorkerUnhealthy", _told(one)
            if one.health.hindered:
                yield "WorkerHindered", _told(one)
        yield from (("AccountUnusable", account) for account in unusable_accounts_told(alive))

    def _parts(self, connection: Connection, now: int) -> Iterator[Found]:
        for (account, priority), due_at in gauges.oldest_open(connection, self._database.now).items():
            if priority != Priority.BULK and now - due_at > OPEN_S * SECOND:
                yield "JobsStayOpen", account
        for (account, state), count in gauges.called_parts(connection).items():
            if state is PartState.UNKNOWN and count > self._unknowns:
                yield "PartsUnknown", account

    def _lanes(self, rows: list[dict[str, Any]]) -> Iterator[Found]:
        for row in rows:
            stands = standing(row, self._failures)
            if stands is Standing.PARKED:
                yield "AccountParked" if row["lane"] == row["account"] else "LaneParked", row["account"]
            elif stands in _BREAKER:
                yield "BreakerStaysOpen", row["account"]


def _blocked(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from (row["account"] for row in rows if row["blocked_until"] - row["now"] > BLOCKED_S * SECOND)


def _told(process: Process) -> str:
    return f"{process.host} {process.pid}"
