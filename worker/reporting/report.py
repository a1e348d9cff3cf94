"""Reports of a job: its state, counts that always add up, receipts, failures; for producers and people.

Reads only. The counts are a function of the rows (`recipient_status.py`), so they are right at every moment. A report
holds no names, so that one of 100,000 recipients is as small as one of a few.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine

from worker.domain import settle
from worker.domain.errors import JobNotFound, StillOpen
from worker.domain.job import FOLLOW_UPS, JobId, id_of
from worker.domain.job_terms import tags_of
from worker.domain.state import JobState, PartState, State, states_of
from worker.outbox.control.withdrawals import recalled_jobs
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.outbox.jobs import reading
from worker.outbox.jobs.reading import ReportRows
from worker.reporting.find_job import require_found, row_of
from worker.reporting.recipient_status import Counts, counts_of
from worker.reporting.timeline import was_called

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the vendor returned for one call that it accepted."""

    part: str
    """Id of its part: `<job id>-<n>`."""
    accepted_at: datetime
    """When it was recorded, by the database's clock."""
    msgid: str | None
    """The vendor's id of the message, by which it is recalled; None: the vendor gave none, as of uploads, group chats,
    webhooks and Youdu."""
    media_id: str | None
    """The vendor's id of an uploaded file; None: the call was another, or gave a URL."""
    url: str | None
    """The URL of a permanent picture (`uploadimg`)."""
    chatid: str | None
    """The id of an app group chat that the call created."""
    type: str | None
    """The type of an upload as the vendor returned it: `image`, `voice`, `video` or `file`; Youdu returns none."""
    created_at: datetime | None
    """When the vendor made the media_id of an upload, by its clock in whole seconds; None: it did not say."""
    recalled_at: datetime | None
    """When a recall of the message was accepted; None: it was not recalled."""
    from_repeat: bool
    """True when only a repeat's answer proves that the call was accepted."""
    not_sent: bool
    """True when no call was needed: the target of a recall never left."""
    warning: str | None
    """The vendor's warning, or the promised id that its answer lacks; None: neither."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient the vendor refused."""

    part: str
    """Id of its part: `<job id>-<n>`."""
    recipient: str = field(repr=False)
    """The recipient as the producer wrote it."""
    kind: str
    """`user`, `party` or `tag`."""
    field_name: str
    """The list of the vendor's answer that named it, such as `invaliduser`."""
    errcode: int
    """The errcode of the answer that named it; 0: the answer took the others, or no call was made for it."""
    failed_at: datetime
    """When it was recorded, by the database's clock."""


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """One call and its outcome."""

    claim: int
    """The number of the mark that the call began with; a later call of the part has a higher one."""
    outcome: str
    """`accepted`, `partial`, `rejected`, `retry`, `wait`, `parked`, `stale_token`, `progress`, `held` or `unknown`; a
    late answer leaves `unknown`."""
    reason: str | None
    """Why the call was not accepted, for people; None: it was, for all recipients or for some."""
    http_status: int | None
    """The status of the HTTP response; None: none came."""
    errcode: int | None
    """The vendor's errcode; None: no readable answer came."""
    errmsg: str | None
    """The vendor's text beside the errcode, without tokens and secrets; None: it gave none."""
    hint: str | None
    """The vendor's trace number; its support asks for it."""
    duration_ms: int | None
    """Milliseconds that the call took; None: its process ended before the call did."""
    doubtful: bool
    """True while no readable answer has come: the vendor may have carried the call out."""
    started_at: datetime
    """When the call was marked, before its first byte could leave."""
    ended_at: datetime
    """When its result or its doubt was recorded; a late answer does not move it."""


