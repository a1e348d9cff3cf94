"""Roughly when the backlog of each account will be through: what is due, divided by what lets it through. Reads only.

It simulates nothing. A limit lets its amount through in each window; everything else goes as fast as calls went at the
last heartbeats. New jobs, calls that fail and blocks to come are not in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from worker.channels.registry import channel, split_usable
from worker.config.accounts import AccountSource
from worker.domain.account import Account
from worker.domain.pacing.lane import account_of
from worker.domain.pacing.limit import Unit
from worker.domain.pause import Pause
from worker.outbox.engine.clock import SECOND
from worker.outbox.jobs.reading import waiting_by_limit
from worker.outbox.lanes.full_scan import accounts_with_queued, queued_by_lane
from worker.outbox.lanes.lanes import list_lanes
from worker.outbox.lanes.pauses import active_pauses
from worker.outbox.lanes.processes import Process, alive_processes, unusable_account_counts
from worker.reporting.limit_usage import Usage, usages

MOST = 2_000_000
"""Queued parts of one account that are counted; of more the forecast says that there are at least so many."""
MOST_WAITING = 10_000
"""Parts that wait for limits of their recipients, of which the limits are told."""
OF_ALL = 0.5
"""The share of a limit that has to be used before it is taken to slow down all of its account's calls."""


Lanes = Mapping[str, tuple[int, int]]
"""By lane how many parts are due, and how many are queued."""


@dataclass(frozen=True, slots=True)
class LimitWait:
    """Parts that wait for one limit."""

    limit: str
    parts: int
    amount: int | None
    """Units in a window; None: the account has no such limit now."""
    window_s: int | None
    in_s: float | None
    """Seconds until the last of them has room; None: each recipient has the limit, or it is not known."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why parts do not go by themselves."""

    why: str
    command: str
    """What a person can do."""


@dataclass(frozen=True, slots=True)
class AccountForecast:
    """What is foretold of one account."""

    account: str
    due: int
    """Queued parts that are due now."""
    later: int
    """Queued parts that are due later, or wait for room in a limit of their recipient or for another part."""
    at_least: bool
    """True where more parts may be queued than were counted, so that it takes longer."""
    per_s: float
    """Parts that go in a second; 0: none went lately."""
    in_s: float | None
    """Seconds until what is due now and goes by itself is through; None: nothing goes, or nothing is known."""
    waits: tuple[LimitWait, ...]
    stops: tuple[Stop, ...]
    """Why some or all of it does not go by itself."""


def forecast(
    connection: Connection, now_sql: str, accounts: AccountSource, *, most: int = MOST
) -> list[AccountForecast]:
    """When the backlog of each account with queued parts will be through, about."""
    processes, pauses = alive_processes(connection, now_sql), active_pauses(connection, [])
    reader = _Reader(connection, now_sql, accounts, processes, pauses)
    # Each statement reads for itself (one transaction of so many would hold up SQLite's writers, and PostgreSQL's
    # vacuum), so the last queued part of an account may have gone since the account was found.
    queued = ((name, queued_by_lane(connection, now_sql, name, most)) for name in accounts_with_queued(connection))
    return [reader.account(name, lanes, most) for name, lanes in queued if lanes]


