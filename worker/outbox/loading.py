"""What a doorbell needs of its parts, in one SELECT; and giving back the ones it leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from worker.domain.job import Priority
from worker.domain.message import INLINE
from worker.domain.state import OPEN_STATES, PartState
from worker.outbox.bulk import chosen, ids_json, is_mariadb, update_chosen
from worker.outbox.sql import fetch, run


@dataclass(slots=True)
class Loaded:
    """A queued part that is due, with what its job says."""

    id: str
    job_id: str
    n: int
    lane: str
    claim: int
    tries: int
    doubts: int
    flagged: bool | None
    first_marked_at: int | None
    expires_at: int | None
    spec: dict[str, Any] = field(repr=False)
    kind: str
    account: str
    message: dict[str, Any] = field(repr=False)
    on_unknown: str
    target_job_id: str | None
    frozen: str | None = field(repr=False)
    """The frozen body of an earlier call in doubt."""
    frozen_window: str | None
    """The duplicate window that call was made in."""
    fault: str | None = None
    """Why its documents cannot be read; null: they can."""
    holds_bytes: bool = False
    """A file of megabytes stands in its call: the next is not made while this one is held."""
    priority: int = Priority.NORMAL


_COLUMNS = (
    "p.id, p.job_id, p.n, p.lane, p.claim, p.tries, p.doubts, p.flagged, p.first_marked_at, p.expires_at, p.spec,"
    " j.kind, j.account, j.message, j.on_unknown, j.target_job_id, b.body, b.window_id"
)


@lru_cache(maxsize=16)
def _select(dialect: str, now: str) -> str:
    # On MariaDB in this order and by the keys: with young statistics it would read all jobs first.
    join, by_key = ("straight_join", " force index (primary)") if is_mariadb(dialect) else ("join", "")
    joins = (
        f" {join} worker_jobs j{by_key} on j.id = p.job_id"
        f" left join worker_bodies b{by_key} on b.part_id = p.id and p.doubts > 0"
    )
    return (
        f"select {_COLUMNS}, p.priority from {chosen(dialect, 'worker_parts', alias='p', joins=joins)}"
        f" and p.state = 0 and p.waits_on is null and p.not_before <= {now}"
    )


def load(connection: Connection, now: str, ids: Sequence[str]) -> list[Loaded]:
    """The parts among these that may still be sent, in the order in which they were named."""
    rows = fetch(connection, _select(connection.dialect.name, now), {"ids": ids_json(ids)})
    place = {part: n for n, part in enumerate(ids)}
    return [_loaded(row) for row in sorted(rows, key=lambda row: place[row[0]])]


def _loaded(row: Sequence[Any]) -> Loaded:
    loaded = Loaded(*row[:-1])
    loaded.priority = row[-1]
    try:
        loaded.spec, loaded.message = _object(row[10]), _object(row[13])
        files = loaded.message.get("files") or {}
        loaded.holds_bytes = any(file["upload_type"] == INLINE for file in files.values())
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # one odd row must not keep the others
        loaded.spec, loaded.message, loaded.fault = {}, {}, type(error).__name__
    return loaded


def _object(document: str) -> dict[str, Any]:
    found = json.loads(document)
    if not isinstance(found, dict):
        raise TypeError
    return found


def moves_until(connection: Connection, part_id: str) -> int | None:
    """When, at the earliest, a part moves by itself, in microseconds; null: it has ended, or waits for a person."""
    rows = fetch(connection, "select state, not_before from worker_parts where id = :id", {"id": part_id})
    state, not_before = rows[0] if rows else (PartState.ACCEPTED, None)
    if state in OPEN_STATES:
        return not_before or 0
    return not_before if state == PartState.UNKNOWN else None


def leave(connection: Connection, ids: Sequence[str]) -> None:
    """The doorbell did not get to these: they may be offered again at once."""
    _keep_from_offers(connection, ids, "null")


def pass_on(connection: Connection, now: str, ids: Sequence[str], wait_us: int) -> None:
    """These are for another process: they are offered again soon, and not at once, for they may come here again."""
    _keep_from_offers(connection, ids, f"{now} + :wait", wait=wait_us)


def _keep_from_offers(connection: Connection, ids: Sequence[str], until: str, **values: int) -> None:
    update = update_chosen(connection.dialect.name, "worker_parts", f"offered_until = {until}")
    run(connection, f"{update} and state = 0", {"ids": ids_json(ids), **values})
