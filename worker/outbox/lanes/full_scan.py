"""The full scan: which of all lanes with queued parts have one that is due, and how much an account has queued.

Each lane and priority costs one step in the index, however many parts it has, and one statement makes all steps of a
slice. It returns only lanes with a due part. Nothing here takes a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from sqlalchemy import Connection

from worker.domain.pacing.lane import account_of, lane_range
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.lanes.offering import by_lane

Place = tuple[str, int]
"""The last lane and priority of a slice."""
START: Place = ("", 0)
SLICE = 1_000
"""Pairs of lane and priority that a report reads in one statement."""


def lanes_with_due(connection: Connection, now: str, after: Place, count: int) -> tuple[set[str], Place | None]:
    """The lanes with a due part among the next `count` pairs of lane and priority; and where the slice ended.

    None: there are no more.
    """
    places, last = places_with_due(connection, now, after, count)
    return {lane for lane, _, _ in places}, last


def places_with_due(
    connection: Connection, now: str, after: Place, count: int
) -> tuple[list[tuple[str, int, int]], Place | None]:
    """The same as (lane, priority, instant since which its first part is due)."""
    lane, priority = after
    sql = _walk(dialect_of(connection), now)
    rows = fetch(connection, sql, {"lane": lane, "priority": priority, "count": count})
    last = next(((row[0], row[1]) for row in rows if row[2] == count), None)
    return [(row[0], int(row[1]), int(row[4])) for row in rows if row[3]], last


def first_places_with_due(connection: Connection, now: str, most: int) -> Iterator[tuple[str, int, int]]:
    """The same of the first `most` pairs of lane and priority, slice by slice; the last slice is read whole."""
    after: Place | None = START
    seen = 0
    while after is not None and seen < most:
        places, after = places_with_due(connection, now, after, SLICE)
        seen += SLICE
        yield from places


def any_due_since(connection: Connection, now: str, before_us: int) -> bool:
    """True when some queued part has been due for so many microseconds; one probe of the index by time."""
    dialect = dialect_of(connection)
    query = (
        f"select 1 from worker_parts{dialect.by_partial_index('worker_parts_due')} where state = 0"
        f" and not_before <= {dialect.read_once(now)} - :before limit 1"
    )
    return bool(fetch(connection, query, {"before": before_us}))


def accounts_with_queued(connection: Connection) -> Iterator[str]:
    """The accounts that have queued parts, one look into the index for each, however many others there are."""
    queue = by_lane(dialect_of(connection))
    query = f"select lane from {queue} where state = 0 and lane > :after order by lane limit 1"
    after = ""
    while rows := fetch(connection, query, {"after": after}):
        account = account_of(rows[0][0])
        yield account
        after = lane_range(account)["high"]


def queued_by_lane(connection: Connection, now: str, account: str, most: int) -> dict[str, tuple[int, int]]:
    """The parts of an account by lane: how many are due, and how many are queued; `most` parts are read."""
    dialect = dialect_of(connection)
    # In order of the lane: otherwise PostgreSQL may walk the index by time through all other accounts' backlogs.
    first = (
        f"select lane, case when not_before <= {dialect.read_once(now)} then 1 else 0 end as is_due"
        f" from {by_lane(dialect)} where state = 0 and lane > :low and lane < :high order by lane limit {most}"
    )
    query = f"select lane, sum(is_due), count(*) from ({first}) part group by lane"
    return {lane: (int(due), int(parts)) for lane, due, parts in fetch(connection, query, lane_range(account))}


@lru_cache(maxsize=8)
def _walk(dialect: Dialect, now: str) -> str:
    now = dialect.read_once(now)
    due = f"case when not_before <= {now} then 1 else 0 end"
    columns = f"lane, priority, nth, {due}, not_before"
    return f"{_STEPS[dialect.steps_by]} select {columns} from walk where not_before <= {now} or nth = :count"


_ORDER = "order by lane, priority, not_before, id limit 1"
_NEXT = f"where state = 0 and (lane, priority) > ({{}}) {_ORDER}"
_FIRST = f"select lane, priority, not_before, 1 as nth from worker_parts {_NEXT.format(':lane, :priority')}"


def _row_after(lane: str, priority: str) -> str:
    """The rowid of the next row on SQLite: first in the same lane, then behind it."""
    # Two conditions, because SQLite compares a pair (lane, priority) with every row instead of the index.
    queue = "select rowid from worker_parts indexed by worker_parts_queue where state = 0"
    same = f"{queue} and lane = {lane} and priority > {priority} {_ORDER}"
    return f"coalesce(({same}), ({queue} and lane > {lane} {_ORDER}))"


_STEPS = {
    "lateral": (
        f"with recursive walk as (({_FIRST})"
        " union all select next.lane, next.priority, next.not_before, nth + 1 from walk cross join lateral"
        f" (select lane, priority, not_before from worker_parts {_NEXT.format('walk.lane, walk.priority')}) next"
        " where nth < :count)"
    ),
    # SQLite has no LATERAL, so each step finds the row's number.
    "rowid": (
        "with recursive walk as (select lane, priority, not_before, 1 as nth from worker_parts"
        f" where rowid = {_row_after(':lane', ':priority')}"
        " union all select p.lane, p.priority, p.not_before, nth + 1 from walk cross join worker_parts p"
        f" on p.rowid = {_row_after('walk.lane', 'walk.priority')} where nth < :count)"
    ),
    # MariaDB's recursive steps use no index (measured: 20 ms each). GROUP BY steps from group to group where groups are
    # long ("Using index for group-by"), but only when it names the index's columns from the first one on.
    "groups": (
        "with walk as (select lane, priority, not_before, row_number() over (order by lane, priority) as nth from"
        " (select lane, priority, min(not_before) as not_before from worker_parts"
        " where state = 0 and (lane > :lane or lane = :lane and priority > :priority)"
        " group by state, lane, priority order by lane, priority limit :count) slice)"
    ),
}
