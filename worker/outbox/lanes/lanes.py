"""The rows of lanes and accounts, whose blocks hold for all of their parts without a change to these.

Locks the rows in the order of their keys, lets `domain/pacing/lane.py` decide, and writes them with an event for each
step.
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
from worker.domain.account import GETTOKEN
from worker.domain.job import first_id
from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import (
    RULES,
    Cause,
    LaneBlock,
    LaneChange,
    LaneEvent,
    LaneRules,
    LaneState,
    account_of,
    apply_change,
    fresh_state,
)
from worker.domain.settle import FOREVER
from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, ids_json, insert_rows, rows_by_id
from worker.outbox.engine.clock import SKEW_US, instant
from worker.outbox.engine.counting import count
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import execute, fetch, mappings, read_now, run
from worker.outbox.lanes.tokens import ask_again

log = Logger()

_NAMES = tuple(column.name for column in tables.lanes.columns)
_STEP_COLUMNS = tables.columns_of(tables.lane_events)


def read_lane_states(
    connection: Connection, now_sql: str, names: Iterable[str], clock: Callable[[], int]
) -> dict[str, LaneState]:
    """The states of these lanes and accounts, without clear ones; the cost does not depend on other rows.

    Their instants are by `clock`, which returns the caller's own microseconds.
    """
    rows = fetch(connection, _states_query(dialect_of(connection), now_sql), {"ids": ids_json(names)})
    if not rows:
        return {}
    now = clock()
    return {row[0]: _by(now - int(row[-1]), _state_of(row[:-1])) for row in rows}


@lru_cache(maxsize=8)
def _states_query(dialect: Dialect, now_sql: str) -> str:
    source = dialect.chosen("worker_lanes", "lane")
    return f"select {', '.join(_NAMES)}, {now_sql} from {source} and ({_says_something(now_sql)})"


def _says_something(now_sql: str) -> str:
    return f"blocked_until > {now_sql} or parked = true or calls is not null or step > 0 or failures > 0"


def _by(ahead: int, state: LaneState) -> LaneState:
    """Returns the state by a clock that is so many microseconds ahead."""
    return replace(
        state,
        blocked_until=state.blocked_until + ahead,
        blocked_at=state.blocked_at + ahead,
        struck_until=state.struck_until + ahead,
        changed_at=state.changed_at + ahead,
    )


def parked_among(connection: Connection, names: Iterable[str]) -> set[str]:
    """The lanes and accounts among these that wait for a person."""
    return {row[0] for row in rows_by_id(connection, "lane", "worker_lanes", names, "lane", only="and parked = true")}


def change_lanes(
    connection: Connection, now_sql: str, changes: Sequence[LaneChange], rules: LaneRules = RULES
) -> list[LaneEvent]:
    """Carries out what happened to lanes and accounts; returns the steps that were written."""
    return move_lanes(connection, read_now(connection, now_sql), changes, rules) if changes else []


def move_lanes(connection: Connection, now: int, changes: Sequence[LaneChange], rules: LaneRules) -> list[LaneEvent]:
    """The same in a transaction of `now`: in their order, and what `domain/pacing/lane.py` makes of each."""
    if not changes:
        return []
    blocks = [change for change in changes if isinstance(change, LaneBlock)]
    # A failure may count for its account too. All rows are locked at once, sorted by key, so that commits take turns.
    accounts = {account_of(block.lane) for block in blocks if block.failed}
    before = _lock(connection, {change.lane for change in changes} | accounts)
    # Only 45033 needs the number of calls in flight, because it halves it.
    halves = any(block.penalty is Penalty.PARALLEL for block in blocks)
    in_flight = calls_in_flight(connection) if halves else {}
    states, events = dict(before), list[LaneEvent]()
    for change in changes:
        events += apply_change(states, change, now, rules, in_flight.get(change.lane, 0))
    _save(
        connection,
        [state for name, state in sorted(states.items()) if state != before.get(name, fresh_state(name))],
        now,
    )
    _keep(connection, events, now)
    return events


def take_probe(connection: Connection, now_sql: str, lane: str, delay_us: int) -> bool:
    """Claims the one probe of a parked lane whose block ran out, and blocks it for the next interval."""
    # Compare-and-set: of several processes that see the block run out, one makes the call.
    take = (
        f"update worker_lanes set blocked_until = {now_sql} + :delay"
        f" where lane = :lane and parked = true and blocked_until <= {now_sql}"
    )
    return bool(execute(connection, take, {"delay": delay_us, "lane": lane}).rowcount)


def parked_for_token(connection: Connection, now_sql: str) -> list[str]:
    """Accounts whose credentials were refused, and whose probe is not due yet."""
    query = f"select lane from worker_lanes where parked = true and blocked_until > {now_sql} and cause = :cause"
    return [row[0] for row in fetch(connection, query, {"cause": Cause.TOKEN.value})]


def probe_now(connection: Connection, now_sql: str, account: str) -> None:
    """Lets an account that is parked for its token be tried at once; it stays parked until an answer comes."""
    probe = (
        f"update worker_lanes set blocked_until = {now_sql}"
        f" where lane = :account and parked = true and blocked_until > {now_sql} and cause = :cause"
    )
    run(connection, probe, {"account": account, "cause": Cause.TOKEN.value})


def try_changed(connection: Connection, now_sql: str, accounts: Collection[str]) -> None:
    """Lets accounts whose settings have changed be tried at once, where they are parked or could not be reached.

    They stay as they are until an answer comes; what waits for a limit, or because of a penalty, goes on waiting.
    """
    struck = rows_by_id(connection, "lane", "worker_lanes", accounts, "lane", only="and step > 0")
    update = dialect_of(connection).update_chosen("worker_lanes", f"blocked_until = {now_sql}", "lane")
    # Of an account that waits for a token only its reason tells.
    waiting = f" and blocked_until > {now_sql} and limit_name is null and step = 0"
    waiting += " and (parked = true or failures > 0 or reason like :gettoken)"
    run(connection, update + waiting, {"ids": ids_json(accounts), "gettoken": f"{GETTOKEN}%"})
    ask_again(connection, set(accounts) - {row[0] for row in struck})


def return_probe(connection: Connection, now_sql: str, lane: str, wait_us: int) -> None:
    """Returns the probe of a lane and its account that made no call; another part may try after `wait_us`.

    Where the lane's chat has nothing left of what its member allowed, that lane goes on waiting, and another one may
    try the account at once.
    """
    waits = "select lane from worker_lanes where lane = :lane and parked = true and cause = :cause"
    if fetch(connection, waits, {"lane": lane, "cause": Cause.ALLOWANCE.value}):
        lane, wait_us = account_of(lane), 0
    probe = (
        f"update worker_lanes set blocked_until = {now_sql} + :wait"
        f" where lane in (:lane, :account) and parked = true and blocked_until > {now_sql}"
    )
    run(connection, probe, {"wait": wait_us, "lane": lane, "account": account_of(lane)})


# -- people -----------------------------------------------------------------------------------------------------------


def list_lanes(connection: Connection, now_sql: str, account: str | None) -> list[dict[str, Any]]:
    """Rows of lanes that are blocked, parked, struck, narrowed or starting; each with `now`."""
    mine = "" if account is None else " and account = :account"
    query = (
        f"select {', '.join(_NAMES)}, {now_sql} as now from worker_lanes"
        f" where ({_says_something(now_sql)}){mine} order by account, lane"
    )
    return mappings(connection, query, {"account": account})


def list_lane_events(
    connection: Connection, account: str | None, limit: int, before: str | None = None
) -> list[dict[str, Any]]:
    """The newest steps of lanes (ids sort by time) below the id `before`; None: of all."""
    mine = "" if account is None else " and account = :account"
    query = f"select {_STEP_COLUMNS} from worker_lane_events where id < :before{mine} order by id desc limit :limit"
    return mappings(connection, query, {"limit": limit, "account": account, "before": before or "g"})


def keep_events(connection: Connection, now_sql: str, events: Sequence[LaneEvent]) -> None:
    """Writes events that change no lane's row."""
    _keep(connection, events, read_now(connection, now_sql))


