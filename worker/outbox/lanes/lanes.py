"""The rows of lanes and accounts, whose blocks hold for all of their parts without a change to these.

Locks the rows in the order of their keys, lets `domain/pacing/lane.py` decide, and writes them with an event for each
step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import groupby, islice
from typing import Any

import structlog
from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.domain.account import GETTOKEN
from worker.domain.job import first_id
from worker.domain.outcome import Penalty
from worker.domain.pacing import lane as deciding
from worker.domain.pacing.lane import (
    Cause,
    LaneBlock,
    LaneEvent,
    LaneFacts,
    LaneRules,
    Success,
    account_of,
)
from worker.domain.settle import FOREVER
from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, ids_json, insert_rows, rows_by_id
from worker.outbox.engine.clock import instant
from worker.outbox.engine.counting import count
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import execute, fetch, mappings, read_now, run
from worker.outbox.lanes.tokens import ask_again

log = structlog.get_logger()

SKEW_US = 3_600_000_000
"""By how much the clocks of processes may differ, where a range of ids is to hold all of a time."""
_NAMES = tuple(column.name for column in tables.lanes.columns)
_STEP_COLUMNS = tables.columns_of(tables.lane_events)


@dataclass(frozen=True, slots=True)
class Noted:
    """The state of some lanes and accounts; most have no row and are in none of the fields."""

    blocked: Mapping[str, int] = field(default_factory=dict)
    """Blocked lanes and accounts -> microseconds until the block ends."""
    parked: frozenset[str] = frozenset()
    """Lanes and accounts that wait for a person; when their block runs out, one job may try."""
    calls: Mapping[str, int] = field(default_factory=dict)
    """Lanes and accounts with a bound -> how many calls all processes together may have in the air."""
    needs_feedback: frozenset[str] = frozenset()
    """Lanes and accounts whose row the next answer must update: they have a call bound, a penalty step or failures in
    a row."""
    used_up: Mapping[str, str] = field(default_factory=dict)
    """Blocked lanes and accounts that wait only for a limit of ours -> the limit's name. Calls that have reserved
    already may be made."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Lanes and accounts -> their calls in a row that say the vendor is ill."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Lanes or accounts whose blocks are lifted, as far as they have this cause."""

    lanes: tuple[str, ...]
    why: str
    cause: Cause


def noted(connection: Connection, now_sql: str, names: Iterable[str]) -> Noted:
    """The state of these lanes and accounts; the cost does not depend on other rows."""
    rows = fetch(connection, _noted(dialect_of(connection), now_sql), {"ids": ids_json(names)})
    return Noted(
        {row[0]: int(row[1]) for row in rows if row[1] > 0},
        frozenset(row[0] for row in rows if row[2]),
        {row[0]: int(row[3]) for row in rows if row[3] is not None},
        frozenset(row[0] for row in rows if row[3] is not None or row[4]),
        {row[0]: row[5] for row in rows if row[1] > 0 and not row[2] and row[5] is not None},
        {row[0]: int(row[6]) for row in rows if row[6]},
    )


@lru_cache(maxsize=8)
def _noted(dialect: Dialect, now_sql: str) -> str:
    stands = f"blocked_until > {now_sql} or parked = true or calls is not null or step > 0 or failures > 0"
    columns = f"lane, blocked_until - {now_sql}, parked, calls, step + failures, limit_name, failures"
    return f"select {columns} from {dialect.chosen('worker_lanes', 'lane')} and ({stands})"


def parked_among(connection: Connection, names: Iterable[str]) -> set[str]:
    """The lanes and accounts among these that wait for a person."""
    return {row[0] for row in rows_by_id(connection, "lane", "worker_lanes", names, "lane", only="and parked = true")}


def block_lanes(
    connection: Connection, now_sql: str, blocks: Sequence[LaneBlock], rules: LaneRules = deciding.RULES
) -> list[LaneEvent]:
    """Writes the blocks; `domain/pacing/lane.py` decides about a lane that is blocked already."""
    if not blocks:
        return []
    return move_lanes(connection, read_now(connection, now_sql), blocks, rules)


def move_lanes(
    connection: Connection,
    now: int,
    changes: Sequence[LaneBlock | Success],
    rules: LaneRules,
) -> list[LaneEvent]:
    """Applies a transaction's answers, in their order, to lanes and accounts; returns the steps that were written."""
    if not changes:
        return []
    blocks = [one for one in changes if isinstance(one, LaneBlock)]
    # A failure may count for its account too. All rows are locked at once, sorted by key, so that commits take turns.
    rows = _lock(connection, {one.lane for one in changes} | {block.account for block in blocks if block.failed})
    # Only 45033 needs the number of calls in the air, because it halves it.
    air = calls_in_the_air(connection) if any(block.penalty is Penalty.PARALLEL for block in blocks) else {}
    before = {name: asdict(facts) for name, facts in rows.items()}
    events: list[LaneEvent] = []
    for one in changes:
        if isinstance(one, LaneBlock):
            events += _meet(rows, one, now, rules, air)
        elif one.lane in rows:
            events += deciding.succeed(rows[one.lane], one, now, rules)
    _save(connection, [facts for name, facts in sorted(rows.items()) if before.get(name) != asdict(facts)], now)
    _keep(connection, events, now)
    return events


