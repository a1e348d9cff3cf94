"""Reads the metrics for Prometheus from the outbox.

Labels hold our own names (accounts, states, limits, kinds, codes), never a lane, a recipient, a text or anything from a
vendor. Gauges are computed from the tables in each reading. Counters are sums that the tables keep.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, get_args

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.channels.registry import channel, names, split_usable
from worker.config.accounts import AccountSource
from worker.domain.job import Priority
from worker.domain.outcome import ContradictionSort
from worker.domain.pacing.lane import LaneEventKind, LaneStatus
from worker.domain.pause import Pause
from worker.domain.state import JobState, PartState
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.counting import SEPARATOR, exemplars, totals
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import LOG, QueueName, hindered_work, unusable_account_counts
from worker.outbox.upkeep import gauges
from worker.reporting.lane_list import UNUSABLE
from worker.reporting.limit_usage import usages
from worker.reporting.problem_kinds import KINDS
from worker.reporting.problems import OutboxReading, find_problems, read_outbox
from worker.reporting.standstill import StandstillCause
from worker.service.web.counters import build_info, counters

log = structlog.get_logger()

RECENT_S = 600
MAX_LISTED = 50
"""With at most so many configured accounts, all of them have series. Otherwise only those with values have."""
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "backlog_parts": ("Parts that are due.", ("account", "priority")),
    "backlog_oldest_seconds": ("How long the first due part has been due.", ("account", "priority")),
    "open_oldest_seconds": (
        "How long the longest due of the open jobs has been due, however often it was put off.",
        ("account", "priority"),
    ),
    "parts": ("Parts that can still move.", ("account", "state")),
    "count_capped": (
        "1 while a count of queued or due parts may be 10,000 and mean that there are at least so many.",
        (),
    ),
    "jobs_recent": (
        f"Jobs asked for in the last {RECENT_S} s by the state they are in, of the newest 10,000.",
        ("account", "kind", "state"),
    ),
    "lanes": ("Lanes, and whole accounts, on which something stands.", ("account", "scope", "standing")),
    "standing_still": (
        "Lanes on which parts are due and have not moved for a minute, at least so many.",
        ("account", "cause"),
    ),
    "pauses": ("Pauses that stand; scope=job: jobs that are held.", ("account", "scope")),
    "account_unusable": ("Living processes that cannot use the account.", ("account",)),
    "limit_amount": ("Units of a limit's window.", ("account", "limit", "of")),
    "limit_used": ("Units that may still count at the vendor.", ("account", "limit", "of")),
    "limit_room": ("Units that may be used now.", ("account", "limit", "of")),
    "relay_active": ("1 while a process holds the relay's lease.", ()),
    "processes": ("Worker processes whose heartbeat is fresh.", ()),
    "processes_hindered": ("Those that cannot do a work of theirs, such as publish.", ()),
    "processes_silent": ("Those that neither beat nor ended.", ()),
    "problems": (
        "Problems of a kind, as `worker doctor` and the console's first page list them.",
        ("account", "kind"),
    ),
    "threads": ("Sender threads of the living that take from a queue.", ("queue",)),
    "hook_events": ("Events the application's hooks have not heard, 10,000 at most.", ("state",)),
    "database_clock_seconds": ("The database's clock, in seconds since 1970.", ()),
    "database_up": ("1 when the database answered; else nothing else is told.", ()),
}
"""Name without `worker_` to its description and its labels."""
Values = Mapping[Any, float]
"""Label values to the value."""
_PRIORITIES = [priority.name.lower() for priority in Priority]
_STATES = [PartState.QUEUED.label, *gauges.CalledState]


class OutboxCollector(Collector):
    """Reads the gauges and counters of an outbox, one thread at a time."""

    def __init__(self, database: Database, accounts: AccountSource):
        self._database, self._accounts = database, accounts
        self._lock = threading.Lock()
        self._series: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
        """Gauge name to all its series since this process started."""
        self._limit_accounts: set[str] = set()
        """Accounts whose limits have series."""
        self._used_limits: set[tuple[str, ...]] = set()
        """Limits that were used since this process started. With many accounts, only these have series."""

    def collect(self) -> Iterator[Metric]:
        """Yields all metrics. While the database cannot be reached, yields little more than `worker_database_up 0`."""
        read: list[Metric] = []
        with self._lock:
            try:
                with self._database.reading() as connection:
                    read = list(self._read(connection))
            except SQLAlchemyError as error:
                log.warning("database_away", error=type(error).__name__)
            yield from all_metrics(read)

    def _read(self, connection: Connection) -> Iterator[Metric]:
        reading = read_outbox(connection, self._database.now)
        yield _gauge("database_clock_seconds", reading.now / SECOND)
        configured = self._accounts.names()
        # Of thousands of accounts most have nothing to do, and they must not make a reading slower.
        listed = list(configured) if len(configured) <= MAX_LISTED else []
        self._limit_accounts.update(listed)
        yield from self._queue(connection, listed, reading)
        recent = gauges.recent_jobs(connection, reading.now - RECENT_S * SECOND)
        states = {(account, kind, JobState(state).label): n for (account, kind, state), n in recent.items()}
        yield self._lasting_gauge("jobs_recent", states)
        yield self._lasting_gauge(
            "lanes", _count_standings(reading), product(listed, ("account", "lane"), map(str, LaneStatus))
        )
        standing_still = Counter[tuple[str, ...]]()
        for standstill in reading.standstills:
            standing_still[standstill.account, str(standstill.cause)] += len(standstill.lanes)
        yield self._lasting_gauge("standing_still", standing_still, product(listed, map(str, StandstillCause)))
        yield self._lasting_gauge("pauses", Counter(map(_scope_of, reading.pauses)))
        unusable = {(name,): count for name, (count, _) in unusable_account_counts(reading.processes).items()}
        yield self._lasting_gauge("account_unusable", unusable, ((name,) for name in listed))
        yield from self._limits(connection, listed)
        yield from _processes(reading)
        problems = Counter(
            (problem.subject if problem.kind.about == "account" else "", problem.name)
            for problem in find_problems(reading, self._accounts)
        )
        yield self._lasting_gauge("problems", problems, _kinds_of_problems(listed))
        yield _gauge("hook_events", {(state.label,): count for state, count in reading.hook_events.items()})
        zeros = dict.fromkeys(map(SEPARATOR.join, self._zero_counters(listed)), 0)
        yield from counters({**zeros, **totals(connection)}, exemplars(connection))

    def _lasting_gauge(self, name: str, values: Values, expected: Iterable[tuple[str, ...]] = ()) -> Metric:
        """Returns a gauge with all series there have been, and the `expected` ones. A missing value is 0."""
        self._series[name].update(values, expected)
        return _gauge(name, {labels: values.get(labels, 0) for labels in sorted(self._series[name])})

    def _queue(self, connection: Connection, listed: Sequence[str], reading: OutboxReading) -> Iterator[Metric]:
        queue, now = gauges.queue(connection, self._database.now), reading.now
        due = {(account, _PRIORITIES[n]): parts for (account, n), parts in queue.due.items()}
        expected = list(product(listed, _PRIORITIES))
        ages = {labels: max(0, now - parts.oldest_at) / SECOND for labels, parts in due.items()}
        yield self._lasting_gauge("backlog_parts", {labels: parts.due for labels, parts in due.items()}, expected)
        yield self._lasting_gauge("backlog_oldest_seconds", ages, expected)
        since = {(account, _PRIORITIES[n]): at for (account, n), at in reading.oldest_open.items()}
        # A backlog that is too long to be read whole is at least as old as its first part, unless a pause may hold it.
        paused = {pause.account for pause in reading.pauses if pause.covers_lanes()}
        moving = {labels: parts for labels, parts in due.items() if not paused & {None, labels[0]}}
        since |= {labels: min(since.get(labels, now), parts.oldest_at) for labels, parts in moving.items()}
        ages = {labels: max(0, now - at) / SECOND for labels, at in since.items()}
        yield self._lasting_gauge("open_oldest_seconds", ages, expected)
        counts: dict[tuple[str, ...], float] = {(account, "queued"): n for account, n in queue.parts.items()}
        counts |= {(account, str(state)): n for (account, state), n in reading.called.items()}
        yield self._lasting_gauge("parts", counts, product(listed, _STATES))
        self._limit_accounts.update(account for account, _ in counts)
        yield _gauge("count_capped", int(queue.is_capped))

    def _limits(self, connection: Connection, listed: Sequence[str]) -> Iterator[Metric]:
        # Unusable accounts have `worker_account_unusable`, or are not configured here.
        usable, _ = split_usable(self._accounts, sorted(self._limit_accounts))
        accounts = [(channel(account.channel), account) for account in usable.values()]
        amounts, used, remaining = (
            dict[tuple[str, ...], float](),
            dict[tuple[str, ...], float](),
            dict[tuple[str, ...], float](),
        )
        for name, rows in usages(connection, self._database.now, accounts).items():
            for row in rows:
                labels = (name, row.counted.limit.name, row.counted.subject_kind)
                if (
                    row.used is None
                    or row.room is None
                    or not (name in listed or row.used or labels in self._used_limits)
                ):
                    continue
                self._used_limits.add(labels)
                amounts[labels], used[labels], remaining[labels] = row.counted.limit.amount, row.used, row.room
        yield from (_gauge("limit_amount", amounts), _gauge("limit_used", used), _gauge("limit_room", remaining))

    def _zero_counters(self, listed: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Yields counters that start at 0, for alerts: Prometheus sees no increase in a series that starts with 1."""
        yield from product(("lane_events",), listed, map(str, LaneEventKind))
        yield from product(("lane_events",), self._limit_accounts, (LaneEventKind.THROTTLED, LaneEventKind.FAULT))
        yield from product(("token_fetches",), self._limit_accounts, ("refused",))
        yield from product(("drift",), names(), get_args(ContradictionSort))


