"""The rows of alerts, and what the alerts about notices and callbacks are found by.

Nothing is decided here: `service/notify/` decides which alert is raised and which has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, insert_rows, rows_by_id
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.sql import fetch

HOUR = 3_600 * SECOND
DAY = 24 * HOUR
MAX_CALLBACKS = 10_000
"""The largest number of callbacks of an hour that are read. If there were more, accounts that do not occur among them
are looked up one at a time."""
BUSY_HOUR = 10
"""An account with more callbacks than this in an hour is expected to have some in the same hour of the next day."""
_COLUMNS = tables.columns_of(tables.alerts)
_NOT_ACCEPTED = (JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED, JobState.CANCELLED)


@dataclass(slots=True)
class AlertRow:
    """One alert, from when its cause was first seen; a row of `worker_alerts`."""

    id: str
    alert: str
    subject: str
    seen_at: int
    gone_at: int | None = None
    raised_at: int | None = None
    ended_at: int | None = None
    job_id: str | None = None


def alert_rows(connection: Connection) -> list[AlertRow]:
    """Returns all alerts, the oldest first."""
    return [AlertRow(*row) for row in fetch(connection, f"select {_COLUMNS} from worker_alerts order by id")]


def save_alerts(connection: Connection, rows: Sequence[AlertRow], deleted: Collection[str] = ()) -> None:
    """Inserts or replaces these rows, and deletes the rows with the ids in `deleted`."""
    insert_rows(connection, tables.alerts, [asdict(row) for row in rows], conflict="replace")
    delete_by_id(connection, "worker_alerts", deleted)


def failed_notices(connection: Connection, now_sql: str, jobs: Iterable[str]) -> dict[str, str]:
    """Returns those of the jobs that ended without being certainly accepted, each with its account."""
    states = ", ".join(str(int(state)) for state in _NOT_ACCEPTED)
    # A job in doubt is sent again until it expires; then it stays in doubt, and may have reached no person.
    ended = f"(state in ({states}) or (state = {int(JobState.UNKNOWN)} and expires_at <= {now_sql}))"
    rows = rows_by_id(connection, "id, account", "worker_jobs", jobs, only=f"and {ended}")
    return {str(job): str(account) for job, account in rows}


def accounts_without_callbacks(connection: Connection, now: int) -> list[str]:
    """Returns accounts without a callback in the last hour that had more than ten in the same hour a day before."""
    hour = "select account from worker_inbound where received_at > :low and received_at <= :high"
    newest = f"{hour} order by received_at desc limit {MAX_CALLBACKS}"
    busy = f"select account from ({newest}) newest group by account having count(*) > {BUSY_HOUR} order by account"
    last_hour = {"low": now - HOUR, "high": now}
    expected = [str(row[0]) for row in fetch(connection, busy, {name: at - DAY for name, at in last_hour.items()})]
    if not expected:
        return []
    active = {row[0] for row in fetch(connection, f"select distinct account from ({newest}) newest", last_hour)}
    # `active` may be incomplete, because only the newest callbacks were read.
    any_callback = f"{hour} and account = :account limit 1"
    candidates = [account for account in expected if account not in active]
    return [account for account in candidates if not fetch(connection, any_callback, {**last_hour, "account": account})]
