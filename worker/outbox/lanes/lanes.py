"""The rows of lanes and accounts. A block in such a row stops all of its parts, without a change to the parts' rows.

Locks the rows in the order of their keys, lets `domain/pacing/lane.py` decide, and writes the rows and their events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.config.log import Logger
from worker.domain.job import first_id
from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import (
    LOGGED,
    RULES,
    Cause,
    LaneBlock,
    LaneChange,
    LaneEvent,
    LaneEventKind,
    LaneRules,
    LaneState,
    SlowStart,
    account_of,
    apply_change,
    fresh_state,
)
from worker.domain.settle import FOREVER
from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, ids_json, insert_rows, lock_rows, rows_by_id
from worker.outbox.engine.clock import SECOND, SKEW_US, instant
from worker.outbox.engine.counting import count
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import execute, fetch, mappings, read_now, run
from worker.outbox.lanes.tokens import retry_refused

log = Logger()

_COLUMNS = tuple(column.name for column in tables.lanes.columns)
_EVENT_COLUMNS = tables.columns_of(tables.lane_events)


def read_lane_states(
    connection: Connection, now_sql: str, names: Iterable[str], clock: Callable[[], int]
) -> dict[str, LaneState]:
    """Reads the states of these lanes and accounts, but only of those that are blocked, slowed down or in trouble.

    Their instants are by `clock`, which returns the caller's own microseconds. The cost does not depend on other rows.
    """
    rows = fetch(connection, _lane_states_sql(dialect_of(connection), now_sql), {"ids": ids_json(names)})
    if not rows:
        return {}
    now = clock()
    return {row[0]: _shifted(now - int(row[-1]), _lane_state_of(row[:-1])) for row in rows}


@lru_cache(maxsize=8)
def _lane_states_sql(dialect: Dialect, now_sql: str) -> str:
    source = dialect.by_ids("worker_lanes", "lane")
    return f"select {', '.join(_COLUMNS)}, {now_sql} from {source} and ({_is_notable(now_sql)})"


def _is_notable(now_sql: str) -> str:
    return f"blocked_until > {now_sql} or parked = true or calls is not null or step > 0 or failures > 0"


def _shifted(ahead: int, state: LaneState) -> LaneState:
    """Returns the state with its instants by a clock that is `ahead` microseconds ahead."""
    return replace(
        state,
        blocked_until=state.blocked_until + ahead,
        blocked_at=state.blocked_at + ahead,
        struck_until=state.struck_until + ahead,
        changed_at=state.changed_at + ahead,
    )


def parked_lanes(connection: Connection, names: Iterable[str]) -> set[str]:
    """Returns those of the lanes and accounts that are parked."""
    return {row[0] for row in rows_by_id(connection, "lane", "worker_lanes", names, "lane", only="and parked = true")}


def change_lanes(
    connection: Connection, now_sql: str, changes: Sequence[LaneChange], rules: LaneRules = RULES
) -> list[LaneEvent]:
    """Applies changes to lanes and accounts. Returns the events that were written."""
    return change_lanes_at(connection, read_now(connection, now_sql), changes, rules) if changes else []


def change_lanes_at(
    connection: Connection, now: int, changes: Sequence[LaneChange], rules: LaneRules
) -> list[LaneEvent]:
    """Applies the changes one after another, with `now` as the time. Returns the events that were written."""
    if not changes:
        return []
    blocks = [change for change in changes if isinstance(change, LaneBlock)]
    # A failure may count for its account too. All rows are locked at once, sorted by key, so that no commits deadlock.
    accounts = {account_of(block.lane) for block in blocks if block.failed}
    # The other changes do nothing to a lane that has no row.
    may_create = accounts | {change.lane for change in changes if isinstance(change, LaneBlock | SlowStart)}
    old_states, inserted = _lock(connection, {change.lane for change in changes} | accounts, may_create)
    # Only errcode 45033 needs the number of calls in flight, because it halves that number.
    halves = any(block.penalty is Penalty.PARALLEL for block in blocks)
    in_flight = calls_in_flight(connection) if halves else {}
    states, events = dict(old_states), list[LaneEvent]()
    for change in changes:
        events += apply_change(states, change, now, rules, in_flight.get(change.lane, 0))
    _save(
        connection,
        [
            state
            for name, state in states.items()
            if name in inserted or state != old_states.get(name, fresh_state(name))
        ],
        now,
    )
    _write_events(connection, events, now)
    return events


def claim_probe(connection: Connection, now_sql: str, lane: str, delay_us: int) -> bool:
    """Claims the one probe of a parked lane whose block has ended, and blocks the lane until the next probe."""
    # Compare-and-set: of several processes that see the block end, only one makes the call.
    claim = (
        f"update worker_lanes set blocked_until = {now_sql} + :delay"
        f" where lane = :lane and parked = true and blocked_until <= {now_sql}"
    )
    return bool(execute(connection, claim, {"delay": delay_us, "lane": lane}).rowcount)


def parked_for_token(connection: Connection, now_sql: str) -> list[str]:
    """Returns the accounts whose credentials the vendor refused and whose next probe is not due yet."""
    query = f"select lane from worker_lanes where parked = true and blocked_until > {now_sql} and cause = :cause"
    return [row[0] for row in fetch(connection, query, {"cause": Cause.TOKEN.value})]


def probe_account_now(connection: Connection, now_sql: str, account: str) -> None:
    """Lets an account that is parked for its token be tried at once. It stays parked until an answer comes."""
    probe = (
        f"update worker_lanes set blocked_until = {now_sql}"
        f" where lane = :account and parked = true and blocked_until > {now_sql} and cause = :cause"
    )
    run(connection, probe, {"account": account, "cause": Cause.TOKEN.value})


def retry_changed_accounts(connection: Connection, now_sql: str, accounts: Collection[str]) -> None:
    """Lets accounts with new settings be tried at once if they are parked or could not be reached.

    They stay blocked or parked until an answer comes. Accounts that wait for a limit or after a penalty go on waiting.
    """
    throttled = rows_by_id(connection, "lane", "worker_lanes", accounts, "lane", only="and step > 0")
    update = dialect_of(connection).update_by_ids("worker_lanes", f"blocked_until = {now_sql}", "lane")
    waiting = f" and blocked_until > {now_sql} and limit_name is null and step = 0"
    waiting += " and (parked = true or failures > 0 or cause = :cause)"
    run(connection, update + waiting, {"ids": ids_json(accounts), "cause": Cause.TOKEN.value})
    retry_refused(connection, set(accounts) - {row[0] for row in throttled})


def try_parked_lanes(connection: Connection, now_sql: str, accounts: Iterable[str]) -> None:
    """Lets one part of each parked lane of these accounts be tried at once. It stays parked until an answer comes."""
    for account in sorted(accounts):
        probe = (
            f"update worker_lanes set blocked_until = {now_sql}"
            f" where account = :account and parked = true and blocked_until > {now_sql}"
        )
        run(connection, probe, {"account": account})


def return_probe(connection: Connection, now_sql: str, lane: str, wait_us: int) -> None:
    """Returns a probe that has made no call. Another part of the lane or its account may try after `wait_us`.

    If the lane's chat has used up its allowance, the lane goes on waiting, and another lane may try the account at
    once.
    """
    waits = "select lane from worker_lanes where lane = :lane and parked = true and cause = :cause"
    if fetch(connection, waits, {"lane": lane, "cause": Cause.ALLOWANCE.value}):
        lane, wait_us = account_of(lane), 0
    probe = (
        f"update worker_lanes set blocked_until = {now_sql} + :wait"
        f" where lane in (:lane, :account) and parked = true and blocked_until > {now_sql}"
    )
    run(connection, probe, {"wait": wait_us, "lane": lane, "account": account_of(lane)})


def cut_future_blocks(connection: Connection, now_sql: str) -> None:
    """Lets blocks that began in the future begin now, as long as they were meant to be.

    The clock was ahead when they were written. Otherwise a block of a minute would last until the clock is there again.
    """
    ahead = f"(blocked_at - {now_sql})"
    # MariaDB assigns from left to right, and `ahead` needs the old `blocked_at`.
    update = (
        f"update worker_lanes set blocked_until = blocked_until - {ahead},"
        f" struck_until = case when struck_until > {now_sql} then struck_until - {ahead} else struck_until end,"
        f" changed_at = case when changed_at > {now_sql} then {now_sql} else changed_at end, blocked_at = {now_sql}"
        f" where blocked_at > {now_sql} + {SKEW_US}"
    )
    run(connection, update)


# -- people -----------------------------------------------------------------------------------------------------------


def list_lanes(connection: Connection, now_sql: str, account: str | None) -> list[dict[str, Any]]:
    """Returns the rows of lanes that are blocked, parked, throttled, limited in calls or starting; each with `now`."""
    only = "" if account is None else " and account = :account"
    query = (
        f"select {', '.join(_COLUMNS)}, {now_sql} as now from worker_lanes"
        f" where ({_is_notable(now_sql)}){only} order by account, lane"
    )
    return mappings(connection, query, {"account": account})


@dataclass(frozen=True, slots=True)
class WaitingLanes:
    """Lanes of one account that are parked or blocked for the same reason; an account itself counts as one."""

    account: str
    parked: bool
    broken: bool
    """Whether their breaker is open or half-open."""
    reason: str
    remedy: str | None
    count: int
    lane: str | None
    """The lane's key or the account's name, or None if there are several."""
    label: str
    hint: str | None
    until: int
    """The latest end of their blocks, in microseconds, or 0."""


BRIEF_US = SECOND
"""A block that ends sooner is no wait."""


def waiting_lanes(connection: Connection, now_sql: str) -> list[WaitingLanes]:
    """Returns what is parked, what a breaker holds, and what is blocked for longer than a moment, by reason."""
    long = f"blocked_until > {now_sql} + {BRIEF_US}"
    broken = f"case when failures >= {RULES.failures} then 1 else 0 end"
    rows = (
        f"select account, parked, {broken} as broken, reason, remedy, lane, label, hint,"
        f" case when blocked_until > {now_sql} then blocked_until else 0 end as blocked_until"
        f" from worker_lanes where parked = true or {long} or failures >= {RULES.failures}"
    )
    query = (
        "select account, parked, broken, reason, remedy, count(*), min(lane), max(label), max(hint), max(blocked_until)"
        f" from ({rows}) waiting group by account, parked, broken, reason, remedy order by account, min(lane)"
    )
    return [
        WaitingLanes(account, bool(parked), bool(broken), reason, remedy, number, lane if number == 1 else None, *rest)
        for account, parked, broken, reason, remedy, number, lane, *rest in fetch(connection, query)
    ]


def list_lane_events(
    connection: Connection, account: str | None, limit: int, before: str | None = None
) -> list[dict[str, Any]]:
    """Returns the newest events of lanes. With `before`, an event's id, it returns those before that event."""
    only = "" if account is None else " and account = :account"
    query = f"select {_EVENT_COLUMNS} from worker_lane_events where id < :before{only} order by id desc limit :limit"
    return mappings(connection, query, {"limit": limit, "account": account, "before": before or "g"})


