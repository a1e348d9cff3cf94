"""The metrics for Prometheus, read from the outbox with each scrape.

Labels hold names of ours (accounts, states, limits), never a lane, a recipient, a text or anything from a vendor.

All values are counted anew from the tables, except for the steps of lanes: their rows are deleted after a while, and a
counter must not fall, so this process counts those that were written since it began.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.channels.registry import channel, why_unusable
from worker.config.accounts import AccountSource
from worker.delivery.scheduler.relay import LEASE
from worker.domain.job import Priority, first_id
from worker.domain.pacing.lane import Standing, Step, standing
from worker.domain.pause import Pause
from worker.domain.state import JobState, PartState
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database, StateReader
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes import lanes
from worker.outbox.lanes.pauses import standing_pauses
from worker.outbox.lanes.processes import Process, QueueName, living, unusable_accounts_told
from worker.outbox.upkeep import gauges
from worker.reporting.limit_usage import usage

T = TypeVar("T")

log = structlog.get_logger()

RECENT_S = 600
OVERLAP_S = 600
"""Seconds read again each time: the ids of events are by the clocks of many hosts, and become visible out of order."""
PAGE = 1_000
FEW = 50
"""Configured accounts up to which all of them are told of; of more, those that had anything to tell."""


class Steps:
    """Steps of lanes since this process began, by account and step. Each is counted once, whenever it is read."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, str]] = Counter()
        self._after = ""
        self._seen: set[str] = set()

    def look(self, connection: Connection, now: int) -> None:
        """Counts new steps; those that are there at the first reading are not counted."""
        began, since = bool(self._after), first_id(now - OVERLAP_S * SECOND)
        found = list(_events_after(connection, self._after or since))
        if began:
            self.counted.update((account, what) for id, account, what in found if id not in self._seen)
        self._after = max(self._after, since)
        self._seen = {id for id in (*self._seen, *(one[0] for one in found)) if id > self._after}


def _events_after(connection: Connection, after: str | None) -> Iterator[tuple[str, str, str]]:
    while after is not None:
        page = lanes.lane_events_after(connection, after, PAGE)
        yield from page
        after = page[-1][0] if len(page) == PAGE else None


