"""Estimates when the backlog of each account will be sent: what is due, divided by the rate. Reads only.

It simulates nothing. A limit lets its amount through in each window; everything else goes as fast as calls went at the
last heartbeats. New jobs, failing calls and future blocks are not considered.
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
from worker.domain.pacing.lane import LaneStatus, account_of, lane_status
from worker.domain.pacing.limit import Unit
from worker.domain.pause import Pause
from worker.outbox.engine.clock import SECOND
from worker.outbox.jobs.reading import waiting_by_limit
from worker.outbox.lanes.full_scan import Queued, accounts_with_queued, queued_by_lane
from worker.outbox.lanes.lanes import list_lanes
from worker.outbox.lanes.pauses import active_pauses
from worker.outbox.lanes.processes import Process, alive_processes, deferred_accounts, unusable_account_counts
from worker.reporting.limit_usage import Usage, usages
from worker.reporting.standstill import broker_away

MAX_PARTS = 2_000_000
"""Most queued parts of one account that are counted. If there are more, the forecast says that it is a minimum."""
MAX_WAITING_PARTS = 10_000
"""Most parts waiting for limits of their recipients that are read for the limits' names."""
SLOW_MS = 3_000
"""Milliseconds of a call, from which on more calls end between some heartbeats than between others."""
NEAR_LIMIT = 0.5
"""The used share of a limit from which it is assumed to slow down all calls of its account."""

FAILING = (LaneStatus.BREAKER_OPEN, LaneStatus.BREAKER_HALF_OPEN)

Lanes = Mapping[str, Queued]
"""The queued parts by lane."""


@dataclass(frozen=True, slots=True)
class LimitWait:
    """Parts that wait for one limit."""

    limit: str
    parts: int
    amount: int | None
    """Units in a window, or None if the account has no such limit now."""
    window_s: int | None
    in_s: float | None
    """Seconds until the last of the parts has room, or None if each recipient has its own limit, or if unknown."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why parts do not go without a person."""

    why: str
    command: str
    """The command that a person can run."""


@dataclass(frozen=True, slots=True)
class AccountForecast:
    """The estimate for one account."""

    account: str
    due: int
    """Queued parts that are due now."""
    later: int
    """Queued parts that are due later, or wait for room in a limit of their recipient or for another part."""
    paused: int
    """Queued parts that wait for a person to end a pause."""
    at_least: bool
    """True if more parts may be queued than were counted, so that it takes longer."""
    per_s: float
    """Parts that are sent in a second; 0 if none was sent lately."""
    in_s: float | None
    """Seconds until all parts are sent that are due now and blocked by nothing. None if nothing moves or the rate is
    unknown."""
    waits: tuple[LimitWait, ...]
    stops: tuple[Blocker, ...]
    """Why some or all parts do not go without a person."""