def write_lane_events(connection: Connection, now_sql: str, events: Sequence[LaneEvent]) -> None:
    """Writes events that change no lane's row."""
    _write_events(connection, events, read_now(connection, now_sql))


_NEWEST = """(select id, account, label, what, happened_at from worker_lane_events where id > :after
 order by id desc limit 10000) newest where happened_at > :since"""


def acknowledged(connection: Connection, since: int) -> dict[str, int]:
    """Returns process -> when a person last acknowledged its loss, since an instant."""
    values = {"after": first_id(since - SKEW_US), "since": since, "what": LaneEventKind.ACKNOWLEDGED.value}
    query = f"select label, max(happened_at) from {_NEWEST} and what = :what group by label"
    return {str(label): int(at) for label, at in fetch(connection, query, values)}


def count_lane_events(connection: Connection, since: int) -> tuple[Counter[tuple[str, str]], dict[str, str]]:
    """Counts events by account and kind since an instant, and returns account -> the reason of its newest fault.

    Reads only the newest 10,000.
    """
    # The ids have the clock of the process that wrote them, which may differ.
    values = {"after": first_id(since - SKEW_US), "since": since}
    rows = fetch(connection, f"select account, what, count(*), max(id) from {_NEWEST} group by account, what", values)
    counts = Counter({(str(account), str(what)): int(count) for account, what, count, _ in rows})
    faults = {id: account for account, what, _, id in rows if what == LaneEventKind.FAULT}
    reasons = rows_by_id(connection, "id, reason", "worker_lane_events", faults) if faults else []
    return counts, {faults[id]: reason for id, reason in reasons}


