"""Reads which lanes have due parts and which parts of a lane come first, and writes the relay's offers.

No query counts a backlog. Each one uses an index and a limit.
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
from worker.outbox.lanes.pauses import ANY_ACTIVE, with_jobs
from worker.outbox.lanes.waits import record_waits


@dataclass(frozen=True, slots=True)
class NewlyDue:
    """The parts of a lane that have become due and are not offered."""

    newest: int
    """When the last of them became due, in microseconds."""
    priority: int
    """The most urgent priority among them."""
    parts: int
    """How many there are."""


def lanes_newly_due(connection: Connection, now: str, since: int, limit: int) -> dict[str, NewlyDue]:
    """Returns the lanes with parts that have become due since an instant and are not offered.

    Reads at most `limit` parts, the oldest first.
    """
    dialect = dialect_of(connection)
    # State 0 is `queued`. The numbers stand in the SQL, because with bound values no partial index is used.
    query = (
        "select lane, max(not_before), min(priority), count(*) from"
        f" (select lane, not_before, priority from worker_parts{dialect.by_partial_index('worker_parts_due')}"
        " where state = 0"
        f" and not_before > :since and not_before <= {dialect.stable_now(now)} and offered_until is null"
        " order by not_before limit :limit) due group by lane"
    )
    rows = execute(connection, query, {"since": since, "limit": limit})
    return {lane: NewlyDue(*row) for lane, *row in rows}


@dataclass(frozen=True, slots=True)
class DueBatch:
    """The first due parts of a lane with one priority."""

    ids: list[str]
    """The parts that are not in the broker, as far as the rows show."""
    in_broker: list[str]
    """The parts that are in the broker."""
    first: str | None = None
    """The first due part, in the broker or not, or None if nothing is due."""
    first_is_free: bool = False
    """Whether the first part was never offered, or was released by a sender."""
    was_offered: bool = False
    """Whether some of the ids were offered before, but no worker marked them in time."""
    orders: Mapping[str, str] = field(default_factory=dict)
    """Part id -> order id, for the ids that have an order_key."""

    @property
    def due(self) -> int:
        """How many parts are due in all, at most the batch size."""
        return len(self.ids) + len(self.in_broker)

    def without(self, waiting: Collection[str]) -> DueBatch:
        """Returns a copy without the parts in `waiting`."""
        ids = [part for part in self.ids if part not in waiting]
        return self if len(ids) == len(self.ids) else replace(self, ids=ids)


NOTHING_DUE = DueBatch([], [])


def by_lane(dialect: Dialect) -> str:
    """Returns the table of parts with a hint to use the index that begins with the lane."""
    # By its own statistics MariaDB would use the index by time and read all other lanes' backlogs too.
    return f"worker_parts{dialect.by_partial_index('worker_parts_queue')}"


def _lane_and_order(dialect: Dialect) -> tuple[str, str]:
    """Returns the SQL that `lane` has to be equal to, and the beginning of the ORDER BY."""
    # With an array and an order by lane, PostgreSQL does not read all other lanes' backlogs in the index by time.
    return ("any(array[:lane])", "lane, ") if dialect.has_arrays else (":lane", "")


@lru_cache(maxsize=8)
def _due_batch_sql(dialect: Dialect, now: str) -> str:
    now = dialect.stable_now(now)
    lane, order = _lane_and_order(dialect)
    return (
        f"select id, offered_until, case when offered_until > {now} then 1 else 0 end, order_id from {by_lane(dialect)}"
        f" where state = 0 and lane = {lane} and priority = :priority and not_before <= {now}"
        f" order by {order}not_before, id limit :batch_size"
    )


def read_due_batch(connection: Connection, now: str, lane: str, priority: int, batch_size: int) -> DueBatch:
    """Reads the first `batch_size` due parts of a lane with this priority."""
    params = {"lane": lane, "priority": priority, "batch_size": batch_size}
    rows = fetch(connection, _due_batch_sql(dialect_of(connection), now), params)
    if not rows:
        return NOTHING_DUE
    free = [row for row in rows if not row[2]]
    was_offered = any(row[1] is not None for row in free)
    orders = {row[0]: row[3] for row in free if row[3] is not None}
    in_broker = [row[0] for row in rows if row[2]]
    return DueBatch([row[0] for row in free], in_broker, rows[0][0], rows[0][1] is None, was_offered, orders)


@lru_cache(maxsize=8)
def _same_spec_sql(dialect: Dialect, now: str, due: str, condition: str) -> str:
    """Selects parts with the same spec as a given part, among the first `batch_size` parts of its lane and priority.

    `due` compares their time with now: "<=" for parts that are due, ">" for later ones.
    """
    lane, order = _lane_and_order(dialect)
    # Some databases write a temporary table with long texts to disk. There `spec` is read from the table afterwards.
    spec = "" if dialect.spills_long_texts else ", spec"
    candidates = (
        f"(select id, offered_until, order_id, limit_name{spec} from {by_lane(dialect)} where state = 0"
        f" and lane = {lane} and priority = :priority and not_before {due} {dialect.stable_now(now)}"
        f" order by {order}not_before, id limit :batch_size) candidates"
    )
    if dialect.spills_long_texts:
        candidates += f"{dialect.join('worker_parts p')} on p.id = candidates.id"
    return (
        f"select candidates.id from {candidates} where candidates.id <> :id and {condition}"
        " and spec = (select spec from worker_parts where id = :id) limit :limit"
    )


def parts_with_same_spec(
    connection: Connection, now: str, lane: str, priority: int, part: str, batch_size: int, limit: int
) -> list[str]:
    """Returns unordered parts with the same spec as `part`, which are not offered.

    Searches the first `batch_size` due parts of the lane and returns at most `limit` ids.
    """
    dialect = dialect_of(connection)
    free = f"candidates.order_id is null and {_is_unoffered(dialect.stable_now(now), 'candidates')}"
    params = {"lane": lane, "priority": priority, "id": part, "batch_size": batch_size, "limit": limit}
    return [row[0] for row in fetch(connection, _same_spec_sql(dialect, now, "<=", free), params)]


_WAITS_FOR_LIMIT = f"candidates.limit_name is not null and candidates.limit_name <> '{QUIET_HOURS}'"


def wake_part_with_same_spec(
    connection: Connection, now: str, lane: str, priority: int, part: str, batch_size: int
) -> None:
    """Makes the first part due now that waits for a limit and has the same spec as `part`.

    Searches the first `batch_size` parts of the lane that are due later.
    """
    params = {"lane": lane, "priority": priority, "id": part, "batch_size": batch_size, "limit": 1}
    rows = fetch(connection, _same_spec_sql(dialect_of(connection), now, ">", _WAITS_FOR_LIMIT), params)
    for row in rows:
        wake = f"update worker_parts set not_before = {now} where id = :id and state = 0 and limit_name is not null"
        run(connection, wake, {"id": row[0]})


def offer(connection: Connection, now: str, ids: Sequence[str], wait_us: int) -> list[str]:
    """Writes to the parts' rows that the ids are in the broker for `wait_us`. Returns the ids that it wrote."""
    dialect = dialect_of(connection)
    if dialect.has_returning:
        free = {
            row[0] for row in execute(connection, _offer_sql(dialect, now), {"ids": ids_json(ids), "wait": wait_us})
        }
    else:
        # The transaction that locks the rows first sets them. The next one sees the offer and leaves them.
        free = {row[0] for row in execute(connection, _lock_free_sql(dialect, now), {"ids": ids_json(ids)})}
        execute(connection, _offer_sql(dialect, now), {"ids": ids_json(free), "wait": wait_us})
    return [part for part in ids if part in free]


