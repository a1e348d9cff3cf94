"""The tables, column by column: where each value comes from and when it is NULL.

They are in the producer's database, so every name starts with `worker_`. Instants are integer microseconds UTC by the
database's clock. Ids are UUIDv7 as 32 hex digits, made by the producer; a part's id is `<job id>-<n>`, so all parts of
a job are side by side in the primary key. No foreign keys: producers must never wait for a row that workers update.
"""

from __future__ import annotations

from worker.outbox.tables.callback import chats, events, inbound
from worker.outbox.tables.columns import PREFIX, columns_of, is_made, metadata
from worker.outbox.tables.content import blob_chunks, blob_uses, blobs, bodies, duplicates, media
from worker.outbox.tables.job import jobs, order_queue, orders, parts, terms, unindexed
from worker.outbox.tables.lane import (
    budgets,
    counts,
    grants,
    lane_events,
    lanes,
    leases,
    pauses,
    processes,
    site,
    tokens,
    totals,
)
from worker.outbox.tables.people import accounts, alerts, audit, sessions, sign_ins
from worker.outbox.tables.record import attempts, confirmations, failures, receipts, response_codes, task_ids, waits

__all__ = [
    "VERSION_TABLE",
    "accounts",
    "alerts",
    "attempts",
    "audit",
    "blob_chunks",
    "blob_uses",
    "blobs",
    "bodies",
    "budgets",
    "chats",
    "columns_of",
    "confirmations",
    "counts",
    "duplicates",
    "events",
    "failures",
    "grants",
    "inbound",
    "include_object",
    "is_made",
    "jobs",
    "lane_events",
    "lanes",
    "leases",
    "media",
    "metadata",
    "order_queue",
    "orders",
    "parts",
    "pauses",
    "processes",
    "receipts",
    "response_codes",
    "sessions",
    "sign_ins",
    "site",
    "task_ids",
    "terms",
    "tokens",
    "totals",
    "unindexed",
    "waits",
]

VERSION_TABLE = PREFIX + "alembic_version"


def include_object(obj: object, name: str | None, type_: str, reflected: bool, compare_to: object) -> bool:
    """For the application's own Alembic `env.py`: leaves our tables out of its autogenerate."""
    table = name if type_ == "table" else getattr(getattr(obj, "table", None), "name", None)
    return not (table or "").startswith(PREFIX)