MAX_EVENTS = 50
"""The most events that `lane_history` returns."""


@dataclass(frozen=True, slots=True)
class LaneHistory:
    """The events of some lanes and their account in a period, the oldest first."""

    rows: list[dict[str, Any]]
    has_more: bool
    """Whether there were more events before these."""


def lane_history(
    connection: Connection, account: str, lanes: Collection[str], since: int, until: int | None
) -> LaneHistory:
    """Returns the last events of these lanes, their account and its settings, from `since` to `until` (None: now)."""
    # The ids have the clock of the process that wrote them, which may differ.
    values = {"after": first_id(since - SKEW_US), "since": since, "until": FOREVER if until is None else until}
    query = (
        f"select {_EVENT_COLUMNS} from worker_lane_events where id > :after and account = :account"
        " and happened_at between :since and :until order by id desc"
    )
    names = {"", account, *lanes}
    events = (row for row in mappings(connection, query, {**values, "account": account}) if row["lane"] in names)
    rows = list(islice(events, MAX_EVENTS + 1))
    return LaneHistory(rows[:MAX_EVENTS][::-1], len(rows) > MAX_EVENTS)


def lanes_of(connection: Connection, name: str) -> list[str]:
    """Returns the lane with this key. For an account's name, returns the account and its lanes, if they have rows."""
    query = "select lane from worker_lanes where lane = :name or account = :name order by lane"
    return [row[0] for row in execute(connection, query, {"name": name})]