@dataclass(frozen=True, slots=True)
class PartReport:
    """One vendor call of the job, with every attempt at it."""

    id: str
    """`<job id>-<n>`; `n` counts from 0."""
    state: PartState
    """Its state now."""
    reason: str | None
    """Why it is in this state, for people; None: there is nothing to say."""
    not_before: datetime | None
    """When its next call may begin; of a part in doubt, when that is repeated or looked up. None: it has ended, is held
    for a person, or waits without a known time."""
    waits_on: str | None
    """Id of the job whose end or receipt it waits for; None: it waits for none."""
    attempts: tuple[AttemptReport, ...]
    """Its calls in order, those that are still kept (`retention.attempts_days`)."""


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One job in a list."""

    id: str
    """32 hexadecimal digits, a UUIDv7."""
    kind: str
    """`send`, `recall`, `update_card`, ..., see `Kind`."""
    channel: str
    """The name of its channel, as the settings have it."""
    account: str
    """The account's name in the settings."""
    state: JobState
    """Its state now, out of the states of its parts."""
    asked: int
    """How many recipients the job names; everyone, or everyone of a sender, counts as one."""
    tags: tuple[str, ...]
    """The tags of the job. A replay has its original's."""
    dedupe_key: str | None = field(repr=False)
    """The key the job was enqueued with; None: it was enqueued without one."""
    target_job_id: str | None
    """The job that a recall or a card update is about."""
    replay_of: str | None
    """The original that this job repeats, also when a replay was replayed; None: it is an original."""
    created_at: datetime
    """When it was enqueued, by the database's clock."""
    due_at: datetime
    """When it is sent at the earliest."""
    expires_at: datetime | None
    """From when on it is not sent any more; None: it never expires."""
    finished_at: datetime | None
    """When its last open part ended; None: it is open."""
    tenant: str | None
    """The team that shares the account's limits with others; None: none."""
    is_recalled: bool
    """True when a recall took its messages back."""

    @property
    def label(self) -> str:
        """The word of its state: `recalled` where what the vendor accepted was taken back."""
        taken = self.state in (JobState.ACCEPTED, JobState.PARTIAL, JobState.UNKNOWN)
        return "recalled" if self.is_recalled and taken else self.state.label

    @property
    def is_correction(self) -> bool:
        """True when it is a message in the place of that of `target_job_id`."""
        return self.target_job_id is not None and self.kind not in FOLLOW_UPS


R = TypeVar("R", Receipt, Failure, AttemptReport, PartReport)
SUMMARY_COLUMNS = tuple(one.name for one in fields(JobSummary) if one.name != "is_recalled")
"""The columns of a job that a list reads."""


@dataclass(frozen=True, slots=True)
class JobReport(JobSummary):
    """The state of one job at one moment, without recipients' names: `recipients` and `failures` have those."""

    counts: Counts
    """How many of its recipients have each status."""
    replays: tuple[str, ...]
    """The replays and resends of this job, oldest first; replays of a replay are listed with the original."""
    warnings: tuple[str, ...]
    """Notes on things that are allowed, such as a member who may be reached twice."""
    receipts: tuple[Receipt, ...]
    """What the vendor returned for each call that it accepted."""
    parts: tuple[PartReport, ...]
    """Its parts in order, each with its calls."""


@on_callers_connection
def get_job(connection: Connection, job_id: JobId, *, numbers: range | None = None) -> JobReport:
    """The job as it stands, also one of the caller's own uncommitted transaction; JobNotFound when there is none.

    `numbers`: only these parts with their receipts are told of, counted from 0; the counts are those of all.
    """
    rows = _rows_of(connection, job_id, numbers)
    job = rows.job["id"]
    parts = [part["id"] for part in rows.parts] if numbers is None else reading.part_ids(connection, job)
    recalled = recalled_jobs(connection, [job])
    return _report(rows, counts_of(connection, rows.job, parts), recalled)


@on_callers_connection
def receipts(connection: Connection, job_id: JobId) -> list[Receipt]:
    """What the vendor returned for the job: msgids, media_ids, URLs, chatids."""
    return [_receipt(row) for row in _rows_of(connection, job_id).receipts]


@on_callers_connection
def failures(
    connection: Connection,
    job_id: JobId,
    *,
    after: Failure | None = None,
    limit: int | None = None,
) -> list[Failure]:
    """Every recipient of the job that the vendor refused, or the next `limit` of them after `after`.

    For the next page give the last failure of this one as `after`.
    """
    job = str(row_of(connection, job_id)["id"])
    last = ("", "", "") if after is None else (after.part, after.kind, after.recipient.lower())
    return [_failure(row) for row in reading.failures_page(connection, job, last, limit)]


Source: TypeAlias = "Engine | Database | Callable[[], Session]"