def count_steps(connection: Connection, since: int) -> Counter[tuple[str, str]]:
    """How many steps of each kind each account has had since an instant, among the newest 10,000."""
    # The ids have the clock of the process that wrote them.
    newest = "select account, what, happened_at from worker_lane_events where id > :after order by id desc limit 10000"
    query = f"select account, what, count(*) from ({newest}) newest where happened_at > :since group by account, what"
    rows = fetch(connection, query, {"after": first_id(since - SKEW_US), "since": since})
    return Counter({(str(account), str(what)): int(count) for account, what, count in rows})


STEPS = 50


@dataclass(frozen=True, slots=True)
class LaneSteps:
    """What happened to some lanes and their account in a time, the oldest first."""

    rows: list[dict[str, Any]]
    are_more: bool
    """There were more before these."""


def steps_of_lanes(
    connection: Connection, account: str, lanes: Collection[str], since: int, until: int | None
) -> LaneSteps:
    """The last 50 steps of these lanes, of their account and about its settings, of a time; None: until now."""
    # The ids have the clock of the process that wrote them.
    given = {"after": first_id(since - SKEW_US), "since": since, "until": FOREVER if until is None else until}
    query = (
        f"select {_STEP_COLUMNS} from worker_lane_events where id > :after and account = :account"
        " and happened_at between :since and :until order by id desc"
    )
    wanted = {"", account, *lanes}
    found = (row for row in mappings(connection, query, {**given, "account": account}) if row["lane"] in wanted)
    rows = list(islice(found, STEPS + 1))
    return LaneSteps(rows[:STEPS][::-1], len(rows) > STEPS)


