"""What parts wait for, as they begin to: a row for each part and reason, which `why` tells also when it is over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows

REASON = 100
"""Characters that are kept of what a part waits for."""


def wait_rows(waits: Iterable[tuple[str, str]], now: int) -> list[dict[str, Any]]:
    """The rows of parts that begin to wait now, each with its reason, in the order of the parts."""
    return [{"part_id": part, "reason": reason[:REASON], "began_at": now} for part, reason in sorted(waits)]


def note_waits(connection: Connection, waits: Iterable[tuple[str, str]], now: int) -> None:
    """Notes that parts begin to wait now; in the transaction that has changed their rows."""
    insert_rows(connection, tables.waits, wait_rows(waits, now), conflict="replace")
