"""Records why parts begin to wait, one row for each part and reason, and reads the waiting parts page by page.

`why` reads the rows, also those of waits that are over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import mappings

MAX_REASON = 100
"""The length at which a stored reason is cut, in characters."""


def wait_rows(waits: Iterable[tuple[str, str]], now: int) -> list[dict[str, Any]]:
    """Returns the rows of parts that begin to wait now, sorted by part. `waits` has pairs of part and reason."""
    return [{"part_id": part, "reason": reason[:MAX_REASON], "began_at": now} for part, reason in sorted(waits)]


def record_waits(connection: Connection, waits: Iterable[tuple[str, str]], now: int) -> None:
    """Records that parts begin to wait now. Call it in the transaction that has changed their rows."""
    insert_rows(connection, tables.waits, wait_rows(waits, now), conflict="replace")


# -- waiting parts ----------------------------------------------------------------------------------------------------

Cursor = tuple[int, str]
"""The `not_before` and the id of the last part of a page. The next page begins after it."""
FIRST_PAGE: Cursor = (0, "")

_PART = (
    *("id", "job_id", "lane", "priority", "state", "not_before", "first_marked_at", "tries", "doubts", "reason"),
    *("limit_name", "waits_on", "order_id"),
)
_COLUMNS = ", ".join(_PART)
_BOTH = ", ".join(
    (*(f"p.{name}" for name in _PART), "j.kind, j.channel, j.account, j.due_at, j.created_at, j.cancelled_at, j.n_open")
)


def queued_page(connection: Connection, after: Cursor, limit: int) -> list[dict[str, Any]]:
    """Returns the next queued parts with columns of their jobs, in the order in which they are due."""
    parts = f"worker_parts{dialect_of(connection).by_partial_index('worker_parts_due')}"
    # State 0 is `queued`.
    page = (
        f"select {_COLUMNS} from {parts} where state = 0 and not_before >= :at and (not_before > :at or id > :id)"
        " order by not_before, id limit :limit"
    )
    return _with_jobs(connection, page, {"at": after[0], "id": after[1], "limit": limit})


def doubtful_page(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Returns some of the parts in state `unknown`, also those that are held for a person."""
    # State 6 is `unknown`.
    return _with_jobs(connection, f"select {_COLUMNS} from worker_parts where state = 6 limit :limit", {"limit": limit})


def lane_rows(connection: Connection, now_sql: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Returns the rows of these lanes and accounts by name, each with `now`. Some have no row."""
    source = dialect_of(connection).by_ids("worker_lanes", "lane")
    query = f"select {tables.columns_of(tables.lanes)}, {now_sql} as now from {source}"
    return {row["lane"]: row for row in mappings(connection, query, {"ids": ids_json(names)})}


def ended_jobs(connection: Connection, jobs: Iterable[str]) -> dict[str, JobState]:
    """Returns job -> state for those of the jobs that have ended."""
    ended = f"and state not in ({int(JobState.OPEN)}, {int(JobState.UNKNOWN)})"
    return {id: JobState(state) for id, state in rows_by_id(connection, "id, state", "worker_jobs", jobs, only=ended)}


def _with_jobs(connection: Connection, page: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    join = dialect_of(connection).join("worker_jobs j")
    query = f"select {_BOTH} from ({page}) p{join} on j.id = p.job_id order by p.not_before, p.id"
    return mappings(connection, query, params)
