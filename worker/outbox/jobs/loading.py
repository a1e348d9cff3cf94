"""Loads parts: those of a doorbell in one SELECT, and those in doubt; and releases the parts that a doorbell leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from worker.domain.content.message import INLINE
from worker.domain.job import Part, is_read
from worker.domain.state import OPEN_STATES, PartState
from worker.outbox.engine.bulk import ids_json
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch, run
from worker.outbox.lanes.waits import FIRST_PAGE, Cursor


@dataclass(slots=True)
class JobPart(Part):
    """A part as its row and its job's row have it, and what is found for its next call."""

    lane: str
    claim: int
    tries: int
    repeats: int
    flagged: bool | None
    """Whether the duplicate check was on in its last call; None: there was none."""
    not_before: int | None
    """When it is due or, in doubt, its policy; None: it is held for a person, or has ended."""
    first_marked_at: int | None
    marked_at: int | None
    account: str
    on_unknown: str
    target_job_id: str | None
    priority: int
    quiet_hours: str | None
    """Its job's own; None: its account's."""
    payload: int
    """The version of its documents, which are empty here when this release cannot read it."""
    due_at: int
    """When its job was due first."""
    tenant: str | None
    """The team that its job is of, whose lanes are its own; None: none."""
    tags: str | None = field(repr=False)
    """JSON list of the producer's own words; None: none."""
    trace: str | None
    """The stored trace context of its producer; None: none."""
    cancelled_at: int | None
    """When its job was cancelled: nothing of it is sent any more."""
    _: KW_ONLY
    window_id: str | None = None
    """The duplicate window of the call whose body is frozen."""
    fault: Exception | None = field(default=None, repr=False)
    """Why its documents cannot be read; None: they can."""
    holds_bytes: bool = False
    """True when its documents, or a file inside its call, are large: the next part's are not read beside it."""
    is_unread: bool = False
    """True when its documents are large and not read yet; see `read_documents`."""
    code_id: str | None = None
    """The response_code that its call spends; None: none."""
    another_code: bool = False
    """True when another code can be tried should the vendor refuse this one."""
    recalled: tuple[str, int] | None = None
    """Receipt (part, claim) of the message that its call recalls; None: it is no recall."""


_COLUMNS = (
    "p.id, p.job_id, p.n, j.kind, {1}, {0}, p.lane, p.claim, p.tries, p.repeats, p.flagged, p.not_before,"
    " p.first_marked_at, p.marked_at, j.account, j.on_unknown, j.target_job_id, p.priority, j.quiet_hours, j.payload,"
    " j.due_at, j.tenant, j.tags, j.trace, j.cancelled_at, p.doubts"
)
COLUMNS = _COLUMNS.format("p.spec", "j.message")
"""What `part_of` reads, of a part p and its job j."""
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
    spec, message, body = (f"case when {size} <= {LARGE} then {column} end" for column in _DOCUMENTS)
    return (
        f"select {_COLUMNS.format(spec, message)}, {body}, b.window_id from {_from(dialect)}"
        f" and p.state = 0 and p.waits_on is null and p.not_before <= {now}"
    )


def load(connection: Connection, now: str, ids: Sequence[str]) -> list[JobPart]:
    """The parts among these ids that may be sent now, in the order of the ids."""
    rows = fetch(connection, _select(dialect_of(connection), now), {"ids": ids_json(ids)})
    place = {part: n for n, part in enumerate(ids)}
    return [part_of(row[:-2], *row[-2:]) for row in sorted(rows, key=lambda row: place[row[0]])]


def part_of(row: Sequence[Any], frozen: str | None = None, window_id: str | None = None) -> JobPart:
    """The part of a row of `COLUMNS`."""
    id, job_id, n, kind, message, spec, *rest, doubts = row
    part = JobPart(id, job_id, n, kind, {}, {}, *rest, in_doubt=doubts > 0, frozen=frozen, window_id=window_id)
    if is_read(part.payload):
        if spec is None:
            part.holds_bytes = part.is_unread = True
        else:
            _understand(part, spec, message)
    return part


def read_documents(connection: Connection, due: JobPart) -> None:
    """Reads the large documents of a part that is about to be sent."""
    query = f"select {', '.join(_DOCUMENTS)} from {_from(dialect_of(connection))}"
    for spec, message, body in fetch(connection, query, {"ids": ids_json([due.id])}):
        due.is_unread, due.frozen = False, body
        _understand(due, spec, message)
        due.holds_bytes = True


def _understand(part: JobPart, spec: str, message: str) -> None:
    try:
        part.spec = _object(spec)
        part.message = _object(message)
        files = part.message.get("files") or {}
        part.holds_bytes = any(file["upload_type"] == INLINE for file in files.values())
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # One unreadable row must not stop the parts that are read with it.
        part.message, part.fault = {}, error


def _object(document: str) -> dict[str, Any]:
    found = json.loads(document)
    if not isinstance(found, dict):
        raise TypeError
    return found


def doubtful(connection: Connection, now: str, limit: int, after: Cursor = FIRST_PAGE) -> list[JobPart]:
    """Unknown parts that are not held and whose policy is due, in the order in which it became due."""
    # Goes on after a part, not from the start: parts about which this process decides nothing hide none behind them.
    query = (
        f"select {COLUMNS} from worker_parts p join worker_jobs j on j.id = p.job_id"
        f" where p.state = 6 and p.not_before <= {dialect_of(connection).read_once(now)} and p.not_before >= :at"
        " and (p.not_before > :at or p.id > :id) order by p.not_before, p.id limit :limit"
    )
    return [part_of(row) for row in fetch(connection, query, {"limit": limit, "at": after[0], "id": after[1]})]


def doubtful_among(connection: Connection, ids: Sequence[str]) -> list[JobPart]:
    """The parts among these that have not ended and are not held."""
    source = dialect_of(connection).chosen("worker_parts", alias="p", joins=" join worker_jobs j on j.id = p.job_id")
    query = f"select {COLUMNS} from {source} and p.not_before is not null"
    return [part_of(row) for row in fetch(connection, query, {"ids": ids_json(ids)})]


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
