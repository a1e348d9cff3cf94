"""Loads the parts of a doorbell in one SELECT, and parts in doubt. Releases parts that a doorbell did not get to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from worker.domain.content.message import INLINE
from worker.domain.job import Part, is_read
from worker.domain.pacing.lane import account_of
from worker.domain.settle import FOREVER
from worker.domain.state import OPEN_STATES, PartState
from worker.outbox.engine.bulk import ids_json
from worker.outbox.engine.clock import SECOND, SKEW_US
from worker.outbox.engine.database import is_about_rows
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch, run, sqlalchemy_errors
from worker.outbox.lanes.agenda import marked_later_than
from worker.outbox.lanes.waits import FIRST_PAGE, Cursor

LONGEST_HOOK_DELAY_US = 600 * SECOND
"""The longest wait of an event between two runs of its hook."""


@dataclass(slots=True)
class JobPart(Part):
    """A part with the columns of its job, and what has been resolved for its next call."""

    lane: str
    claim: int
    tries: int
    repeats: int
    flagged: bool | None
    """Whether its last call asked for the duplicate check, or None without a call."""
    not_before: int | None
    """When it is due; in doubt, when it is repeated or searched for; None if it is held for a person or has ended."""
    first_marked_at: int | None
    marked_at: int | None
    on_unknown: str
    target_job_id: str | None
    priority: int
    quiet_hours: str | None
    """The quiet hours of its job, or None to use those of its account."""
    payload: int
    """The version of spec and message. They are empty here if this release cannot read that version."""
    due_at: int
    """When its job was first due."""
    tenant: str | None
    """The team that its job belongs to, which has lanes of its own, or None."""
    tags: str | None = field(repr=False)
    """The job's tags as a JSON list, or None."""
    trace: str | None
    """The trace context of its producer, or None."""
    cancelled_at: int | None
    """When its job was cancelled, or None. A cancelled job sends nothing more."""
    _: KW_ONLY
    window_id: str | None = None
    """The duplicate window of the call whose body is stored for a repeat."""
    fault: Exception | None = field(default=None, repr=False)
    """Why spec or message cannot be read, or None if they can."""
    holds_bytes: bool = False
    """Whether its documents or a file in its call are large. Then those of the next part are not read at once."""
    is_unread: bool = False
    """Whether its documents are large and not read yet; see `read_documents`."""
    code_id: str | None = None
    """The response_code that its call uses up, or None."""
    another_code: bool = False
    """Whether another code can be tried if the vendor refuses this one."""
    recalled: tuple[str, int] | None = None
    """The receipt (part, claim) of the message that its call recalls, or None if it is no recall."""

    @property
    def account(self) -> str:
        """The account that sends it: its job's own, unless a person has moved the job to another one."""
        return account_of(self.lane)


_COLUMNS = (
    "p.id, p.job_id, p.n, j.kind, {1}, {0}, p.lane, p.claim, p.tries, p.repeats, p.flagged, p.not_before,"
    " p.first_marked_at, p.marked_at, j.on_unknown, j.target_job_id, p.priority, j.quiet_hours, j.payload,"
    " j.due_at, j.tenant, j.tags, j.trace, j.cancelled_at, p.doubts"
)
COLUMNS = _COLUMNS.format("p.spec", "j.message")
"""The columns that `part_of` reads, of a part `p` and its job `j`."""
_DOCUMENTS = ("p.spec", "j.message", "b.body")
LARGE = 65_536
"""Documents of a part that are longer together are read only before its call. In bytes; on SQLite in characters.

Otherwise fifty parts with messages of megabytes, in every thread, would need gigabytes of memory.
"""


@lru_cache(maxsize=16)
def _from(dialect: Dialect) -> str:
    # The join order and keys are set for MariaDB. With young statistics it would read all jobs first.
    joins = (
        f"{dialect.join('worker_jobs j')} on j.id = p.job_id"
        f" left join worker_bodies b{dialect.force_index('primary')} on b.part_id = p.id and p.doubts > 0"
    )
    return dialect.by_ids("worker_parts", alias="p", joins=joins)


@lru_cache(maxsize=16)
def _select(dialect: Dialect, now: str) -> str:
    size = " + ".join(f"coalesce({dialect.octet_length}({column}), 0)" for column in _DOCUMENTS)
    spec, message, body = (f"case when {size} <= {LARGE} then {column} end" for column in _DOCUMENTS)
    return (
        f"select {_COLUMNS.format(spec, message)}, {body}, b.window_id from {_from(dialect)}"
        f" and p.state = 0 and p.waits_on is null and p.not_before <= {now}"
    )


