"""What is queued, by account and lane: read through the index of the queue, without a lock."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from worker.domain.pacing.lane import account_of, lane_range
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.lanes.offering import by_lane


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
