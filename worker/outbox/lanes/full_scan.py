"""The full scan over all lanes: which of them have a due part, and how many parts an account has queued.

A queue here is a pair of lane and priority. Each queue costs one step in the index, however many parts it has, and one
statement reads a slice of many queues. Nothing here takes a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection

from worker.domain.pacing.lane import account_of, lane_range
from worker.domain.settle import FOREVER
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.lanes.offering import by_lane

ScanPosition = tuple[str, int]
"""The lane and priority that the scan has reached."""
START: ScanPosition = ("", 0)
SLICE_SIZE = 1_000
"""How many queues a report reads in one statement."""


def lanes_with_due(
    connection: Connection, now: str, after: ScanPosition, count: int
) -> tuple[set[str], ScanPosition | None]:
    """Returns the lanes with a due part among the next `count` queues, and the position of the last queue read.

    The position is None if there are no more queues.
    """
    queues, last = queues_with_due(connection, now, after, count)
    return {lane for lane, _, _ in queues}, last


def queues_with_due(
    connection: Connection, now: str, after: ScanPosition, count: int
) -> tuple[list[tuple[str, int, int]], ScanPosition | None]:
    """Returns the next queues with a due part as (lane, priority, when its first part became due), and the position."""
    lane, priority = after
    sql = _scan_sql(dialect_of(connection), now)
    rows = fetch(connection, sql, {"lane": lane, "priority": priority, "count": count})
    last = next(((row[0], row[1]) for row in rows if row[2] == count), None)
    return [(row[0], int(row[1]), int(row[4])) for row in rows if row[3]], last


def first_queues_with_due(connection: Connection, now: str, limit: int) -> Iterator[tuple[str, int, int]]:
    """Yields the queues with a due part among the first `limit` queues, slice by slice. Reads the last slice whole."""
    after: ScanPosition | None = START
    scanned = 0
    while after is not None and scanned < limit:
        queues, after = queues_with_due(connection, now, after, SLICE_SIZE)
        scanned += SLICE_SIZE
        yield from queues


def is_any_due_for(connection: Connection, now: str, before_us: int) -> bool:
    """Returns whether a queued part has been due for this many microseconds. Reads one entry of the index by time."""
    dialect = dialect_of(connection)
    query = (
        f"select 1 from worker_parts{dialect.by_partial_index('worker_parts_due')} where state = 0"
        f" and not_before <= {dialect.stable_now(now)} - :before limit 1"
    )
    return bool(fetch(connection, query, {"before": before_us}))


def accounts_with_queued(connection: Connection) -> Iterator[str]:
    """Yields the accounts that have queued parts. Reads one index entry for each account, however many parts it has."""
    queue = by_lane(dialect_of(connection))
    query = f"select lane from {queue} where state = 0 and lane > :after order by lane limit 1"
    after = ""
    while rows := fetch(connection, query, {"after": after}):
        account = account_of(rows[0][0])
        yield account
        after = lane_range(account)["high"]


class Queued(NamedTuple):
    """The queued parts of a lane."""

    due: int
    parts: int
    """All of them."""
    paused: int
    """Parts that wait for a person to end a pause."""


def queued_by_lane(connection: Connection, now: str, account: str, limit: int) -> dict[str, Queued]:
    """Returns the queued parts of an account by lane. Reads at most `limit` parts."""
    dialect = dialect_of(connection)
    # With an order by lane, PostgreSQL does not read all other accounts' backlogs in the index by time.
    first = (
        f"select lane, case when not_before <= {dialect.stable_now(now)} then 1 else 0 end as is_due,"
        f" case when not_before > {FOREVER} then 1 else 0 end as is_paused"
        f" from {by_lane(dialect)} where state = 0 and lane > :low and lane < :high order by lane limit {limit}"
    )
    query = f"select lane, sum(is_due), count(*), sum(is_paused) from ({first}) part group by lane"
    return {lane: Queued(*map(int, counts)) for lane, *counts in fetch(connection, query, lane_range(account))}


@lru_cache(maxsize=8)
def _scan_sql(dialect: Dialect, now: str) -> str:
    now = dialect.stable_now(now)
    due = f"case when not_before <= {now} then 1 else 0 end"
    columns = f"lane, priority, nth, {due}, not_before"
    return f"{_STEPS[dialect.skip_scan_by]} select {columns} from walk where not_before <= {now} or nth = :count"


_ORDER = "order by lane, priority, not_before, id limit 1"
_NEXT = f"where state = 0 and (lane, priority) > ({{}}) {_ORDER}"
_FIRST = f"select lane, priority, not_before, 1 as nth from worker_parts {_NEXT.format(':lane, :priority')}"


def _row_after(lane: str, priority: str) -> str:
    """Returns the SQL for the rowid of the next row on SQLite: first in the same lane, then in the following lanes."""
    # Two conditions, because SQLite does not use the index to compare a pair (lane, priority).
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
    # SQLite has no LATERAL, so each step finds the rowid of the next row.
    "rowid": (
        "with recursive walk as (select lane, priority, not_before, 1 as nth from worker_parts"
        f" where rowid = {_row_after(':lane', ':priority')}"
        " union all select p.lane, p.priority, p.not_before, nth + 1 from walk cross join worker_parts p"
        f" on p.rowid = {_row_after('walk.lane', 'walk.priority')} where nth < :count)"
    ),
    # MariaDB's recursive steps use no index (measured: 20 ms each). GROUP BY jumps from group to group if the groups
    # are long ("Using index for group-by"), but only if it names the index's columns from the first column on.
    "groups": (
        "with walk as (select lane, priority, not_before, row_number() over (order by lane, priority) as nth from"
        " (select lane, priority, min(not_before) as not_before from worker_parts"
        " where state = 0 and (lane > :lane or lane = :lane and priority > :priority)"
        " group by state, lane, priority order by lane, priority limit :count) slice)"
    ),
}