def load_parts(connection: Connection, now: str, ids: Sequence[str]) -> list[JobPart]:
    """Loads those of the parts that may be sent now, in the order of the ids."""
    rows = fetch(connection, _select(dialect_of(connection), now), {"ids": ids_json(ids)})
    position = {part: n for n, part in enumerate(ids)}
    return [part_of(row[:-2], *row[-2:]) for row in sorted(rows, key=lambda row: position[row[0]])]


def load_without_documents(connection: Connection, now: str, ids: Sequence[str]) -> list[JobPart]:
    """Loads those of the parts that may be sent now, without their documents; see `read_documents`."""
    select = (
        f"select {_COLUMNS.format('null', 'null')} from {_from(dialect_of(connection))}"
        f" and p.state = 0 and p.waits_on is null and p.not_before <= {now}"
    )
    position = {part: n for n, part in enumerate(ids)}
    rows = fetch(connection, select, {"ids": ids_json(ids)})
    return [part_of(row) for row in sorted(rows, key=lambda row: position[row[0]])]


def set_aside(connection: Connection, now: str, part_id: str, reason: str, wait_us: int) -> None:
    """Lets a queued part wait and say why, without reading its row. Its parts of the same job go on."""
    update = dialect_of(connection).update_by_ids(
        "worker_parts", f"not_before = {now} + :wait, offered_until = null, reason = :reason"
    )
    run(connection, f"{update} and state = 0", {"ids": ids_json([part_id]), "wait": wait_us, "reason": reason})


def part_of(row: Sequence[Any], frozen: str | None = None, window_id: str | None = None) -> JobPart:
    """Returns the part of a row with `COLUMNS`."""
    id, job_id, n, kind, message, spec, *rest, doubts = row
    part = JobPart(id, job_id, n, kind, {}, {}, *rest, in_doubt=doubts > 0, frozen=frozen, window_id=window_id)
    if is_read(part.payload):
        if spec is None:
            part.holds_bytes = part.is_unread = True
        else:
            _parse_documents(part, spec, message)
    return part


def read_documents(connection: Connection, part: JobPart) -> None:
    """Reads the documents of a part that was loaded without them. If it cannot, the part has the error as `fault`."""
    query = f"select {', '.join(_DOCUMENTS)}, b.window_id from {_from(dialect_of(connection))}"
    part.is_unread = False
    try:
        with sqlalchemy_errors(connection):
            rows = fetch(connection, query, {"ids": ids_json([part.id])})
    except Exception as error:
        if not is_about_rows(error):
            raise
        part.fault = error
        return
    for spec, message, body, window_id in rows:
        part.frozen, part.window_id = body, window_id
        _parse_documents(part, spec, message)
        part.holds_bytes = True


def _load_each(connection: Connection, query: str, values: Mapping[str, Any]) -> list[JobPart]:
    """Loads the parts of a query for `{}` columns. If one of them cannot be read, their documents are read singly."""
    try:
        with sqlalchemy_errors(connection):
            return [part_of(row) for row in fetch(connection, query.format(COLUMNS), values)]
    except Exception as error:
        if not is_about_rows(error):
            raise
    parts = [part_of(row) for row in fetch(connection, query.format(_COLUMNS.format("null", "null")), values)]
    for part in parts:
        read_documents(connection, part)
    return parts


def _parse_documents(part: JobPart, spec: str, message: str) -> None:
    try:
        part.spec = _object(spec)
        part.message = _object(message)
        part.holds_bytes = any(file["upload_type"] == INLINE for file in part.message.get("files", {}).values())
    except Exception as error:  # noqa: BLE001  an unreadable row must not stop the other parts that are read with it
        part.message, part.fault = {}, error


def _object(document: str) -> dict[str, Any]:
    document = json.loads(document)
    if not isinstance(document, dict):
        raise TypeError
    return document


def parts_in_doubt(connection: Connection, now: str, limit: int, after: Cursor = FIRST_PAGE) -> list[JobPart]:
    """Loads unknown parts that are not held and are due to be repeated or searched for, in the order of that time."""
    # Continues after a part, not from the start. Otherwise parts that this process cannot decide about would hide the
    # parts behind them.
    query = (
        "select {} from worker_parts p join worker_jobs j on j.id = p.job_id"
        f" where p.state = 6 and p.not_before <= {dialect_of(connection).stable_now(now)} and p.not_before >= :at"
        " and (p.not_before > :at or p.id > :id) order by p.not_before, p.id limit :limit"
    )
    return _load_each(connection, query, {"limit": limit, "at": after[0], "id": after[1]})


