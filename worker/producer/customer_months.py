"""Warns of customers who would get more group messages in a month than the vendor may let through.

The vendor counts what every member sends to a customer, and passes over a customer with too many in silence. Only our
own messages are known here: those whose task the vendor has accepted and that were not taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.outbox.engine.clock import instant, micros_of, now_in
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.customers import customers_sent_to
from worker.producer.plan import PlannedJob, dump

CHINA = timezone(timedelta(hours=8))
"""The vendor's calendar. It has had no summer time since 1991."""


def warn_of_full_months(connection: Connection, planned: Sequence[PlannedJob]) -> None:
    """Adds a warning to each job with a customer who has had as many messages this month as the channel counts."""
    since = month_of(instant(read_now(connection, now_in(connection))))
    counts: dict[str, Counter[str]] = {}
    for job_plan in planned:
        account, most = job_plan.job["account"], channel(job_plan.job["channel"]).customer_month or 0
        if account not in counts:
            counts[account] = Counter(customers_sent_to(connection, account, micros_of(since)))
        before = counts[account]
        full = sum(before[customer] >= most for customer in job_plan.customers)
        before.update(job_plan.customers)
        if full:
            warning = (
                f"external_userid: {full} of them had {most} messages of this account this month already; the vendor"
                " may pass over them without an error, which a track shows as quota_spent"
            )
            job_plan.warnings = (*job_plan.warnings, warning)
            job_plan.job["warnings"] = dump(job_plan.warnings)


def month_of(now: datetime) -> datetime:
    """Returns when the calendar month in China began."""
    return now.astimezone(CHINA).replace(day=1, hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