@dataclass(frozen=True, slots=True)
class _Reader:
    connection: Connection
    now_sql: str
    accounts: AccountSource
    processes: Sequence[Process]
    pauses: Sequence[Pause]

    def account(self, name: str, lanes: Lanes, most: int) -> AccountForecast:
        due, parts = (sum(counts) for counts in zip(*lanes.values(), strict=True))
        rows = list_lanes(self.connection, self.now_sql, name)
        good, wrong = split_usable(self.accounts, [name])
        account = good.get(name)
        own = [] if account is None else [(channel(account.channel), account)]
        limits = usages(self.connection, self.now_sql, own).get(name, [])
        waits, stops = tuple(self._waits(name, rows, limits, lanes)), tuple(self._stops(name, account, wrong.get(name)))
        per_s, goes, parked = self._per_s(name, limits), due, list[Stop]()
        for row in rows:
            if row["parked"] and (its := lanes if row["lane"] == name else lanes.keys() & {row["lane"]}):
                parked.append(Stop(f"{_where(row)} is parked: {row['reason']}", f"worker resume {row['lane']}"))
                goes -= sum(lanes[lane][0] for lane in its)
        in_s = None if stops or (parked and goes <= 0) else _through_s(goes, per_s, waits)
        return AccountForecast(name, due, parts - due, parts >= most, per_s, in_s, waits, (*stops, *parked))

    def _per_s(self, name: str, usages: Sequence[Usage]) -> float:
        """Calls in the air, divided by how long one takes; no more than a limit that is much used lets through."""
        figures = [its for one in self.processes for lane, its in one.lanes.items() if account_of(lane) == name]
        speed = sum(1000 * air / ms for air, ms, *_ in figures if ms)
        limits = [(one.counted.limit, one.used or 0) for one in usages if one.counted.limit.unit is Unit.CALLS]
        near = [limit for limit, used in limits if limit.window_s and used >= OF_ALL * limit.amount > 0]
        return min([speed, *(limit.amount / limit.window_s for limit in near)])

    def _waits(
        self, name: str, rows: Sequence[Mapping[str, Any]], usages: Sequence[Usage], lanes: Lanes
    ) -> Iterator[LimitWait]:
        """Due parts behind a limit that blocks their lane, and parts that wait for a limit of their recipient."""
        limits = {one.counted.limit.name: one for one in usages}
        behind, opens_s = Counter[str](), dict[str, float]()
        for row in rows:
            limit, left_us = row["limit_name"], row["blocked_until"] - row["now"]
            if limit and left_us > 0:
                its = lanes.values() if row["lane"] == name else [lanes.get(row["lane"], (0, 0))]
                behind[limit] += sum(due for due, _ in its)
                opens_s[limit] = max(opens_s.get(limit, 0.0), left_us / SECOND)
        for limit, parts in sorted(behind.items()):
            yield _wait(limit, parts, limits.get(limit), opens_s[limit])
        for limit, parts in sorted(waiting_by_limit(self.connection, name, MOST_WAITING).items()):
            yield _wait(limit, parts, limits.get(limit), None)

    def _stops(self, name: str, account: Account | None, wrong: str | None) -> Iterator[Stop]:
        """Why nothing of an account goes before a person acts; `wrong`: what keeps it from being used here."""
        cannot = unusable_account_counts(self.processes).get(name, (0, ""))
        if not self.processes:
            yield Stop("no worker process is alive", "worker doctor")
        elif account is None or cannot[0] == len(self.processes):
            why = wrong or cannot[1]
            yield Stop(f"account {name} cannot be used: {why}", "worker doctor")
        for pause in self.pauses:
            same = pause.account in (None, name) and pause.channel in (None, account and account.channel)
            if same and pause.kind is None and pause.holds_lanes():
                yield Stop(f"paused by {pause.person} ({pause.told()})", pause.ending())


def _where(row: Mapping[str, Any]) -> str:
    return f"account {row['account']}" if row["lane"] == row["account"] else f"lane {row['label'] or row['lane']}"


def _wait(name: str, parts: int, found: Usage | None, opens_s: float | None) -> LimitWait:
    """A wait for a limit; `opens_s`: seconds until its lane opens, None where each recipient has the limit."""
    if found is None or not found.counted.limit.amount:
        return LimitWait(name, parts, None, None, None)
    limit = found.counted.limit
    windows = max(0, parts - 1) // limit.amount
    in_s = None if opens_s is None else opens_s + windows * limit.window_s
    return LimitWait(name, parts, limit.amount, limit.window_s, in_s)


def _through_s(due: int, per_s: float, waits: Sequence[LimitWait]) -> float | None:
    ends = [one.in_s for one in waits if one.in_s is not None]
    rest = max(0, due - sum(one.parts for one in waits if one.in_s is not None))
    if rest and not per_s:
        return None
    return max([rest / per_s if rest else 0.0, *ends])