def _meet(
    rows: dict[str, LaneFacts], block: LaneBlock, now: int, rules: LaneRules, air: Mapping[str, int]
) -> list[LaneEvent]:
    """Applies a block to its lane and, when it is a failure that reaches so far, to the lane's account."""
    facts = rows.setdefault(block.lane, LaneFacts(block.lane, block.account))
    failures = facts.failures
    events = [deciding.meet(facts, block, now, rules, air.get(block.lane, 0))]
    # It does until the lane's own breaker opens: later failures say nothing new about the other lanes.
    if block.lane != block.account and failures < facts.failures < rules.failures:
        # Without a delay: the account is blocked only if its own breaker opens.
        account = rows.setdefault(block.account, LaneFacts(block.account, block.account))
        same = replace(block, lane=block.account, label=block.account, delay=0.0)
        events.append(deciding.meet(account, same, now, rules))
    return [event for event in events if event]


def carry_out(
    connection: Connection,
    now_sql: str,
    changes: Sequence[LaneBlock | Success | Resume],
    rules: LaneRules = deciding.RULES,
) -> list[LaneEvent]:
    """Applies answers and what lifts blocks, in their order; returns the steps that were written."""
    steps: list[LaneEvent] = []
    for _, together in groupby(changes, lambda one: isinstance(one, Resume)):
        answers = list[LaneBlock | Success]()
        for one in together:
            if isinstance(one, Resume):
                steps += resume_lanes(connection, now_sql, one.lanes, one.why, cause=one.cause)
            else:
                answers.append(one)
        if answers:
            steps += move_lanes(connection, read_now(connection, now_sql), answers, rules)
    return steps


def begin_lanes(connection: Connection, now_sql: str, lanes: Iterable[str]) -> None:
    """Lets lanes start with one call in the air after a time without calls."""
    names = sorted(set(lanes))
    if not names:
        return
    now = read_now(connection, now_sql)
    rows = _lock(connection, names)
    started = [rows.get(name) or LaneFacts(name, account_of(name)) for name in names]
    for facts in started:
        # A narrowed lane is left as it is: `begin` would end the rest between two growths of its bound.
        if facts.blocked_until <= now and (facts.calls is None or not facts.rest_s):
            deciding.begin(facts, now)
    _save(connection, started, now)


def resume_lanes(
    connection: Connection,
    now_sql: str,
    lanes: Sequence[str],
    why: str,
    *,
    cause: Cause | None = None,
    ends_penalty: bool = False,
) -> list[LaneEvent]:
    """Lifts blocks and parkings of these lanes or accounts; then each starts with one call in the air.

    With `cause` only those that are blocked for this cause. `ends_penalty`: the next 45009 counts as the first.
    """
    now = read_now(connection, now_sql)
    rows = [facts for _, facts in sorted(_lock(connection, lanes).items()) if cause in (None, facts.cause)]
    closed = [facts for facts in rows if facts.parked or facts.blocked_until > now]
    events = [deciding.resume(facts, now, why, ends_penalty=ends_penalty) for facts in closed]
    _save(connection, closed, now)
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
        f"select {', '.join(_NAMES)}, {now_sql} as now from worker_lanes where (blocked_until > {now_sql}"
        f" or parked = true or calls is not null or step > 0 or failures > 0){mine} order by account, lane"
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


def _lock(connection: Connection, lanes: Iterable[str]) -> dict[str, LaneFacts]:
    dialect = dialect_of(connection)
    query = f"select {', '.join(_NAMES)} from {dialect.chosen('worker_lanes', 'lane')}{dialect.in_order('lane')}"
    found: dict[str, LaneFacts] = {}
    for row in fetch(connection, query, {"ids": ids_json(lanes)}):
        facts = LaneFacts(**dict(zip(_NAMES, row, strict=True)))
        facts.parked, facts.cause = bool(facts.parked), Cause(facts.cause) if facts.cause else None
        found[facts.lane] = facts
    return found


def _save(connection: Connection, rows: Sequence[LaneFacts], now: int) -> None:
    """Writes the rows; deletes those on which nothing is blocked, bounded or counted any more."""
    kept = [asdict(facts) for facts in rows if not facts.says_nothing(now)]
    insert_rows(connection, tables.lanes, kept, conflict="replace")
    delete_by_id(connection, "worker_lanes", [facts.lane for facts in rows if facts.says_nothing(now)], "lane")


def _keep(connection: Connection, events: Sequence[LaneEvent], now: int) -> None:
    rows = [{"id": uuid7().hex, **asdict(event), "what": str(event.what), "happened_at": now} for event in events]
    insert_rows(connection, tables.lane_events, rows)
    for (account, what), times in Counter((event.account, str(event.what)) for event in events).items():
        count(connection, "lane_events", account, what, times=times)


def calls_in_the_air(connection: Connection) -> dict[str, int]:
    """Lane -> how many of its parts are being sent now."""
    query = "select lane, count(*) from worker_parts where state = 1 group by lane"
    return {lane: int(calls) for lane, calls in fetch(connection, query)}


def log_steps(steps: Sequence[LaneEvent]) -> None:
    """Logs one line for each step, with the same fields for beginnings and ends."""
    for step in steps:
        until = None if step.until is None else instant(step.until).isoformat(timespec="milliseconds")
        log.warning("lane", **{"what": step.what, **asdict(step), "until": until})