def forecast(
    connection: Connection, now_sql: str, accounts: AccountSource, *, most: int = MAX_PARTS
) -> list[AccountForecast]:
    """Estimates when the backlog of each account with queued parts will be sent."""
    processes, pauses = alive_processes(connection, now_sql), active_pauses(connection, [])
    reader = _Reader(connection, now_sql, accounts, processes, pauses)
    # Each statement is a transaction of its own, because a single one for all would hold up SQLite's writers and
    # PostgreSQL's vacuum. So the last queued part of an account may be gone since the account was read.
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
        due, parts, paused = (sum(counts) for counts in zip(*lanes.values(), strict=True))
        rows = list_lanes(self.connection, self.now_sql, name)
        usable, unusable = split_usable(self.accounts, [name])
        account = usable.get(name)
        channels = [] if account is None else [(channel(account.channel), account)]
        limits = usages(self.connection, self.now_sql, channels).get(name, [])
        per_s, moving, parked = self._per_s(name, limits), dict(lanes), list[Blocker]()
        for row in rows:
            if row["parked"] and (affected := [*lanes] if row["lane"] == name else [*lanes.keys() & {row["lane"]}]):
                parked.append(Blocker(f"{_subject(row)} is parked: {row['reason']}", f"worker resume {row['lane']}"))
                for lane in affected:
                    moving.pop(lane, None)
        waits = tuple(self._waits(name, rows, limits, moving))
        stops = tuple(self._stops(name, account, unusable.get(name)))
        moving_due = sum(lane.due for lane in moving.values())
        # While calls fail and one at a time is tried, the speed of before says nothing.
        fails = any(lane_status(row) in FAILING and row["lane"] in (name, *moving) for row in rows)
        in_s = None if stops or fails or (parked and not moving_due) else _done_in_s(moving_due, per_s, waits)
        return AccountForecast(
            name, due, parts - due - paused, paused, parts >= most, per_s, in_s, waits, (*stops, *parked)
        )

    def _per_s(self, name: str, usages: Sequence[Usage]) -> float:
        """Returns how many calls end in a second, but no more than a nearly used up limit allows.

        Of calls that take longer than from one heartbeat to the next, those in flight say that better.
        """
        speed = sum(
            1000 * figures[0] / figures[1] if figures[1] > SLOW_MS else sum(figures[3:4]) / 1000
            for item in self.processes
            for lane, figures in item.lanes.items()
            if account_of(lane) == name
        )
        limits = [(item.counted.limit, item.used or 0) for item in usages if item.counted.limit.unit is Unit.CALLS]
        nearly_used_up = [limit for limit, used in limits if limit.window_s and used >= NEAR_LIMIT * limit.amount > 0]
        return min([speed, *(limit.amount / limit.window_s for limit in nearly_used_up)])

    def _waits(
        self, name: str, rows: Sequence[Mapping[str, Any]], usages: Sequence[Usage], lanes: Lanes
    ) -> Iterator[LimitWait]:
        """Yields the due parts behind a limit that blocks their lane, and parts that wait for a recipient's limit.

        Where a limit blocks the lane and another one the account, a part counts once, for the one that opens later.
        """
        limits = {usage.counted.limit.name: usage for usage in usages}
        parts_by_limit, opens_s = Counter[str](), dict[str, float]()
        blocks = {
            row["lane"]: ((row["blocked_until"] - row["now"]) / SECOND, row["limit_name"])
            for row in rows
            if row["limit_name"] and row["blocked_until"] > row["now"]
        }
        for lane, queued in lanes.items():
            if of_lane := [blocks[key] for key in (lane, name) if key in blocks]:
                remaining_s, limit = max(of_lane)
                parts_by_limit[limit] += queued.due
                opens_s[limit] = max(opens_s.get(limit, 0.0), remaining_s)
        for limit, parts in sorted(parts_by_limit.items()):
            yield _wait(limit, parts, limits.get(limit), opens_s[limit])
        for limit, parts in sorted(waiting_by_limit(self.connection, name, MAX_WAITING_PARTS).items()):
            yield _wait(limit, parts, limits.get(limit), None)

    def _stops(self, name: str, account: Account | None, problem: str | None) -> Iterator[Blocker]:
        """Yields why nothing of an account, or of a kind, goes before a person acts.

        `problem` says why this process cannot use the account.
        """
        unusable = unusable_account_counts(self.processes).get(name, (0, ""))
        away = [deferred_accounts(process).get(name, "") for process in self.processes]
        if not self.processes:
            yield Blocker("no worker process is alive", "worker doctor")
        elif broker := broker_away(self.processes):
            yield Blocker(f"nothing is sent, and nothing is lost: {broker}", "worker doctor")
        elif all(away):
            yield Blocker(
                f"no worker process can reach the vendor: {away[0]}", f"worker doctor --online --account {name}"
            )
        elif account is None or unusable[0] == len(self.processes):
            why = problem or unusable[1]
            yield Blocker(f"account {name} cannot be used: {why}", "worker doctor")
        kinds = () if account is None else channel(account.channel).kinds
        for pause in self.pauses:
            same = pause.account in (None, name) and pause.channel in (None, account and account.channel)
            if same and pause.kind in (None, *kinds) and pause.covers_lanes():
                yield Blocker(f"paused by {pause.person} ({pause.scope_text()})", pause.ending())


def _subject(row: Mapping[str, Any]) -> str:
    return f"account {row['account']}" if row["lane"] == row["account"] else f"lane {row['label'] or row['lane']}"


def _wait(name: str, parts: int, usage: Usage | None, opens_s: float | None) -> LimitWait:
    """Makes the wait for a limit. `opens_s` is the time until its lane opens, None if each recipient has the limit."""
    if usage is None or not usage.counted.limit.amount:
        return LimitWait(name, parts, None, None, None)
    limit = usage.counted.limit
    windows = max(0, parts - 1) // limit.amount
    in_s = None if opens_s is None else opens_s + windows * limit.window_s
    return LimitWait(name, parts, limit.amount, limit.window_s, in_s)


def _done_in_s(due: int, per_s: float, waits: Sequence[LimitWait]) -> float | None:
    ends = [wait.in_s for wait in waits if wait.in_s is not None]
    remaining = max(0, due - sum(wait.parts for wait in waits if wait.in_s is not None))
    if remaining and not per_s:
        return None
    return max([remaining / per_s if remaining else 0.0, *ends])
