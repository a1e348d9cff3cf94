"""Orders: the parts of an account with the same order_key are sent one at a time, by (due_at, job, n).

Every part that other parts wait for has a row in `worker_order_queue`. Its producer inserts the row, and the
transaction that ends the part deletes it. The first row of an order has the turn: a part that was marked already,
otherwise the first by position. A part that has to wait sleeps: it is due never, until it is woken.

A transaction that decides about an order locks its row in `worker_orders`. So two marks never overtake each other, and
no part is put to sleep while the part before it ends. Parts without an order_key have no rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from worker.domain.job import part_range
from worker.domain.pacing.lane import with_accounts
from worker.domain.settle import FOREVER, WAITS_ITS_TURN, PartFacts, lets_order_go_on
from worker.domain.state import PartState
from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, ids_json, insert_rows, lock_rows, rows_by_id
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch, read_now, run
from worker.outbox.lanes.lanes import parked_lanes
from worker.outbox.lanes.waits import record_waits

# -- the producer -----------------------------------------------------------------------------------------------------


class OrderPosition(NamedTuple):
    """The row of a new part in its order. `append` adds its due_at."""

    part_id: str
    order_id: str
    job_id: str
    n: int
    skips: bool


def append(connection: Connection, places: Sequence[OrderPosition], due: Mapping[str, int]) -> None:
    """Adds parts to their orders. The caller's transaction has just inserted them.

    `due` has the due_at of jobs for which the caller knows it. For other jobs it is read.
    """
    unknown = {position.job_id for position in places} - set(due)
    if unknown:
        due = {**due, **dict(rows_by_id(connection, "id, due_at", "worker_jobs", unknown))}
    rows = [{**position._asdict(), "place_at": _place(due[position.job_id])} for position in sorted(places)]
    insert_rows(connection, tables.order_queue, rows)


def take_position(connection: Connection, old_job: str, new_job: str) -> None:
    """Gives the parts of a replay the positions of its original's parts, if these have ended and block their orders."""
    old_parts = _of_job(connection, old_job)
    # The order's row is not locked. At the caller's commit one first part replaces another, and it does not sleep.
    # Until then the old rows are locked here. Transactions that would delete them skip locked rows.
    if old_parts:
        first = dialect_of(connection).update_by_ids("worker_order_queue", "place_at = 0", "part_id")
        run(connection, first, {"ids": ids_json(_of_job(connection, new_job))})
        delete_by_id(connection, "worker_order_queue", old_parts, "part_id")


def move_positions(connection: Connection, orders: Mapping[str, str | None], at: int) -> None:
    """Moves parts (part -> its order) of which nothing may have been sent to the position of another due_at.

    If another part comes first then and sleeps, the relay wakes it (`stalled_orders`).
    """
    ordered = {part: order for part, order in orders.items() if order is not None}
    if ordered:
        _lock(connection, set(ordered.values()))
        update = dialect_of(connection).update_by_ids("worker_order_queue", "place_at = :at", "part_id")
        run(connection, update, {"at": _place(at), "ids": ids_json(ordered)})


def _place(due_at: int) -> int:
    """Returns the position of a part before its first mark. Marked parts have 0 and come first."""
    # A due time may be before 1970.
    return max(1, due_at)


def _of_job(connection: Connection, job_id: str) -> list[str]:
    query = "select part_id from worker_order_queue where part_id > :low and part_id < :high"
    return [row[0] for row in fetch(connection, query, part_range(job_id))]


# -- the group commit -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Position:
    order_id: str
    begun: bool
    skips: bool
    first: bool


class OrderQueue:
    """The orders of one group commit's parts. They stay locked until the commit."""

    def __init__(self, connection: Connection, parts: Mapping[str, PartFacts]):
        self._connection, self._parts = connection, parts
        self._ids = [part.id for part in parts.values() if part.order_id]
        self._changed_orders: set[str] = set()
        self._begun: list[str] = []
        _lock(connection, {part.order_id for part in parts.values() if part.order_id})
        self._position_of = _positions(connection, self._ids)

    def remove_finished(self) -> None:
        """Removes parts that no longer block their order, so that the next part comes first."""
        removed = [id for id, position in self._position_of.items() if self._may_leave(id, position)]
        if removed:
            _remove(self._connection, removed)
            self._changed_orders |= {self._position_of[id].order_id for id in removed}
            self._position_of = _positions(self._connection, self._ids)

    def _may_leave(self, id: str, position: _Position) -> bool:
        part = self._parts[id]
        return lets_order_go_on(part.state, part.not_before is None, position.skips)

    def has_turn(self, part: PartFacts) -> bool:
        """Returns whether a part is the first of its order, or has been removed from its order."""
        position = self._position_of.get(part.id)
        return position is None or position.first

    def record_mark(self, part: PartFacts) -> None:
        """Records that a part is marked. A part that is added later with an earlier due_at must not overtake it."""
        position = self._position_of.get(part.id)
        if position is not None and not position.begun:
            self._begun.append(part.id)

    def close(self, now: str) -> None:
        """Writes which parts were marked, removes ended parts, and wakes the next. Call it after the rows of parts."""
        if self._begun:
            begun = dialect_of(self._connection).update_by_ids("worker_order_queue", "place_at = 0", "part_id")
            run(self._connection, begun, {"ids": ids_json(self._begun)})
        self.remove_finished()
        if self._changed_orders:
            _wake_first(self._connection, self._changed_orders, now)


