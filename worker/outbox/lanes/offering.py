"""The relay's reads and writes: lanes with due parts, the first due parts of a lane, and the offers.

Never counts a backlog; every query is bounded by an index and a limit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sqlalchemy import Connection

from worker.domain.pacing.quiet import QUIET_HOURS
from worker.domain.pause import Pause
from worker.domain.settle import FOREVER, PAUSED
from worker.outbox import tables
from worker.outbox.engine.bulk import Row, ids_json, rows_by_id, update_rows
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import execute, fetch, read_now, run
from worker.outbox.lanes.pauses import STANDS, with_jobs
from worker.outbox.lanes.waits import note_waits


@dataclass(frozen=True, slots=True)
class NewlyDue:
    """The parts of a lane that became due and are not offered."""

    newest: int
    """The latest instant at which one of them became due, in microseconds."""
    priority: int
    """The most urgent priority among them."""
    parts: int


def lanes_newly_due(connection: Connection, now: str, since: int, limit: int) -> dict[str, NewlyDue]:
    """The lanes with parts that became due after an instant and are not offered.

    At most so many parts are read, the oldest first.
    """
    dialect = dialect_of(connection)
    query = (
        "select lane, max(not_before), min(priority), count(*) from"
        f" (select lane, not_before, priority from worker_parts{dialect.by_partial_index('worker_parts_due')}"
        " where state = 0"
        f" and not_before > :since and not_before <= {dialect.read_once(now)} and offered_until is null"
        " order by not_before limit :limit) due group by lane"
    )
    rows = execute(connection, query, {"since": since, "limit": limit})
    return {lane: NewlyDue(*row) for lane, *row in rows}


@dataclass(frozen=True, slots=True)
class Head:
    """The first due parts of a lane, of one priority."""

    ids: list[str]
    """Due parts that are not in the broker, as far as the rows show."""
    out: list[str]
    """Due parts that are in the broker."""
    first: str | None = None
    """The first due part, in the broker or not; None: nothing is due."""
    first_is_free: bool = False
    """True when the first part is not offered: it never was, or a sender released it."""
    again: bool = False
    """True when some of the ids were offered before and not taken in time."""
    orders: Mapping[str, str] = field(default_factory=dict)
    """Ordered parts among the ids -> their order."""

    @property
    def due(self) -> int:
        """How many parts are due in all, up to the window asked for."""
        return len(self.ids) + len(self.out)

    def without(self, later: Collection[str]) -> Head:
        """The same head without some parts, which have to wait."""
        ids = [part for part in self.ids if part not in later]
        return self if len(ids) == len(self.ids) else replace(self, ids=ids)


NOTHING_DUE = Head([], [])


def by_lane(dialect: Dialect) -> str:
    """The table of parts, read through the index that begins with the lane."""
    # By its own statistics MariaDB would read a lane's head through the index by time, and with it all other backlogs.
    return f"worker_parts{dialect.by_partial_index('worker_parts_queue')}"


def _of_lane(dialect: Dialect) -> tuple[str, str]:
    """What `lane` has to be equal to, and how the order begins."""
    # An array and an order by lane: otherwise PostgreSQL may walk the index by time through all other lanes' backlogs.
    return ("any(array[:lane])", "lane, ") if dialect.has_arrays else (":lane", "")


@lru_cache(maxsize=8)
def _head(dialect: Dialect, now: str) -> str:
    now = dialect.read_once(now)
    lane, order = _of_lane(dialect)
    return (
        f"select id, offered_until, case when offered_until > {now} then 1 else 0 end, order_id from {by_lane(dialect)}"
        f" where state = 0 and lane = {lane} and priority = :priority and not_before <= {now}"
        f" order by {order}not_before, id limit :window"
    )


def head_of_lane(connection: Connection, now: str, lane: str, priority: int, window: int) -> Head:
    """The first `window` due parts of a lane with this priority."""
    params = {"lane": lane, "priority": priority, "window": window}
    rows = fetch(connection, _head(dialect_of(connection), now), params)
    if not rows:
        return NOTHING_DUE
    free = [row for row in rows if not row[2]]
    again = any(row[1] is not None for row in free)
    orders = {row[0]: row[3] for row in free if row[3] is not None}
    out = [row[0] for row in rows if row[2]]
    return Head([row[0] for row in free], out, rows[0][0], rows[0][1] is None, again, orders)


@lru_cache(maxsize=8)
def _like(dialect: Dialect, now: str, due: str, condition: str) -> str:
    """Parts with the same spec as one, among the first `window` of its lane and priority whose time is `due`."""
    lane, order = _of_lane(dialect)
    # Where a temporary table with long texts is made on disk, `spec` is read from the table afterwards.
    spec = "" if dialect.spills_long_texts else ", spec"
    head = (
        f"(select id, offered_until, order_id, limit_name{spec} from {by_lane(dialect)} where state = 0"
        f" and lane = {lane} and priority = :priority and not_before {due} {dialect.read_once(now)}"
        f" order by {order}not_before, id limit :window) head"
    )
    if dialect.spills_long_texts:
        head += f"{dialect.join('worker_parts p')} on p.id = head.id"
    return (
        f"select head.id from {head} where head.id <> :id and {condition}"
        " and spec = (select spec from worker_parts where id = :id) limit :most"
    )


def like(connection: Connection, now: str, lane: str, priority: int, part: str, window: int, most: int) -> list[str]:
    """Unordered parts outside the broker with the same spec as one, among the first `window` due in its lane."""
    dialect = dialect_of(connection)
    free = f"head.order_id is null and {_unoffered(dialect.read_once(now), 'head')}"
    params = {"lane": lane, "priority": priority, "id": part, "window": window, "most": most}
    return [row[0] for row in fetch(connection, _like(dialect, now, "<=", free), params)]


_WAITS_FOR_ROOM = f"head.limit_name is not null and head.limit_name <> '{QUIET_HOURS}'"


def wake_like(connection: Connection, now: str, lane: str, priority: int, part: str, window: int) -> None:
    """Makes the first part that waits for a limit, and has the same spec as one, due now.

    It is looked for among the first `window` of the lane that are due later.
    """
    params = {"lane": lane, "priority": priority, "id": part, "window": window, "most": 1}
    found = fetch(connection, _like(dialect_of(connection), now, ">", _WAITS_FOR_ROOM), params)
    for row in found:
        wake = f"update worker_parts set not_before = {now} where id = :id and state = 0 and limit_name is not null"
        run(connection, wake, {"id": row[0]})


def offer(connection: Connection, now: str, ids: Sequence[str], wait_us: int) -> list[str]:
    """Notes, by compare-and-set, that these ids are in the broker for `wait_us`; returns the ids it set."""
    dialect = dialect_of(connection)
    if dialect.has_returning:
        free = {row[0] for row in execute(connection, _offer(dialect, now), {"ids": ids_json(ids), "wait": wait_us})}
    else:
        # The transaction that locks the rows first sets them, and the next one sees that.
        free = {row[0] for row in execute(connection, _lock_free(dialect, now), {"ids": ids_json(ids)})}
        execute(connection, _offer(dialect, now), {"ids": ids_json(free), "wait": wait_us})
    return [part for part in ids if part in free]


@lru_cache(maxsize=8)
def _offer(dialect: Dialect, now: str) -> str:
    update = dialect.update_chosen("worker_parts", f"offered_until = {now} + :wait")
    return f"{update}{_free(now)} returning id" if dialect.has_returning else update


@lru_cache(maxsize=8)
def _lock_free(dialect: Dialect, now: str) -> str:
    return f"select id from {dialect.chosen('worker_parts')}{_free(now)}{dialect.in_order()}"


def _free(now: str) -> str:
    return f" and state = 0 and {_unoffered(now)}"


def _unoffered(now: str, of: str = "worker_parts") -> str:
    """The condition of a part that is not in the broker: it never was offered, or the offer is over."""
    return f"({of}.offered_until is null or {of}.offered_until <= {now})"


def kinds_of(connection: Connection, parts: Sequence[str]) -> dict[str, str]:
    """Lane -> kind of job, for the lanes of these parts."""
    return {str(lane): str(kind) for lane, kind in with_jobs(connection, "p.lane, j.kind", parts)}


def jobs_behind(connection: Connection, parts: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Part -> the kind of its job, and when it was enqueued."""
    rows = with_jobs(connection, "p.id, j.kind, j.created_at", parts)
    return {part: (kind, int(created_at)) for part, kind, created_at in rows}


