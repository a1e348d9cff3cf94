"""The metrics for Prometheus, read from the outbox.

Labels hold names of ours (accounts, states, limits, kinds, codes), never a lane, a recipient, a text or anything from a
vendor. Gauges are counted anew from the tables with each reading; counters are sums that the tables keep.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TypeVar, get_args

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.channels.registry import channel, names, sorted_out
from worker.config.accounts import AccountSource
from worker.delivery.scheduler.relay import LEASE
from worker.domain.job import Priority
from worker.domain.outcome import ContradictionSort
from worker.domain.pacing.lane import Standing, Step, standing
from worker.domain.pause import Pause
from worker.domain.state import JobState, PartState
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.counting import BETWEEN, exemplars, totals
from worker.outbox.engine.database import Database
from worker.outbox.lanes import lanes
from worker.outbox.lanes.pauses import standing_pauses
from worker.outbox.lanes.processes import Process, QueueName, living, unusable_accounts_told
from worker.outbox.upkeep import gauges
from worker.reporting.limit_usage import usages
from worker.reporting.standstill import StandstillCause, standing_still
from worker.service.web.counters import build_info, counters

T = TypeVar("T")

log = structlog.get_logger()

RECENT_S = 600
FEW = 50
"""Configured accounts up to which all of them are told of; of more, those that had anything to tell."""
_PRIORITIES = [priority.name.lower() for priority in Priority]
_STATES = [state.label for state in (PartState.QUEUED, PartState.SENDING, PartState.UNKNOWN)]


class Series:
    """The series of one gauge: each that was told once is told of again, and falls to 0 instead of vanishing."""

    def __init__(self, name: str, text: str, *labels: str):
        self._name, self._text, self._labels = name, text, labels
        self._told: set[tuple[str, ...]] = set()

    def of(self, found: Mapping[tuple[str, ...], float], expected: Iterable[tuple[str, ...]] = ()) -> Metric:
        """The metric; `expected` are series that are told of although nothing was found."""
        self._told.update(found, expected)
        told = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for labels in sorted(self._told):
            told.add_metric(labels, found.get(labels, 0))
        return told


class Outbox(Collector):
    """The gauges and counters of an outbox; read by one thread at a time."""

    def __init__(self, database: Database, accounts: AccountSource, breaker_failures: int):
        self._database, self._accounts, self._failures = database, accounts, breaker_failures
        self._guard = threading.Lock()
        self._backlog = Series("worker_backlog_parts", "Parts that are due.", "account", "priority")
        self._oldest = Series(
            "worker_backlog_oldest_seconds", "How long the first due part has been due.", "account", "priority"
        )
        self._open = Series(
            "worker_open_oldest_seconds",
            "How long the longest due of the open jobs has been due, however often it was put off.",
            "account",
            "priority",
        )
        self._parts = Series("worker_parts", "Parts that can still move.", "account", "state")
        self._recent = Series(
            "worker_jobs_recent",
            f"Jobs asked for in the last {RECENT_S} s by the state they are in, of the newest 10,000.",
            "account",
            "kind",
            "state",
        )
        stands = "Lanes, and whole accounts, on which something stands."
        self._lanes = Series("worker_lanes", stands, "account", "scope", "standing")
        self._pauses = Series("worker_pauses", "Pauses that stand; scope=job: jobs that are held.", "account", "scope")
        stuck = "Lanes on which parts are due and have not moved for a minute, at least so many."
        self._standstills = Series("worker_standing_still", stuck, "account", "cause")
        self._unusable = Series("worker_account_unusable", "Living processes that cannot use the account.", "account")
        self._told: set[str] = set()
        """Accounts whose limits are told of."""
        self._used: set[tuple[str, str, str]] = set()
        """Limits that were in use since this process began; of many accounts no others are told of."""

    def collect(self) -> Iterator[Metric]:
        """All metrics; while the database is away, that it is."""
        read: list[Metric] = []
        with self._guard:
            try:
                with self._database.reading() as connection:
                    read = list(self._read(connection))
            except SQLAlchemyError as error:
                log.warning("database_away", error=type(error).__name__)
            yield from reading_of(read)

    def _read(self, connection: Connection) -> Iterator[Metric]:
        now = int(connection.exec_driver_sql(f"select {self._database.now}").scalar_one())
        yield _one("worker_database_clock_seconds", "The database's clock, in seconds since 1970.", now / SECOND)
        configured = self._accounts.names()
        # Of thousands most have nothing to do, and a reading is not to cost more for them.
        few = list(configured) if len(configured) <= FEW else []
        self._told.update(few)
        yield from self._queue(connection, few, now)
        recent = gauges.recent_jobs(connection, now - RECENT_S * SECOND)
        yield self._recent.of(
            {(account, kind, JobState(state).label): n for (account, kind, state), n in recent.items()}
        )
        stand = self._standing(connection)
        yield self._lanes.of(stand, product(few, ("account", "lane"), map(str, Standing)))
        still = self._standing_still(connection)
        yield self._standstills.of(still, product(few, map(str, StandstillCause)))
        yield self._pauses.of(Counter(map(_scope_of, standing_pauses(connection))))
        yield from self._limits(connection, few)
        yield from self._processes(connection, few)
        yield _hook_events(connection)
        yield from self._counters(connection, few)

    def _queue(self, connection: Connection, few: Sequence[str], now: int) -> Iterator[Metric]:
        queue = gauges.queue(connection, self._database.now)
        oldest = gauges.oldest_open(connection, self._database.now)
        called = gauges.called_parts(connection)
        due = {(account, _PRIORITIES[n]): one for (account, n), one in queue.due.items()}
        places = list(product(few, _PRIORITIES))
        yield self._backlog.of({place: one.due for place, one in due.items()}, places)
        yield self._oldest.of({place: max(0, now - one.oldest_at) / SECOND for place, one in due.items()}, places)
        since = {(account, _PRIORITIES[n]): at for (account, n), at in oldest.items()}
        # A backlog that is too long to be read whole is at least as old as its first part.
        since |= {place: min(since.get(place, now), one.oldest_at) for place, one in due.items()}
        yield self._open.of({place: max(0, now - at) / SECOND for place, at in since.items()}, places)
        parts: dict[tuple[str, ...], float] = {(account, "queued"): n for account, n in queue.parts.items()}
        parts |= {(account, state.label): n for (account, state), n in called.items()}
        yield self._parts.of(parts, product(few, _STATES))
        self._told.update(account for account, _ in parts)
        capped = "1 while a count of queued or due parts may be 10,000 and mean that there are at least so many."
        yield _one("worker_count_capped", capped, int(queue.is_capped))

    def _standing(self, connection: Connection) -> Counter[tuple[str, ...]]:
        found: Counter[tuple[str, ...]] = Counter()
        for row in lanes.list_lanes(connection, self._database.now, None):
            scope = "account" if row["lane"] == row["account"] else "lane"
            found[row["account"], scope, str(standing(row, self._failures))] += 1
        return found

    def _standing_still(self, connection: Connection) -> Counter[tuple[str, ...]]:
        found: Counter[tuple[str, ...]] = Counter()
        for one in standing_still(connection, self._database.now):
            found[one.account, str(one.cause)] += len(one.lanes)
        return found

    def _limits(self, connection: Connection, few: Sequence[str]) -> list[Metric]:
        labels = ("account", "limit", "of")
        amount = _gauge("worker_limit_amount", "Units of a limit's window.", *labels)
        used = _gauge("worker_limit_used", "Units that may still count at the vendor.", *labels)
        room = _gauge("worker_limit_room", "Units that may be used now.", *labels)
        # Those that are not usable are told by `worker_account_unusable`, or not known here.
        usable, _ = sorted_out(self._accounts, sorted(self._told))
        accounts = [(channel(account.channel), account) for account in usable.values()]
        found = usages(connection, self._database.now, accounts)
        for name, rows in found.items():
            for row in rows:
                if row.used is None or row.room is None:
                    continue
                which = (name, row.counted.limit.name, row.counted.of)
                if name not in few and not row.used and which not in self._used:
                    continue
                self._used.add(which)
                amount.add_metric(which, row.counted.limit.amount)
                used.add_metric(which, row.used)
                room.add_metric(which, row.room)
        return [amount, used, room]

    def _processes(self, connection: Connection, few: Sequence[str]) -> Iterator[Metric]:
        alive = living(connection, self._database.now)
        unusable = unusable_accounts_told(alive)
        yield self._unusable.of({(name,): count for name, (count, _) in unusable.items()}, ((name,) for name in few))
        fresh = [process for process in alive if process.fresh]
        relay = gauges.lease_is_held(connection, self._database.now, LEASE)
        yield _one("worker_relay_active", "1 while a process holds the relay's lease.", int(relay))
        yield _one("worker_processes", "Worker processes whose heartbeat is fresh.", len(fresh))
        hindered = sum(bool(process.health.hindered) for process in fresh)
        yield _one("worker_processes_hindered", "Those that cannot do a work of theirs, such as publish.", hindered)
        yield _one("worker_processes_silent", "Those that neither beat nor ended.", len(alive) - len(fresh))
        yield _threads(fresh)

    def _counters(self, connection: Connection, few: Sequence[str]) -> Iterator[Metric]:
        found = totals(connection)
        return counters({**dict.fromkeys(map(BETWEEN.join, self._from_zero(few)), 0), **found}, exemplars(connection))

    def _from_zero(self, few: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """The counters that alerts wait for: Prometheus sees no increase in a series that begins with its first 1."""
        yield from product(("lane_events",), few, map(str, Step))
        yield from product(("lane_events",), self._told, (Step.STRUCK, Step.SET_ASIDE))
        yield from product(("token_fetches",), self._told, ("refused",))
        yield from product(("drift",), names(), get_args(ContradictionSort))


def reading_of(read: Sequence[Metric]) -> list[Metric]:
    """All metrics of one reading; with nothing read, that the database is away."""
    up = "1 when the database answered; else nothing else is told."
    return [_one("worker_database_up", up, 1 if read else 0), build_info(), *read]


def _threads(fresh: Sequence[Process]) -> Metric:
    told = _gauge("worker_threads", "Sender threads of the living that take from a queue.", "queue")
    for queue in QueueName:
        told.add_metric([queue], sum(process.threads for process in fresh if queue in process.queues))
    return told


def _scope_of(pause: Pause) -> tuple[str, ...]:
    return pause.account or "", " ".join(pause.scope()) or "everything"


def _hook_events(connection: Connection) -> Metric:
    told = _gauge("worker_hook_events", "Events the application's hooks have not heard, 10,000 at most.", "state")
    for state, count in gauges.hook_events(connection).items():
        told.add_metric([state.label], count)
    return told


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