# -- the relay --------------------------------------------------------------------------------------------------------


def parts_not_first(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Returns those of the parts that have to wait for another part of their order. Takes no lock."""
    return [id for id, position in _positions(connection, ids).items() if not position.first]


def put_to_sleep(connection: Connection, now_sql: str, orders: Mapping[str, str]) -> None:
    """Lets those of the queued parts (part -> its order) that are not first wait until they are woken."""
    # Without the lock, the part before one of them could end meanwhile, and no transaction would wake it.
    _lock(connection, set(orders.values()))
    waiting = parts_not_first(connection, list(orders))
    sets = f"not_before = {FOREVER}, offered_until = null, reason = '{WAITS_ITS_TURN}', limit_name = null"
    update, queued = dialect_of(connection).update_by_ids("worker_parts", sets), " and state = 0 and waits_on is null"
    # One that was rescheduled meanwhile is not due any more: its turn must not wake it before its new time.
    run(connection, f"{update}{queued} and not_before <= {now_sql}", {"ids": ids_json(waiting)})
    asleep = rows_by_id(connection, "id", "worker_parts", waiting, only=f"{queued} and not_before = {FOREVER}")
    record_waits(connection, ((row[0], WAITS_ITS_TURN) for row in asleep), read_now(connection, now_sql))


# -- people and repairs -----------------------------------------------------------------------------------------------


def skip_first_parts(connection: Connection, now: str, job_id: str) -> list[str]:
    """Removes a job's parts from their orders if they come first and are not in flight. Returns their ids.

    Those that are still queued are sent when they can be.
    """
    query = "select id, order_id from worker_parts where id > :low and id < :high and order_id is not null"
    orders = dict(fetch(connection, query, part_range(job_id)))
    if not orders:
        return []
    _lock(connection, set(orders.values()))
    first_parts = _first_parts(connection, set(orders.values()))
    statuses = _part_statuses(connection, (head for head in first_parts.values() if head in orders))
    skipped = [part for part, status in statuses.items() if status.state is not PartState.SENDING]
    if skipped:
        _remove(connection, skipped)
        # A part whose position a replay is taking keeps its row; see `_remove`.
        still_ordered = parts_in_orders(connection, skipped)
        skipped = [part for part in skipped if part not in still_ordered]
        _wake_first(connection, {orders[part] for part in skipped}, now, skipped)
    return skipped


def orders_after(connection: Connection, after: str, count: int) -> list[str]:
    """Returns the next `count` orders after an id."""
    query = "select id from worker_orders where id > :after order by id limit :count"
    return [row[0] for row in fetch(connection, query, {"after": after, "count": count})]


def stalled_orders(connection: Connection, orders: Sequence[str]) -> list[str]:
    """Returns those of the orders that do not go on by themselves.

    Either the lane of their first part is parked and its job allows a gap. Or a worker of another release, or a person
    with SQL, has ended or woken parts without a change to the orders.
    """
    if not orders:
        return []
    first_parts = _first_parts(connection, orders)
    statuses = _part_statuses(connection, first_parts.values())
    return [
        order for order, head in first_parts.items() if head is None or (head in statuses and statuses[head].is_stalled)
    ]


def repair_orders(connection: Connection, now: str, orders: Iterable[str]) -> None:
    """Removes parts that block these orders without need, and wakes the parts that come first then.

    The removed parts are woken too. In a parked lane the second and third part sleep, and nothing would wake them
    outside of their order.
    """
    orders = set(orders)
    _lock(connection, orders)
    # A row that a replay has locked is not deleted. It must not be tried for ever.
    handled: set[str] = set()
    while True:
        first_parts = _part_statuses(connection, _first_parts(connection, orders).values())
        removed = {part for part, status in first_parts.items() if status.may_leave} - handled
        if not removed:
            break
        _remove(connection, removed)
        handled |= removed
    _wake_first(connection, orders, now, handled)


def parts_in_orders(connection: Connection, parts: Sequence[str]) -> set[str]:
    """Returns those of the parts that have a row in an order."""
    return {row[0] for row in rows_by_id(connection, "part_id", "worker_order_queue", parts, "part_id")}


@dataclass(frozen=True, slots=True)
class _PartStatus:
    """The state of a part of an order."""

    skips: bool
    """Whether its job allows a gap: the order goes on if the part cannot be sent."""
    state: PartState | None
    """None if the part's row has been deleted."""
    not_before: int | None
    waits_on: str | None
    is_parked: bool
    """Whether its lane or its account is parked."""

    @property
    def may_leave(self) -> bool:
        if self.state is None or lets_order_go_on(self.state, self.not_before is None, self.skips):
            return True
        return self.skips and self.is_parked and self.state is PartState.QUEUED

    @property
    def is_stalled(self) -> bool:
        sleeps = self.state is PartState.QUEUED and self.not_before == FOREVER and self.waits_on is None
        return sleeps or self.may_leave


def _part_statuses(connection: Connection, parts: Iterable[str | None]) -> dict[str, _PartStatus]:
    joins = " left join worker_parts p on p.id = t.part_id"
    source = dialect_of(connection).by_ids("worker_order_queue", "part_id", alias="t", joins=joins)
    query = f"select t.part_id, t.skips, p.state, p.not_before, p.waits_on, p.lane from {source}"
    rows = fetch(connection, query, {"ids": ids_json(part for part in parts if part)})
    names = with_accounts(row[5] for row in rows if row[1] and row[2] == PartState.QUEUED)
    parked = parked_lanes(connection, names) if names else ()
    return {
        part: _PartStatus(
            bool(skips),
            None if state is None else PartState(state),
            not_before,
            waits_on,
            bool(lane) and any(name in parked for name in with_accounts([lane])),
        )
        for part, skips, state, not_before, waits_on, lane in rows
    }


# -- the tables -------------------------------------------------------------------------------------------------------


def _lock(connection: Connection, orders: set[str]) -> None:
    """Locks the rows of the orders, sorted by id, and inserts missing rows."""
    lock_rows(connection, tables.orders, ("id",), orders, {order: {"id": order} for order in orders})


def _first(dialect: Dialect, order_id: str) -> str:
    """Returns the query for an order's first part. It reads one index entry, however long the order is."""
    source = f"from worker_order_queue e{dialect.force_index('worker_order_queue_next')} where e.order_id = {order_id}"
    return f"(select e.part_id {source} order by e.place_at, e.job_id, e.n limit 1)"


def _positions(connection: Connection, ids: Sequence[str]) -> dict[str, _Position]:
    dialect = dialect_of(connection)
    source = dialect.by_ids("worker_order_queue", "part_id", alias="t")
    query = f"select t.part_id, t.order_id, t.place_at, t.skips, {_first(dialect, 't.order_id')} from {source}"
    rows = fetch(connection, query, {"ids": ids_json(ids)})
    return {row[0]: _Position(row[1], row[2] == 0, bool(row[3]), row[4] == row[0]) for row in rows}


def _first_parts(connection: Connection, orders: Collection[str]) -> dict[str, str | None]:
    """Returns order -> its first part, or None if the order has no part."""
    dialect = dialect_of(connection)
    query = f"select o.id, {_first(dialect, 'o.id')} from {dialect.by_ids('worker_orders', alias='o')}"
    return dict(fetch(connection, query, {"ids": ids_json(orders)}))


def _remove(connection: Connection, parts: Collection[str]) -> None:
    """Removes parts from their orders, except rows that another transaction has locked."""
    dialect = dialect_of(connection)
    # A locked row is of a part whose position a replay is taking. No worker may wait for a producer's commit. That
    # commit deletes the row; after a rollback the active relay finds it (`stalled_orders`).
    free = f"select part_id from {dialect.by_ids('worker_order_queue', 'part_id')}{dialect.lock}{dialect.skip_locked}"
    if dialect.has_arrays:
        run(connection, f"delete from worker_order_queue where part_id = any(array({free}))", {"ids": ids_json(parts)})
        return
    if not dialect.has_one_writer:
        parts = [row[0] for row in fetch(connection, free, {"ids": ids_json(parts)})]
    delete_by_id(connection, "worker_order_queue", parts, "part_id")


def _wake_first(connection: Connection, orders: Collection[str], now: str, removed: Collection[str] = ()) -> None:
    """Wakes the first part of each order, and the parts `removed` from one, if they sleep. Deletes empty orders."""
    first_parts, dialect = _first_parts(connection, orders), dialect_of(connection)
    first = [*removed, *(head for head in first_parts.values() if head)]
    if first:
        sets = f"not_before = {now}, offered_until = null, reason = null"
        asleep = f"state = 0 and not_before = {FOREVER} and waits_on is null"
        run(connection, f"{dialect.update_by_ids('worker_parts', sets)} and {asleep}", {"ids": ids_json(first)})
    delete_by_id(connection, "worker_orders", [order for order, head in first_parts.items() if head is None])