def parts_marked_in_future(connection: Connection, now: str, limit: int) -> list[JobPart]:
    """Loads unknown parts, and not held, that the database's clock was set back behind."""
    dialect = dialect_of(connection)
    later = f"{dialect.planned_now(now)} + {SKEW_US}"
    query = (
        f"select {{}} from worker_parts p{dialect.force_index('worker_parts_due_by_state')}"
        f"{dialect.join('worker_jobs j')} on j.id = p.job_id"
        f" where p.state = 6 and {marked_later_than(later)} limit :limit"
    )
    return _load_each(connection, query, {"limit": limit})


def parts_of_later(
    connection: Connection, instant: int, after: Cursor, limit: int
) -> tuple[list[str], list[str], Cursor | None]:
    """Searches a page of the queue for what was written when the database's clock was later than an instant.

    Returns the repeats whose first call was marked later; the parts that are due later, perhaps by that clock; and
    after which part the next page begins, or None if this was the last page.
    """
    query = (
        "select not_before, id, case when doubts > 0 then first_marked_at end,"
        " case when doubts = 0 and waits_on is null then 1 else 0 end from"
        f" worker_parts{dialect_of(connection).by_partial_index('worker_parts_due')} where state = 0"
        " and not_before >= :at and (not_before > :at or id > :id) order by not_before, id limit :limit"
    )
    page = fetch(connection, query, {"at": after[0], "id": after[1], "limit": limit})
    repeats = [id for _, id, marked_at, _ in page if marked_at is not None and marked_at > instant]
    later = [id for not_before, id, _, by_time in page if by_time and instant < not_before < FOREVER]
    return repeats, later, (page[-1][0], page[-1][1]) if len(page) == limit else None


def wake_set_back(connection: Connection, now: str, ids: Sequence[str], later_than: int) -> None:
    """Makes those of the parts due now whose time is by a clock that was ahead, and has been set back.

    They wait for a retry or a limit, and wait again for as long as they still have to; or their job was to be sent at
    once, when it was enqueued in what is the future now.
    """
    waits = f"(worker_parts.tries > 0 or worker_parts.limit_name is not null) and j.due_at <= {now}"
    at_once = "j.created_at > :later and j.due_at <= j.created_at"
    job = f"exists (select 1 from worker_jobs j where j.id = worker_parts.job_id and ({waits} or {at_once}))"
    update = dialect_of(connection).update_by_ids("worker_parts", f"not_before = {now}, offered_until = null")
    only = f"state = 0 and doubts = 0 and waits_on is null and not_before > :later and {job}"
    run(connection, f"{update} and {only}", {"ids": ids_json(ids), "later": later_than})


def forget_later_times(connection: Connection, now: int) -> None:
    """Forgets until when things wait by a clock that was ahead, and has been set back to `now`.

    Offers of parts and events, runs of hooks and checks of tags that are later than any that begins now. What is
    offered, run or checked once more does no harm.
    """
    later = now + SKEW_US
    for offered in ("worker_parts", "worker_events"):
        run(
            connection,
            f"update {offered} set offered_until = null where state = 0 and offered_until > :later",
            {"later": later},
        )
    due = "update worker_events set due_at = :now where state = 0 and due_at > :later"
    run(connection, due, {"now": now, "later": later + LONGEST_HOOK_DELAY_US})
    run(
        connection, "update worker_ended_tags set check_at = :now where check_at > :later", {"now": now, "later": later}
    )


def parts_still_in_doubt(connection: Connection, ids: Sequence[str]) -> list[JobPart]:
    """Loads those of the parts that have not ended and are not held."""
    source = dialect_of(connection).by_ids("worker_parts", alias="p", joins=" join worker_jobs j on j.id = p.job_id")
    return _load_each(connection, f"select {{}} from {source} and p.not_before is not null", {"ids": ids_json(ids)})


def next_move_at(connection: Connection, part_id: str) -> int | None:
    """Returns when a part may next change by itself, in microseconds, or None if it has ended or waits for a person."""
    rows = fetch(connection, "select state, not_before from worker_parts where id = :id", {"id": part_id})
    state, not_before = rows[0] if rows else (PartState.ACCEPTED, None)
    if state in OPEN_STATES:
        return not_before or 0
    return not_before if state == PartState.UNKNOWN else None


def release_parts(connection: Connection, ids: Sequence[str]) -> None:
    """Releases parts that the doorbell did not get to. They may be offered again at once."""
    _set_offered_until(connection, ids, "null")


def release_for_others(connection: Connection, now: str, ids: Sequence[str], wait_us: int) -> None:
    """Releases parts for another process. They are offered after `wait_us`: at once they might come back here."""
    _set_offered_until(connection, ids, f"{now} + :wait", wait=wait_us)


def _set_offered_until(connection: Connection, ids: Sequence[str], until: str, **values: int) -> None:
    update = dialect_of(connection).update_by_ids("worker_parts", f"offered_until = {until}")
    run(connection, f"{update} and state = 0", {"ids": ids_json(ids), **values})