def all_metrics(read: Sequence[Metric]) -> list[Metric]:
    """Returns all metrics of one reading, or that the database is away if nothing was read."""
    return [_gauge("database_up", 1 if read else 0), build_info(), *read]


def _count_standings(reading: OutboxReading) -> Counter[tuple[str, ...]]:
    lanes = (lane for lane in reading.lanes if lane.state != UNUSABLE)
    return Counter((lane.account, "account" if lane.lane == lane.account else "lane", lane.state) for lane in lanes)


def _kinds_of_problems(accounts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name, kind in KINDS.items():
        yield from product(accounts if kind.about == "account" else [""], [name])


def _processes(reading: OutboxReading) -> Iterator[Metric]:
    yield _gauge("relay_active", int(reading.has_leader))
    yield _gauge("processes", len(reading.fresh))
    yield _gauge("processes_hindered", sum(bool(hindered_work(process).keys() - {LOG}) for process in reading.fresh))
    yield _gauge("processes_silent", len(reading.processes) - len(reading.fresh))
    threads = {(q.value,): sum(process.threads for process in reading.fresh if q in process.queues) for q in QueueName}
    yield _gauge("threads", threads)


def _scope_of(pause: Pause) -> tuple[str, ...]:
    return pause.account or "", " ".join(pause.scope()) or "everything"


def _gauge(name: str, values: Values | float) -> Metric:
    text, labels = GAUGES[name]
    metric = GaugeMetricFamily(f"worker_{name}", text, labels=labels)
    for label_values, value in values.items() if isinstance(values, Mapping) else [((), values)]:
        metric.add_metric(label_values, value)
    return metric
