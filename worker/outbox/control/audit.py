"""The rows that say what people did: who, what, why, and how much of it was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import mappings, read_now, run

_COLUMNS = tables.columns_of(tables.audit)


def begin_audit(connection: Connection, now_sql: str, row: Mapping[str, Any]) -> None:
    """Writes the row of a command that is about to change something."""
    insert_rows(connection, tables.audit, [{**row, "counts": "{}", "began_at": read_now(connection, now_sql)}])


def write_audit(connection: Connection, now_sql: str, row: Mapping[str, Any]) -> None:
    """Writes the row of something that is done in this very transaction."""
    now = read_now(connection, now_sql)
    insert_rows(connection, tables.audit, [{**row, "began_at": now, "ended_at": now}])


def note_audit(connection: Connection, now_sql: str, entry: str, counts: str, *, ended: bool) -> None:
    """Writes how much of the command was done so far, as JSON; `ended`: that is all of it."""
    ends = f", ended_at = {now_sql}" if ended else ""
    run(connection, f"update worker_audit set counts = :counts{ends} where id = :id", {"counts": counts, "id": entry})


def audit_rows(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows with these ids."""
    query = f"select {_COLUMNS} from {dialect_of(connection).chosen('worker_audit')}"
    return mappings(connection, query, {"ids": ids_json(ids)})


def list_audit(
    connection: Connection, limit: int, before: str | None = None, without: str | None = None
) -> list[dict[str, Any]]:
    """The newest rows (ids sort by time), below the id `before` (None: of all), `without` those of one action."""
    others = "" if without is None else " and action <> :without"
    query = f"select {_COLUMNS} from worker_audit where id < :before{others} order by id desc limit :limit"
    return mappings(connection, query, {"limit": limit, "before": before or "g", "without": without})