class Outbox(Collector):
    """The outbox's gauges and counters; read by one scrape at a time."""

    def __init__(self, database: Database, accounts: AccountSource, breaker_failures: int):
        self._database, self._accounts, self._failures = database, accounts, breaker_failures
        self._told: set[str] = set()
        """Accounts that had anything to tell since this process began: their values fall to 0 and do not vanish."""
        self._steps = Steps()
        self._guard = threading.Lock()
        self._state_is_up = True

    def collect(self) -> Iterator[Metric]:
        """All metrics; while the database is away, that it is, and those that need no database."""
        read: list[Metric] = []
        with self._guard:
            try:
                with self._database.reading() as connection:
                    read = list(self._read(connection))
            except SQLAlchemyError as error:
                log.warning("database_away", error=type(error).__name__)
            up = "1 when the database answered; else nothing below is told."
            yield from (_one("worker_database_up", up, 1 if read else 0), *read, self._lane_steps())

    def _of_state(self, connection: Connection, read: Callable[[StateReader], T], nothing: T) -> T:
        """What is read of the state; `nothing` while a shared one is away, which is noted."""
        try:
            with self._database.reading_state(connection) as state:
                return read(state)
        except SQLAlchemyError as error:
            if not self._database.shares_state:
                raise
            log.warning("state_database_away", error=type(error).__name__)
            self._state_is_up = False
            return nothing

    def _read(self, connection: Connection) -> Iterator[Metric]:
        now = int(connection.exec_driver_sql(f"select {self._database.now}").scalar_one())
        yield _one("worker_database_clock_seconds", "The database's clock, in seconds since 1970.", now / SECOND)
        self._state_is_up = True
        self._of_state(connection, lambda state: self._look(state, now), None)
        backlogs = gauges.backlogs(connection, self._database.now)
        oldest = gauges.oldest_open(connection, self._database.now)
        parts = gauges.parts_by_state(connection)
        recent = gauges.recent_jobs(connection, now - RECENT_S * SECOND)
        stand = self._of_state(connection, self._standing, Counter[tuple[str, str, Standing]]())
        alive = living(connection, self._database.now)
        unusable = unusable_accounts_told(alive)
        self._note((*backlogs, *oldest, *parts, *recent, *stand, *self._steps.counted, *((name,) for name in unusable)))
        yield from self._backlogs(backlogs, now)
        yield self._open(backlogs, oldest, now)
        yield self._parts(parts)
        yield _recent(recent)
        yield self._lanes(stand)
        yield _pauses(connection)
        yield from self._of_state(connection, lambda state: self._limits(connection, state), list[Metric]())
        yield self._unusable(unusable)
        yield from self._processes(connection, alive)
        yield _hook_events(connection)
        if self._database.shares_state:
            up = "1 when the shared state answered; else no call begins, and of lanes and limits nothing is told."
            yield _one("worker_state_database_up", up, int(self._state_is_up))

    def _look(self, state: StateReader, now: int) -> None:
        self._steps.look(state.connection, read_now(*state) if self._database.shares_state else now)

    def _note(self, found: Iterable[tuple[Any, ...]]) -> None:
        """Notes the accounts that the keys which were found begin with; of a few that are configured, all."""
        names = self._accounts.names()
        # Of thousands most have nothing to do, and a scrape is not to cost more for them.
        self._told.update(names if len(names) <= FEW else (), (key[0] for key in found))

    def _all(self) -> list[str]:
        return sorted(self._told)

    def _backlogs(self, found: dict[tuple[str, int], gauges.DueParts], now: int) -> Iterator[Metric]:
        due = _gauge("worker_backlog_parts", "Parts that are due, 10,000 at most.", "account", "priority")
        oldest = _gauge(
            "worker_backlog_oldest_seconds", "How long the first due part has been due.", "account", "priority"
        )
        nothing = gauges.DueParts(0, now)
        for account in self._all():
            for priority in Priority:
                known = found.get((account, priority), nothing)
                labels = [account, priority.name.lower()]
                due.add_metric(labels, known.due)
                oldest.add_metric(labels, max(0, now - known.oldest_at) / SECOND)
        return iter((due, oldest))

    def _open(
        self, backlogs: Mapping[tuple[str, int], gauges.DueParts], found: Mapping[tuple[str, int], int], now: int
    ) -> Metric:
        """The age of the oldest open job, by account and priority."""
        # A backlog that is too long to be read whole is at least as old as its first part.
        told = _gauge(
            "worker_open_oldest_seconds",
            "How long the longest due of the open jobs has been due, however often it was put off.",
            "account",
            "priority",
        )
        for account in self._all():
            for priority in Priority:
                backlog = backlogs.get((account, priority))
                since = min(found.get((account, priority), now), backlog.oldest_at if backlog else now)
                told.add_metric([account, priority.name.lower()], max(0, now - since) / SECOND)
        return told

    def _parts(self, found: Mapping[tuple[str, PartState], int]) -> Metric:
        told = _gauge("worker_parts", "Parts that can still move, 10,000 a state at most.", "account", "state")
        states = (PartState.QUEUED, PartState.SENDING, PartState.UNKNOWN)
        for account in self._all():
            for state in states:
                told.add_metric([account, state.label], found[account, state])
        return told

    def _standing(self, state: StateReader) -> Counter[tuple[str, str, Standing]]:
        found: Counter[tuple[str, str, Standing]] = Counter()
        for row in lanes.list_lanes(*state, None):
            scope = "account" if row["lane"] == row["account"] else "lane"
            found[row["account"], scope, standing(row, self._failures)] += 1
        return found

    def _lanes(self, found: Mapping[tuple[str, str, Standing], int]) -> Metric:
        told = _gauge(
            "worker_lanes", "Lanes, and whole accounts, on which something stands.", "account", "scope", "standing"
        )
        for account in self._all():
            for scope in ("account", "lane"):
                for what in Standing:
                    told.add_metric([account, scope, what], found[account, scope, what])
        return told

    def _lane_steps(self) -> Metric:
        told = CounterMetricFamily(
            "worker_lane_events",
            "Steps of lanes and accounts since this process began.",
            labels=["account", "what"],
        )
        counted = self._steps.counted
        for account in self._all():
            for what in Step:
                told.add_metric([account, what], counted[account, what])
        return told

    def _limits(self, connection: Connection, state: StateReader) -> list[Metric]:
        labels = ("account", "limit", "of")
        amount = _gauge("worker_limit_amount", "Units of a limit's window.", *labels)
        used = _gauge("worker_limit_used", "Units that may still count at the vendor.", *labels)
        room = _gauge("worker_limit_room", "Units that may be used now.", *labels)
        for name in self._all():
            if why_unusable(self._accounts, name) is not None:
                continue  # told by `worker_account_unusable`, or not known here
            account = self._accounts.get(name)
            now, kind = self._database.now, channel(account.channel)
            for row in usage(connection, now, kind, account, count_waiting=False, state=state):
                if row.used is None or row.room is None:
                    continue
                which = [name, row.counted.limit.name, row.counted.of]
                amount.add_metric(which, row.counted.limit.amount)
                used.add_metric(which, row.used)
                room.add_metric(which, row.room)
        return [amount, used, room]

    def _unusable(self, found: Mapping[str, tuple[int, str]]) -> Metric:
        told = _gauge("worker_account_unusable", "Living processes that cannot use the account.", "account")
        for account in self._all():
            told.add_metric([account], found.get(account, (0, ""))[0])
        return told

    def _processes(self, connection: Connection, alive: Sequence[Process]) -> Iterator[Metric]:
        fresh = [process for process in alive if process.fresh]
        relay = gauges.lease_is_held(connection, self._database.now, LEASE)
        yield _one("worker_relay_active", "1 while a process holds the relay's lease.", int(relay))
        yield _one("worker_processes", "Worker processes whose heartbeat is fresh.", len(fresh))
        yield _one("worker_processes_silent", "Those that neither beat nor ended.", len(alive) - len(fresh))
        told = _gauge("worker_threads", "Sender threads of the living that take from a queue.", "queue")
        for queue in QueueName:
            told.add_metric([queue], sum(process.threads for process in fresh if queue in process.queues))
        yield told


def _pauses(connection: Connection) -> Metric:
    told = _gauge("worker_pauses", "Pauses that stand; scope=job: jobs that are held.", "account", "scope")
    for (account, scope), count in Counter(map(_scope_of, standing_pauses(connection))).items():
        told.add_metric([account, scope], count)
    return told


def _scope_of(pause: Pause) -> tuple[str, str]:
    return pause.account or "", " ".join(pause.scope()) or "everything"


def _recent(found: dict[tuple[str, str, int], int]) -> Metric:
    told = _gauge(
        "worker_jobs_recent",
        f"Jobs asked for in the last {RECENT_S} s by the state they are in, of the newest 10,000.",
        "account",
        "kind",
        "state",
    )
    for (account, kind, state), count in sorted(found.items()):
        told.add_metric([account, kind, JobState(state).label], count)
    return told


def _hook_events(connection: Connection) -> Metric:
    told = _gauge("worker_hook_events", "Events the application's hooks have not heard, 10,000 at most.", "state")
    for state, count in gauges.hook_events(connection).items():
        told.add_metric([state.label], count)
    return told


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
