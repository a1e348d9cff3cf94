"""Loads the parts of a doorbell in one SELECT, and releases the parts that it does not get to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from worker.domain.content.message import INLINE
from worker.domain.job import Priority, is_read
from worker.domain.state import OPEN_STATES, PartState
from worker.outbox.engine.bulk import ids_json
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch, run


@dataclass(slots=True)
class DuePart:
    """A queued part that is due, with its job's content."""

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
    """The duplicate window of that call."""
    fault: str | None = None
    """The class of the error that its documents cannot be read for; None: they can."""
    holds_bytes: bool = False
    """True when its documents, or a file inside its call, are large: the next part's are not read beside it."""
    is_unread: bool = False
    """True when its documents are large and not read yet; see `read_documents`."""
    priority: int = Priority.NORMAL
    cancelled: bool = False
    """Its job is: nothing of it is sent any more."""
    quiet_hours: str | None = None
    """Its job's own; None: its account's."""
    unheard: int = 0
    """Of its claims, under which certainly nothing left."""
    payload: int = 0
    """The version of its documents, which are empty here when this release cannot read it."""
    due_at: int = 0
    """When its job was due first."""
    tenant: str | None = None
    """The team that its job is of, whose lanes are its own; None: none."""
    tags: str | None = field(default=None, repr=False)
    """JSON list of the producer's own words; None: none."""
    trace: str | None = None
    """The stored trace context of its producer; None: none."""
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    """What a resolver found for its call, see `Part.facts`."""
    code_id: str | None = None
    """The response_code that its call spends; None: none."""
    another_code: bool = False
    """True when another code can be tried should the vendor refuse this one."""
    recalled: tuple[str, int] | None = None
    """Receipt (part, claim) of the message that its call recalls; None: it is no recall."""


_COLUMNS = (
    "p.id, p.job_id, p.n, p.lane, p.claim, p.tries, p.doubts, p.flagged, p.first_marked_at, p.expires_at, {0},"
    " j.kind, j.account, {1}, j.on_unknown, j.target_job_id, {2}, b.window_id"
)
_DOCUMENTS = ("p.spec", "j.message", "b.body")
LARGE = 65_536
"""Documents of a part that are longer together (in bytes; on SQLite in characters) are read only before its call: fifty
parts with a message of megabytes, in every thread, would be gigabytes.
"""


@lru_cache(maxsize=16)
def _from(dialect: Dialect) -> str:
    # On MariaDB in this order and by the keys: while statistics are young it would read all jobs first.
    joins = (
        f"{dialect.join('worker_jobs j')} on j.id = p.job_id"
        f" left join worker_bodies b{dialect.force_index('primary')} on b.part_id = p.id and p.doubts > 0"
    )
    return dialect.chosen("worker_parts", alias="p", joins=joins)


@lru_cache(maxsize=16)
def _select(dialect: Dialect, now: str) -> str:
    size = " + ".join(f"coalesce({dialect.octet_length}({column}), 0)" for column in _DOCUMENTS)
    columns = _COLUMNS.format(*(f"case when {size} <= {LARGE} then {column} end" for column in _DOCUMENTS))
    return (
        f"select {columns}, p.priority, p.unheard, j.quiet_hours, j.payload, j.due_at, j.tenant,"
        f" j.tags, j.trace, j.cancelled_at"
        f" from {_from(dialect)}"
        f" and p.state = 0 and p.waits_on is null and p.not_before <= {now}"
    )


def load(connection: Connection, now: str, ids: Sequence[str]) -> list[DuePart]:
    """The parts among these ids that may be sent now, in the order of the ids."""
    rows = fetch(connection, _select(dialect_of(connection), now), {"ids": ids_json(ids)})
    place = {part: n for n, part in enumerate(ids)}
    return [_loaded(row) for row in sorted(rows, key=lambda row: place[row[0]])]


def _loaded(row: Sequence[Any]) -> DuePart:
    loaded = DuePart(*row[:-9])
    loaded.priority, loaded.unheard, loaded.quiet_hours, loaded.payload, loaded.due_at, loaded.tenant = row[-9:-3]
    loaded.tags, loaded.trace, loaded.cancelled = row[-3], row[-2], row[-1] is not None
    if not is_read(loaded.payload):
        loaded.spec, loaded.message = {}, {}
    elif row[10] is None:
        loaded.spec, loaded.message, loaded.holds_bytes, loaded.is_unread = {}, {}, True, True
    else:
        _understand(loaded, row[10], row[13])
    return loaded


def read_documents(connection: Connection, due: DuePart) -> None:
    """Reads the large documents of a part that is about to be sent."""
    query = f"select {', '.join(_DOCUMENTS)} from {_from(dialect_of(connection))}"
    for spec, message, body in fetch(connection, query, {"ids": ids_json([due.id])}):
        due.is_unread, due.frozen = False, body
        _understand(due, spec, message)
        due.holds_bytes = True


def _understand(loaded: DuePart, spec: str, message: str) -> None:
    try:
        loaded.spec, loaded.message = _object(spec), _object(message)
        files = loaded.message.get("files") or {}
        loaded.holds_bytes = any(file["upload_type"] == INLINE for file in files.values())
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # One unreadable row must not stop the other parts of the doorbell.
        loaded.spec, loaded.message, loaded.fault = {}, {}, type(error).__name__


def _object(document: str) -> dict[str, Any]:
    found = json.loads(document)
    if not isinstance(found, dict):
        raise TypeError
    return found


def moves_until(connection: Connection, part_id: str) -> int | None:
    """The earliest instant, in microseconds, at which a part moves by itself; None: it ended or waits for a person."""
    rows = fetch(connection, "select state, not_before from worker_parts where id = :id", {"id": part_id})
    state, not_before = rows[0] if rows else (PartState.ACCEPTED, None)
    if state in OPEN_STATES:
        return not_before or 0
    return not_before if state == PartState.UNKNOWN else None


def leave(connection: Connection, ids: Sequence[str]) -> None:
    """Releases parts that the doorbell did not get to: they may be offered again at once."""
    _keep_from_offers(connection, ids, "null")


def pass_on(connection: Connection, now: str, ids: Sequence[str], wait_us: int) -> None:
    """Releases parts for another process: they are offered after `wait_us`, because at once they may come back here."""
    _keep_from_offers(connection, ids, f"{now} + :wait", wait=wait_us)


def _keep_from_offers(connection: Connection, ids: Sequence[str], until: str, **values: int) -> None:
    update = dialect_of(connection).update_chosen("worker_parts", f"offered_until = {until}")
    run(connection, f"{update} and state = 0", {"ids": ids_json(ids), **values})
