"""The rows of the alerts that people are told of, and the accounts whose callbacks stopped.

Decides nothing: `service/notify/` says which alert is raised, and which has ended.
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
MOST = 10_000
"""Rows that are looked through; among more callbacks, accounts that are missing are looked for one by one."""
MANY = 10
"""Callbacks of an hour above which their absence a day later says something."""
_COLUMNS = tables.columns_of(tables.alerts)
_NOT_TAKEN = (JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED, JobState.CANCELLED)


@dataclass(slots=True)
class AlertRow:
    """One alert from its first sign on; the columns of its row."""

    id: str
    alert: str
    subject: str
    seen_at: int
    gone_at: int | None = None
    raised_at: int | None = None
    ended_at: int | None = None
    job_id: str | None = None


def alert_rows(connection: Connection) -> list[AlertRow]:
    """All of them, the oldest first."""
    return [AlertRow(*row) for row in fetch(connection, f"select {_COLUMNS} from worker_alerts order by id")]


def save_alerts(connection: Connection, rows: Sequence[AlertRow], gone: Collection[str] = ()) -> None:
    """Writes these rows, and deletes the ones with the ids that are `gone`."""
    insert_rows(connection, tables.alerts, [asdict(row) for row in rows], conflict="replace")
    delete_by_id(connection, "worker_alerts", gone)


def notices_not_taken(connection: Connection, now: str, jobs: Iterable[str]) -> dict[str, str]:
    """The jobs among these that the vendor has not taken, or not for certain, and that are not sent again."""
    states = ", ".join(str(int(state)) for state in _NOT_TAKEN)
    # A job in doubt is sent again until it expires; then it stays in doubt, and may have reached no person.
    ended = f"(state in ({states}) or (state = {int(JobState.UNKNOWN)} and expires_at <= {now}))"
    rows = rows_by_id(connection, "id, account", "worker_jobs", jobs, only=f"and {ended}")
    return {str(job): str(account) for job, account in rows}


def without_callbacks(connection: Connection, now: int) -> list[str]:
    """Accounts without a callback for an hour, of which the same hour a day before had more than ten."""
    hour = "select account from worker_inbound where received_at > :low and received_at <= :high"
    newest = f"{hour} order by received_at desc limit {MOST}"
    many = f"select account from ({newest}) newest group by account having count(*) > {MANY} order by account"
    lately = {"low": now - HOUR, "high": now}
    expected = [str(row[0]) for row in fetch(connection, many, {name: at - DAY for name, at in lately.items()})]
    if not expected:
        return []
    heard = {row[0] for row in fetch(connection, f"select distinct account from ({newest}) newest", lately)}
    one = f"{hour} and account = :account limit 1"
    missing = [account for account in expected if account not in heard]
    return [account for account in missing if not fetch(connection, one, {**lately, "account": account})]
