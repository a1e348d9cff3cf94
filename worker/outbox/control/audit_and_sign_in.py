"""The rows of the audit, of the console's sessions, and of attempts to sign in.

For sessions and sign-ins only hashes are stored, neither a browser's token nor a name that was typed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, ids_json, insert_rows
from worker.outbox.engine.clock import micros
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch, mappings, read_now, run

_AUDIT = tables.columns_of(tables.audit)
_SESSION = tables.columns_of(tables.sessions)


def begin_audit(connection: Connection, now_sql: str, row: Mapping[str, Any]) -> None:
    """Writes the row of a command that is about to change something."""
    now = read_now(connection, now_sql)
    insert_rows(connection, tables.audit, [{**row, "counts": "{}", "began_at": now, "seen_at": now}])


def write_audit(connection: Connection, now_sql: str, row: Mapping[str, Any]) -> None:
    """Writes the row of a command that is carried out in this transaction."""
    now = read_now(connection, now_sql)
    insert_rows(connection, tables.audit, [{**row, "began_at": now, "ended_at": now, "seen_at": now}])


def record_progress(connection: Connection, now_sql: str, entry: str, counts: str, *, ended: bool) -> None:
    """Writes how much of a command has been done so far, as JSON. `ended` says that it is complete."""
    sets = f"counts = :counts, seen_at = {now_sql}{f', ended_at = {now_sql}' if ended else ''}"
    run(connection, f"update worker_audit set {sets} where id = :id", {"counts": counts, "id": entry})


def record_life(connection: Connection, now_sql: str, entry: str, *, interrupted: bool = False) -> None:
    """Writes that the process of a command that has not ended is alive, or that an error has interrupted it."""
    seen = "0" if interrupted else now_sql
    run(connection, f"update worker_audit set seen_at = {seen} where id = :id and ended_at is null", {"id": entry})


def audit_rows(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the rows with these ids."""
    query = f"select {_AUDIT} from {dialect_of(connection).by_ids('worker_audit')}"
    return mappings(connection, query, {"ids": ids_json(ids)})


def list_audit(
    connection: Connection, limit: int, before: str | None = None, without: str | None = None
) -> list[dict[str, Any]]:
    """Returns the newest rows. With `before`, a row's id, only older rows; `without` leaves out one action."""
    others = "" if without is None else " and action <> :without"
    query = f"select {_AUDIT} from worker_audit where id < :before{others} order by id desc limit :limit"
    return mappings(connection, query, {"limit": limit, "before": before or "g", "without": without})


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session: a browser in which a person has signed in."""

    id: str
    person: str
    way: str
    proof: str | None
    created_at: int
    seen_at: int
    ends_at: int


def open_session(connection: Connection, now_sql: str, row: Mapping[str, Any], lives_s: float) -> None:
    """Writes the session of a browser in which a person has just signed in: its id, person, way and proof."""
    now = read_now(connection, now_sql)
    times = {"created_at": now, "seen_at": now, "ends_at": now + micros(lives_s)}
    insert_rows(connection, tables.sessions, [{**row, **times}])


def session_of(connection: Connection, now_sql: str, id: str, idle_s: float) -> tuple[SessionRow | None, int]:
    """Returns the session with this hash and the database's clock. None: it is over, unused for too long or unknown."""
    now = read_now(connection, now_sql)
    query = f"select {_SESSION} from worker_sessions where id = :id and ends_at > :now and seen_at > :idle"
    rows = fetch(connection, query, {"id": id, "now": now, "idle": now - micros(idle_s)})
    return (SessionRow(*rows[0]) if rows else None), now


def touch_session(connection: Connection, id: str, now: int) -> None:
    """Records that a session is used now."""
    run(connection, "update worker_sessions set seen_at = :now where id = :id", {"id": id, "now": now})


def end_session(connection: Connection, id: str) -> None:
    """Ends a session. Its token is not valid any more."""
    run(connection, "delete from worker_sessions where id = :id", {"id": id})


def record_tries(connection: Connection, now_sql: str, subjects: Sequence[str]) -> list[str]:
    """Records an attempt to sign in, with a row for each of its subjects. Returns the ids of the rows."""
    now = read_now(connection, now_sql)
    rows = [{"id": uuid7().hex, "subject": subject, "tried_at": now} for subject in subjects]
    insert_rows(connection, tables.sign_ins, rows)
    return [str(row["id"]) for row in rows]


def count_tries(connection: Connection, now_sql: str, subject: str, within_s: float) -> int:
    """Returns how many recent attempts to sign in have failed or not ended yet."""
    since = read_now(connection, now_sql) - micros(within_s)
    query = "select count(*) from worker_sign_ins where subject = :subject and tried_at > :since"
    return int(fetch(connection, query, {"subject": subject, "since": since})[0][0])


def delete_tries(connection: Connection, ids: Sequence[str], subject: str) -> None:
    """Deletes these rows and all rows of a subject, because a sign-in has succeeded."""
    delete_by_id(connection, "worker_sign_ins", ids)
    run(connection, "delete from worker_sign_ins where subject = :subject", {"subject": subject})