def wait_for(
    source: Source,
    job_id: JobId,
    timeout_s: float = 30.0,
    *,
    states: State | Iterable[State] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> JobReport:
    """Waits until the job has ended (or is in one of `states`), for tests of applications; StillOpen after the time.

    `source` is an engine or a session factory: every read is a short transaction of its own.
    """
    job_id = id_of(job_id)
    target_states = {*JobState} - {JobState.OPEN} if states is None else set(states_of("states", states))
    deadline, delay_s = monotonic() + timeout_s, 0.005
    while True:
        with _open_connection(source) as connection:
            state = reading.job_state_row(connection, job_id)
            if state in target_states:
                return get_job(connection, job_id)
        if monotonic() >= deadline:
            break
        pause(delay_s)
        delay_s = min(delay_s * 1.5, 0.1)
    if state is None:
        raise JobNotFound(f"no job {job_id!r} came up within {timeout_s} s; was its transaction committed?", job=job_id)
    label = JobState(state).label
    raise StillOpen(
        f"job {job_id} is {label} after {timeout_s} s; is a worker running? `worker show` tells", job=job_id
    )


def _rows_of(connection: Connection, job_id: JobId, numbers: range | None = None) -> ReportRows:
    columns = (*SUMMARY_COLUMNS, "warnings")
    return require_found(reading.report_rows(connection, id_of(job_id), columns, numbers), job_id)


def _report(rows: ReportRows, counts: Counts, recalled: Collection[str]) -> JobReport:
    attempts: dict[str, list[AttemptReport]] = {}
    for row in filter(was_called, rows.attempts):
        attempts.setdefault(row["part_id"], []).append(_attempt(row))
    return JobReport(
        **summary_of(rows.job, recalled),
        counts=counts,
        replays=rows.replays,
        warnings=tuple(json.loads(rows.job["warnings"] or "[]")),
        receipts=tuple(_receipt(row) for row in rows.receipts),
        parts=tuple(_part(row, attempts.get(row["id"], [])) for row in rows.parts),
    )


def summary_of(row: Mapping[str, Any], recalled: Collection[str]) -> dict[str, Any]:
    """The fields of a JobSummary; `recalled` are the jobs that were."""
    values = {"state": JobState(row["state"]), "tags": tuple(tags_of(row["tags"]))}
    return {**_columns(SUMMARY_COLUMNS, row), **values, "is_recalled": row["id"] in recalled}


def _part(row: Mapping[str, Any], attempts: Iterable[AttemptReport]) -> PartReport:
    return _record(
        PartReport, row, state=PartState(row["state"]), not_before=_instant(row["not_before"]), attempts=tuple(attempts)
    )


def _attempt(row: Mapping[str, Any]) -> AttemptReport:
    return _record(AttemptReport, row, doubtful=bool(row["doubtful"]))


def _receipt(row: Mapping[str, Any]) -> Receipt:
    extra = json.loads(row["extra"] or "{}")
    return _record(
        Receipt,
        row,
        part=row["part_id"],
        **{name: extra.get(name) for name in ("url", "chatid", "type")},
        created_at=_instant(int(extra["created_at"]) * settle.SECOND if "created_at" in extra else None),
        from_repeat=bool(row["from_repeat"]),
        not_sent=bool(row["not_sent"]),
    )


def _failure(row: Mapping[str, Any]) -> Failure:
    return _record(Failure, row, part=row["part_id"], field_name=row["field"])


def _record(kind: type[R], row: Mapping[str, Any], **values: Any) -> R:
    """A record: the columns of its fields' names, and what is given beside them."""
    return kind(**_columns([column.name for column in fields(kind) if column.name not in values], row), **values)


def _columns(names: Iterable[str], row: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a row by name, those of instants as such."""
    return {name: _instant(row[name]) if name.endswith("_at") else row[name] for name in names}


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None or micros > _FOREVER else instant(micros)


_FOREVER = 200_000_000_000_000_000
"""Microseconds, past the year 8000: a later `not_before` means that a part waits for another one without a due time."""


@contextmanager
def _open_connection(source: Source) -> Iterator[Connection]:
    """A connection for one read."""
    match source:
        case Database():
            with source.reading() as connection:
                yield connection
        case Engine():
            # Each statement is a transaction of its own: on SQLite a read must not wait for the write lock.
            with source.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                yield connection
        case _:
            with source() as session:
                yield session.connection()