@lru_cache(maxsize=8)
def _offer_sql(dialect: Dialect, now: str) -> str:
    update = dialect.update_by_ids("worker_parts", f"offered_until = {now} + :wait")
    return f"{update}{_is_free(now)} returning id" if dialect.has_returning else update


@lru_cache(maxsize=8)
def _lock_free_sql(dialect: Dialect, now: str) -> str:
    return f"select id from {dialect.by_ids('worker_parts')}{_is_free(now)}{dialect.lock_in_order()}"


def _is_free(now: str) -> str:
    return f" and state = 0 and {_is_unoffered(now)}"


def _is_unoffered(now: str, of: str = "worker_parts") -> str:
    """Returns the condition for a part that is not in the broker: it never was offered, or its offer has lapsed."""
    return f"({of}.offered_until is null or {of}.offered_until <= {now})"


def kind_of_lanes(connection: Connection, parts: Sequence[str]) -> dict[str, str]:
    """Returns lane -> kind of job, for the lanes of these parts."""
    return {str(lane): str(kind) for lane, kind in with_jobs(connection, "p.lane, j.kind", parts)}


def jobs_of_parts(connection: Connection, parts: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Returns part -> (kind of its job, when the job was enqueued)."""
    rows = with_jobs(connection, "p.id, j.kind, j.created_at", parts)
    return {part: (kind, int(created_at)) for part, kind, created_at in rows}


def is_anything_paused(connection: Connection) -> bool:
    """Returns whether there is any pause that has not ended."""
    return bool(fetch(connection, f"select 1 where {ANY_ACTIVE}"))


def postpone(connection: Connection, now: str, until: Mapping[str, int]) -> None:
    """Makes each of these parts due at its own instant in `until`, if it is due and not offered."""
    _update_unoffered(connection, now, [{"id": part, "not_before": instant} for part, instant in sorted(until.items())])


def park_on_pauses(connection: Connection, now: str, paused: Mapping[str, Pause]) -> None:
    """Lets each of these parts wait until its pause ends, if it is due and not offered."""
    rows = [
        {"id": part, "not_before": pause.parked_until, "reason": PAUSED, "limit_name": None}
        for part, pause in sorted(paused.items())
    ]
    _update_unoffered(connection, now, rows)
    parked = rows_by_id(connection, "id", "worker_parts", paused, only=f"and state = 0 and not_before > {FOREVER}")
    record_waits(connection, ((row[0], PAUSED) for row in parked), read_now(connection, now))


def _update_unoffered(connection: Connection, now: str, rows: Sequence[Row]) -> None:
    """Writes these columns of queued parts that are due and not offered. Clears offers that have lapsed."""
    rows = [{**row, "offered_until": None} for row in rows]
    # One that was rescheduled since it was read is not due any more, and keeps its new time.
    is_due = f"state = 0 and worker_parts.not_before <= {now}"
    update_rows(connection, tables.parts, ("id",), rows, only=f"{is_due} and {_is_unoffered(now)}")


def expiring_before(connection: Connection, ids: Collection[str], instant: int) -> set[str]:
    """Returns those of the ids whose parts expire by an instant."""
    ending = rows_by_id(connection, "id", "worker_parts", ids, only="and expires_at <= :instant", instant=instant)
    return {row[0] for row in ending}


def still_offered(connection: Connection, now: str, ids: Iterable[str]) -> list[str]:
    """Returns those of the ids that still wait in the broker: not marked, not released, and the offer not lapsed."""
    waiting = f"and state = 0 and offered_until > {now}"
    return [row[0] for row in rows_by_id(connection, "id", "worker_parts", ids, only=waiting)]


def expired_parts(connection: Connection, now: str, limit: int) -> dict[str, bool]:
    """Returns queued parts past their `expires_at`: part -> whether an earlier call is in doubt."""
    query = (
        "select id, doubts from worker_parts where state = 0 and expires_at is not null"
        f" and expires_at <= {dialect_of(connection).planned_now(now)} limit :limit"
    )
    return {row[0]: bool(row[1]) for row in execute(connection, query, {"limit": limit})}
