"""The order of parts with one order_key of an account: one at a time, by (due_at, job, n).

Every part that others have to wait for has a row in `worker_order_queue`, inserted by its producer and deleted by the
transaction that ends the part. The first row of an order has the turn: a part that was marked already, otherwise the
first by its place. A transaction that decides about an order locks its row in `worker_orders`: so two marks never
overtake each other, and no part is put to sleep while the one before it ends. Parts without an order_key have no rows.
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
from worker.outbox.engine.bulk import delete_by_id, ids_json, insert_rows, rows_by_id
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch, read_now, run
from worker.outbox.lanes.lanes import parked_lanes
from worker.outbox.lanes.waits import record_waits

TRIES = 10
"""How often an order's row is inserted at most: another transaction may delete it, with the order's last part, before
it is locked."""


# -- the producer -----------------------------------------------------------------------------------------------------


class OrderPlace(NamedTuple):
    """The row of a new part in its order; its due_at is added by `append`."""

    part_id: str
    order_id: str
    job_id: str
    n: int
    skips: bool


def append(connection: Connection, places: Sequence[OrderPlace], due: Mapping[str, int]) -> None:
    """Adds parts that the caller's transaction has just inserted to their orders.

    `due` has the due_at of jobs where it is known already; for the others it is read.
    """
    unknown = {place.job_id for place in places} - set(due)
    if unknown:
        due = {**due, **dict(rows_by_id(connection, "id, due_at", "worker_jobs", unknown))}
    rows = [{**place._asdict(), "place_at": due[place.job_id]} for place in sorted(places)]
    insert_rows(connection, tables.order_queue, rows)


def take_place(connection: Connection, old_job: str, new_job: str) -> None:
    """Puts the parts of a replay in the place of its ended original's parts, if these keep others waiting."""
    holding = _of_job(connection, old_job)
    # The order's row is not locked: at the caller's commit one first part replaces another, and it does not sleep.
    # Until then the old rows are locked here, and transactions that would delete them skip locked rows.
    if holding:
        first = dialect_of(connection).update_chosen("worker_order_queue", "place_at = 0", "part_id")
        run(connection, first, {"ids": ids_json(_of_job(connection, new_job))})
        delete_by_id(connection, "worker_order_queue", holding, "part_id")


def move_places(connection: Connection, orders: Mapping[str, str | None], at: int) -> None:
    """Gives parts (part -> its order) that were not begun the place of another due_at.

    Where another part comes first then, and sleeps, the active relay wakes it (`stalled`).
    """
    ordered = {part: order for part, order in orders.items() if order is not None}
    if ordered:
        _lock(connection, set(ordered.values()))
        update = dialect_of(connection).update_chosen("worker_order_queue", "place_at = :at", "part_id")
        run(connection, f"{update} and place_at > 0", {"at": at, "ids": ids_json(ordered)})


def _of_job(connection: Connection, job_id: str) -> list[str]:
    query = "select part_id from worker_order_queue where part_id > :low and part_id < :high"
    return [row[0] for row in fetch(connection, query, part_range(job_id))]


# -- the group commit -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Place:
    order_id: str
    begun: bool
    skips: bool
    first: bool


class OrderQueue:
    """The orders of one group commit's parts, locked."""

    def __init__(self, connection: Connection, parts: Mapping[str, PartFacts]):
        self._connection, self._parts = connection, parts
        self._ids = [part.id for part in parts.values() if part.order_id]
        self._left: set[str] = set()
        self._begun: list[str] = []
        _lock(connection, {part.order_id for part in parts.values() if part.order_id})
        self._places = _places(connection, self._ids)

    def go_on(self) -> None:
        """Takes parts that no longer hold their order up out of it, so that the next part comes first."""
        gone = [id for id, place in self._places.items() if self._lets_go(id, place)]
        if gone:
            _leave(self._connection, gone)
            self._left |= {self._places[id].order_id for id in gone}
            self._places = _places(self._connection, self._ids)

    def _lets_go(self, id: str, place: _Place) -> bool:
        part = self._parts[id]
        return lets_order_go_on(part.state, part.not_before is None, place.skips)

    def has_turn(self, part: PartFacts) -> bool:
        """True for the first part of its order, and for a part that has been taken out of its order."""
        place = self._places.get(part.id)
        return place is None or place.first

    def begin(self, part: PartFacts) -> None:
        """Notes that a part is marked, so that no part which is added later with an earlier due_at overtakes it."""
        place = self._places.get(part.id)
        if place is not None and not place.begun:
            self._begun.append(part.id)

    def close(self, now: str) -> None:
        """Writes which parts were begun, takes out those that ended, and wakes the next; after the parts' rows."""
        if self._begun:
            begun = dialect_of(self._connection).update_chosen("worker_order_queue", "place_at = 0", "part_id")
            run(self._connection, begun, {"ids": ids_json(self._begun)})
        self.go_on()
        if self._left:
            _wake(self._connection, self._left, now)