# -- rows -------------------------------------------------------------------------------------------------------------


def _lock(
    connection: Connection, names: Collection[str], to_insert: Collection[str]
) -> tuple[dict[str, LaneState], set[str]]:
    """Locks the rows of these lanes, sorted by key, after it has inserted those of `to_insert` that are missing.

    Returns the states, and the names whose rows it inserted. A missing row cannot be locked: two processes would both
    begin with a fresh state, and the second would overwrite the block of the first.
    """
    fresh = {name: asdict(fresh_state(name)) for name in to_insert}
    rows, inserted = lock_rows(connection, tables.lanes, _COLUMNS, names, fresh)
    return {state.lane: state for state in map(_lane_state_of, rows)}, inserted


def _lane_state_of(row: Sequence[Any]) -> LaneState:
    state = LaneState(**dict(zip(_COLUMNS, row, strict=True)))
    return replace(state, parked=bool(state.parked), cause=Cause(state.cause) if state.cause else None)


def _save(connection: Connection, states: Sequence[LaneState], now: int) -> None:
    """Writes the rows. Deletes the rows of lanes that are open again and in which nothing is counted."""
    rows = [asdict(state) for state in states if not state.is_clear(now)]
    insert_rows(connection, tables.lanes, rows, conflict="replace")
    delete_by_id(connection, "worker_lanes", [state.lane for state in states if state.is_clear(now)], "lane")


def _write_events(connection: Connection, events: Sequence[LaneEvent], now: int) -> None:
    rows = [{"id": uuid7().hex, **asdict(event), "what": str(event.what), "happened_at": now} for event in events]
    insert_rows(connection, tables.lane_events, rows)
    for (account, what), times in Counter((event.account, str(event.what)) for event in events).items():
        count(connection, "lane_events", account, what, times=times)


def calls_in_flight(connection: Connection) -> dict[str, int]:
    """Returns lane -> how many of its calls are in flight."""
    # State 1 is `sending`.
    query = "select lane, count(*) from worker_parts where state = 1 group by lane"
    return {lane: int(calls) for lane, calls in fetch(connection, query)}


def log_lane_events(events: Sequence[LaneEvent]) -> None:
    """Logs one line for each event that begins or ends no block."""
    for event in (event for event in events if event.what in LOGGED):
        until = None if event.until is None else instant(event.until).isoformat(timespec="milliseconds")
        log.warning("lane", **{"what": event.what, **asdict(event), "until": until})