def lanes_of(connection: Connection, name: str) -> list[str]:
    """The lane of this key; for an account's name the account and its lanes that have a row."""
    query = "select lane from worker_lanes where lane = :name or account = :name order by lane"
    return [row[0] for row in execute(connection, query, {"name": name})]


# -- rows -------------------------------------------------------------------------------------------------------------


def _lock(connection: Connection, lanes: Iterable[str]) -> dict[str, LaneState]:
    dialect = dialect_of(connection)
    query = f"select {', '.join(_NAMES)} from {dialect.chosen('worker_lanes', 'lane')}{dialect.in_order('lane')}"
    states = (_state_of(row) for row in fetch(connection, query, {"ids": ids_json(lanes)}))
    return {state.lane: state for state in states}


def _state_of(row: Sequence[Any]) -> LaneState:
    state = LaneState(**dict(zip(_NAMES, row, strict=True)))
    return replace(state, parked=bool(state.parked), cause=Cause(state.cause) if state.cause else None)


def _save(connection: Connection, states: Sequence[LaneState], now: int) -> None:
    """Writes the rows; deletes those on which nothing is blocked, bounded or counted any more."""
    kept = [asdict(state) for state in states if not state.is_clear(now)]
    insert_rows(connection, tables.lanes, kept, conflict="replace")
    delete_by_id(connection, "worker_lanes", [state.lane for state in states if state.is_clear(now)], "lane")


def _keep(connection: Connection, events: Sequence[LaneEvent], now: int) -> None:
    rows = [{"id": uuid7().hex, **asdict(event), "what": str(event.what), "happened_at": now} for event in events]
    insert_rows(connection, tables.lane_events, rows)
    for (account, what), times in Counter((event.account, str(event.what)) for event in events).items():
        count(connection, "lane_events", account, what, times=times)


def calls_in_flight(connection: Connection) -> dict[str, int]:
    """Lane -> how many of its parts are being sent now."""
    query = "select lane, count(*) from worker_parts where state = 1 group by lane"
    return {lane: int(calls) for lane, calls in fetch(connection, query)}


def log_steps(steps: Sequence[LaneEvent]) -> None:
    """Logs one line for each step, with the same fields for beginnings and ends."""
    for step in steps:
        until = None if step.until is None else instant(step.until).isoformat(timespec="milliseconds")
        log.warning("lane", **{"what": step.what, **asdict(step), "until": until})