# -- the relay --------------------------------------------------------------------------------------------------------


def out_of_turn(connection: Connection, ids: Sequence[str]) -> list[str]:
    """The ordered parts among these that have to wait for others, as read without locks."""
    return [id for id, place in _places(connection, ids).items() if not place.first]


def send_to_sleep(connection: Connection, now_sql: str, orders: Mapping[str, str]) -> None:
    """Lets those of these queued parts (part -> its order) that are not first wait until they are woken."""
    # Without the lock the part before one of them could end meanwhile, and no transaction would wake it.
    _lock(connection, set(orders.values()))
    waiting = out_of_turn(connection, list(orders))
    sets = f"not_before = {FOREVER}, offered_until = null, reason = '{WAITS_ITS_TURN}', limit_name = null"
    dialect, sleepers = dialect_of(connection), " and state = 0 and waits_on is null"
    run(connection, dialect.update_chosen("worker_parts", sets) + sleepers, {"ids": ids_json(waiting)})
    asleep = rows_by_id(connection, "id", "worker_parts", waiting, only=sleepers)
    record_waits(connection, ((row[0], WAITS_ITS_TURN) for row in asleep), read_now(connection, now_sql))


# -- people, and what went wrong --------------------------------------------------------------------------------------


def skip(connection: Connection, now: str, job_id: str) -> list[str]:
    """Takes a job's parts that are first and not in the air out of their orders; returns their ids.

    Those that are still queued are sent when they can be.
    """
    query = "select id, order_id from worker_parts where id > :low and id < :high and order_id is not null"
    orders = dict(fetch(connection, query, part_range(job_id)))
    if not orders:
        return []
    _lock(connection, set(orders.values()))
    heads = _heads(connection, set(orders.values()))
    found = _standing(connection, (head for head in heads.values() if head in orders))
    passed = [part for part, one in found.items() if one.state is not PartState.SENDING]
    if passed:
        _leave(connection, passed)
        # A part whose place a replay is taking keeps its row, see `_leave`.
        kept = in_line(connection, passed)
        passed = [part for part in passed if part not in kept]
        _wake(connection, {orders[part] for part in passed}, now, passed)
    return passed


def orders_after(connection: Connection, after: str, count: int) -> list[str]:
    """The next `count` orders after one, by id."""
    query = "select id from worker_orders where id > :after order by id limit :count"
    return [row[0] for row in fetch(connection, query, {"after": after, "count": count})]


def stalled(connection: Connection, orders: Sequence[str]) -> list[str]:
    """The orders among these that do not go on by themselves.

    Either their first part is parked with its lane and its job allows a gap; or a worker of another release, or an SQL
    statement of a person, ended or woke parts and left the orders as they were.
    """
    if not orders:
        return []
    heads = _heads(connection, orders)
    found = _standing(connection, heads.values())
    return [order for order, head in heads.items() if head is None or (head in found and found[head].is_stalled)]


def mend(connection: Connection, now: str, orders: Iterable[str]) -> None:
    """Takes parts that hold these orders up without need out of them, and wakes the parts that are first then.

    Those that were taken out are woken too: the second and third of a parked lane sleep, and outside of an order no
    step looks for them.
    """
    orders = set(orders)
    _lock(connection, orders)
    # A row that a replay holds is not deleted, and must not be tried for ever.
    tried: set[str] = set()
    while True:
        heads = _standing(connection, _heads(connection, orders).values())
        gone = {part for part, one in heads.items() if one.lets_go} - tried
        if not gone:
            break
        _leave(connection, gone)
        tried |= gone
    _wake(connection, orders, now, tried)


def in_line(connection: Connection, parts: Sequence[str]) -> set[str]:
    """The parts among these that have a row in an order."""
    return {row[0] for row in rows_by_id(connection, "part_id", "worker_order_queue", parts, "part_id")}