def some_paused(connection: Connection) -> bool:
    """True while anything is paused."""
    return bool(fetch(connection, f"select 1 where {STANDS}"))


def put_off(connection: Connection, now: str, until: Mapping[str, int]) -> None:
    """Makes these queued parts, if they are not offered, due at another instant each."""
    _postpone(connection, now, [{"id": part, "not_before": instant} for part, instant in sorted(until.items())])


def park(connection: Connection, now: str, paused: Mapping[str, Pause]) -> None:
    """Parks these queued parts on their pauses, as far as they are not offered."""
    rows = [
        {"id": part, "not_before": pause.parked_until, "reason": PAUSED, "limit_name": None}
        for part, pause in sorted(paused.items())
    ]
    _postpone(connection, now, rows)
    parked = rows_by_id(connection, "id", "worker_parts", paused, only=f"and state = 0 and not_before > {FOREVER}")
    note_waits(connection, ((row[0], PAUSED) for row in parked), read_now(connection, now))


def _postpone(connection: Connection, now: str, rows: Sequence[Row]) -> None:
    """Writes these columns of queued parts that are not offered, and forgets offers that were lost."""
    rows = [{**row, "offered_until": None} for row in rows]
    update_rows(connection, tables.parts, ("id",), rows, only=f"state = 0 and {_unoffered(now)}")


def ending_before(connection: Connection, ids: Collection[str], instant: int) -> set[str]:
    """The ids among these whose parts expire by an instant."""
    ending = rows_by_id(connection, "id", "worker_parts", ids, only="and expires_at <= :instant", instant=instant)
    return {row[0] for row in ending}


def still_offered(connection: Connection, now: str, ids: Iterable[str]) -> list[str]:
    """The ids among these that wait in the broker: neither marked nor released, and their offer has not lapsed."""
    waiting = f"and state = 0 and offered_until > {now}"
    return [row[0] for row in rows_by_id(connection, "id", "worker_parts", ids, only=waiting)]


def expired(connection: Connection, now: str, limit: int) -> dict[str, bool]:
    """Queued parts past their `expires_at`, and whether an earlier call of theirs is in doubt."""
    query = (
        "select id, doubts from worker_parts where state = 0 and expires_at is not null"
        f" and expires_at <= {dialect_of(connection).known_once(now)} limit :limit"
    )
    return {row[0]: bool(row[1]) for row in execute(connection, query, {"limit": limit})}