@dataclass(frozen=True, slots=True)
class _Standing:
    """The state of a part of an order; without a state the part's row is gone."""

    skips: bool
    state: PartState | None
    not_before: int | None
    waits_on: str | None
    is_parked: bool
    """True when its lane or its account is parked."""

    @property
    def lets_go(self) -> bool:
        if self.state is None or lets_order_go_on(self.state, self.not_before is None, self.skips):
            return True
        return self.skips and self.is_parked and self.state is PartState.QUEUED

    @property
    def is_stalled(self) -> bool:
        sleeps = self.state is PartState.QUEUED and self.not_before == FOREVER and self.waits_on is None
        return sleeps or self.lets_go


def _standing(connection: Connection, parts: Iterable[str | None]) -> dict[str, _Standing]:
    joins = " left join worker_parts p on p.id = t.part_id"
    source = dialect_of(connection).chosen("worker_order_queue", "part_id", alias="t", joins=joins)
    query = f"select t.part_id, t.skips, p.state, p.not_before, p.waits_on, p.lane from {source}"
    rows = fetch(connection, query, {"ids": ids_json(part for part in parts if part)})
    names = with_accounts(row[5] for row in rows if row[1] and row[2] == PartState.QUEUED)
    parked = parked_lanes(connection, names) if names else ()
    return {
        part: _Standing(
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
    """Locks the orders' rows, sorted by id, and inserts those that are missing."""
    dialect = dialect_of(connection)
    query = f"select id from {dialect.chosen('worker_orders')}{dialect.in_order()}"
    for _ in range(TRIES):
        missing = orders - {row[0] for row in fetch(connection, query, {"ids": ids_json(orders)})}
        if not missing:
            return
        insert_rows(connection, tables.orders, [{"id": order} for order in sorted(missing)], conflict="ignore")
    raise AssertionError("the rows of orders go as fast as they are made")


def _first(dialect: Dialect, order_id: str) -> str:
    """The query of an order's first part, which is one step in the index however long the order is."""
    line = f"from worker_order_queue e{dialect.force_index('worker_order_queue_next')} where e.order_id = {order_id}"
    return f"(select e.part_id {line} order by e.place_at, e.job_id, e.n limit 1)"


def _places(connection: Connection, ids: Sequence[str]) -> dict[str, _Place]:
    dialect = dialect_of(connection)
    source = dialect.chosen("worker_order_queue", "part_id", alias="t")
    query = f"select t.part_id, t.order_id, t.place_at, t.skips, {_first(dialect, 't.order_id')} from {source}"
    rows = fetch(connection, query, {"ids": ids_json(ids)})
    return {row[0]: _Place(row[1], row[2] == 0, bool(row[3]), row[4] == row[0]) for row in rows}


def _heads(connection: Connection, orders: Collection[str]) -> dict[str, str | None]:
    """The first part of each of these orders; None: the order has no part."""
    dialect = dialect_of(connection)
    query = f"select o.id, {_first(dialect, 'o.id')} from {dialect.chosen('worker_orders', alias='o')}"
    return dict(fetch(connection, query, {"ids": ids_json(orders)}))


def _leave(connection: Connection, parts: Collection[str]) -> None:
    """Takes parts out of their orders, except those whose rows another transaction has locked."""
    dialect = dialect_of(connection)
    # Locked rows are of parts whose place a replay is taking, and no worker waits for a producer's commit. That commit
    # deletes the row; after a rollback the active relay finds it (`stalled`).
    free = f"select part_id from {dialect.chosen('worker_order_queue', 'part_id')}{dialect.lock}{dialect.skip_locked}"
    if dialect.has_arrays:
        run(connection, f"delete from worker_order_queue where part_id = any(array({free}))", {"ids": ids_json(parts)})
        return
    if not dialect.has_one_writer:
        parts = [row[0] for row in fetch(connection, free, {"ids": ids_json(parts)})]
    delete_by_id(connection, "worker_order_queue", parts, "part_id")


def _wake(connection: Connection, orders: Collection[str], now: str, gone: Collection[str] = ()) -> None:
    """Makes the first part of each order due, and those that have `gone` out of one, if they sleep.

    Deletes orders without a part.
    """
    heads, dialect = _heads(connection, orders), dialect_of(connection)
    first = [*gone, *(head for head in heads.values() if head)]
    if first:
        sets = f"not_before = {now}, offered_until = null, reason = null"
        asleep = f"state = 0 and not_before = {FOREVER} and waits_on is null"
        run(connection, f"{dialect.update_chosen('worker_parts', sets)} and {asleep}", {"ids": ids_json(first)})
    delete_by_id(connection, "worker_orders", [order for order, head in heads.items() if head is None])
