"""Reports of a job for producers and people: its state, counts that always add up, receipts and failures.

Reads only. The counts are a function of the rows (`recipient_status.py`), so they are right at every moment. A report
contains no recipients' names, so it is as small for 100,000 recipients as for a few.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine

from worker.domain import settle
from worker.domain.errors import ConfigurationError, JobNotFound, StillOpen
from worker.domain.job import FOLLOW_UPS, JobId, id_of
from worker.domain.job_terms import tags_of
from worker.domain.pacing.lane import account_of
from worker.domain.state import JobState, PartState, State, states_of
from worker.domain.stored import object_or_empty, texts_of
from worker.language import plural
from worker.outbox.control.withdrawals import recalled_jobs
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.outbox.jobs import reading
from worker.outbox.jobs.reading import ReportRows
from worker.reporting.find_job import require_found, row_of
from worker.reporting.recipient_status import RecipientCounts, counts_of
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
    """The vendor's id of the message, by which it is recalled. None if the vendor gave none: uploads, group chats,
    webhooks and Youdu have none."""
    media_id: str | None
    """The vendor's id of an uploaded file, or None if the call was no upload or gave a URL."""
    url: str | None
    """The URL of a permanent picture (`uploadimg`)."""
    chatid: str | None
    """The id of an app group chat that the call created."""
    type: str | None
    """The type of an upload as the vendor returned it: `image`, `voice`, `video` or `file`; Youdu returns none."""
    created_at: datetime | None
    """When the vendor made the media_id of an upload, by its clock in whole seconds, or None if it did not say."""
    recalled_at: datetime | None
    """When a recall of the message was accepted, or None if it was not recalled."""
    from_repeat: bool
    """True if only the answer to a repeat proves that the call was accepted."""
    not_sent: bool
    """True if no call was needed, because the target of a recall was never sent."""
    warning: str | None
    """The vendor's warning, the name of a promised id that its answer lacks, or that the vendor may have dropped the
    call as a repeat of a refused one; or None."""


@dataclass(frozen=True, slots=True)
class RecipientFailure:
    """One recipient that the vendor refused."""

    part: str
    """Id of its part: `<job id>-<n>`."""
    recipient: str = field(repr=False)
    """The recipient as the producer wrote it."""
    kind: str
    """`user`, `party` or `tag`."""
    field_name: str
    """The list of the vendor's answer that names the recipient, such as `invaliduser`."""
    errcode: int
    """The errcode of the answer that names the recipient; 0 if the answer accepted other recipients, or no call was
    made for it."""
    failed_at: datetime
    """When it was recorded, by the database's clock."""


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """One call and its outcome."""

    claim: int
    """The number of the mark that the call began with. A later call of the part has a higher one."""
    outcome: str
    """`accepted`, `partial`, `rejected`, `retry`, `wait`, `parked`, `stale_token`, `progress`, `held` or `unknown`.
    After a late answer it stays `unknown`."""
    reason: str | None
    """Why the call was not accepted, for people, or None if it was, for all or some recipients."""
    http_status: int | None
    """The status of the HTTP response, or None if none came."""
    errcode: int | None
    """The vendor's errcode, or None if no readable answer came."""
    errmsg: str | None
    """The vendor's text beside the errcode, without tokens and secrets, or None if it gave none."""
    hint: str | None
    """The vendor's trace number, which its support asks for."""
    duration_ms: int | None
    """Milliseconds that the call took, or None if its process ended before the call did."""
    doubtful: bool
    """True while no readable answer has come: the vendor may have carried out the call."""
    started_at: datetime
    """When the call was marked, before its first byte could be sent."""
    ended_at: datetime
    """When its result or its doubt was recorded. A late answer does not change it."""


@dataclass(frozen=True, slots=True)
class PartReport:
    """One vendor call of the job, with every attempt at it."""

    id: str
    """`<job id>-<n>`; `n` counts from 0."""
    state: PartState
    """Its state now."""
    reason: str | None
    """Why it is in this state, for people, or None if there is nothing to say."""
    not_before: datetime | None
    """When its next call may begin; for a part in doubt, when it is repeated or searched for. None if it has ended, is
    held for a person, or waits without a known time."""
    waits_on: str | None
    """Id of the job whose end or receipt it waits for, or None if it waits for none."""
    account: str
    """The account that sends it: the job's own, unless `worker move` has given it to another one."""
    attempts: tuple[AttemptReport, ...]
    """Its calls in order, as far as they are still stored (`retention.attempts_days`)."""


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
    """Its state now, derived from the states of its parts."""
    asked: int
    """How many recipients the job names; everyone, or everyone of a sender, counts as one."""
    tags: tuple[str, ...]
    """The tags of the job. A replay has its original's."""
    dedupe_key: str | None = field(repr=False)
    """The key the job was enqueued with; None: it was enqueued without one."""
    target_job_id: str | None
    """The job that a recall or a card update is about."""
    replay_of: str | None
    """The original that this job repeats, also if a replay was replayed, or None for an original."""
    created_at: datetime
    """When it was enqueued, by the database's clock."""
    due_at: datetime
    """When it is sent at the earliest."""
    expires_at: datetime | None
    """From when on it is not sent any more; None: it never expires."""
    finished_at: datetime | None
    """When its last open part ended, or None while it is open."""
    tenant: str | None
    """The team that shares the account's limits with others; None: none."""
    is_recalled: bool
    """True if a recall took its messages back."""

    @property
    def label(self) -> str:
        """The name of its state; `recalled` if its accepted messages were taken back."""
        taken = self.state in (JobState.ACCEPTED, JobState.PARTIAL, JobState.UNKNOWN)
        return "recalled" if self.is_recalled and taken else self.state.label

    @property
    def is_correction(self) -> bool:
        """True if its message replaces that of `target_job_id`."""
        return self.target_job_id is not None and self.kind not in FOLLOW_UPS


R = TypeVar("R", Receipt, RecipientFailure, AttemptReport, PartReport)
SUMMARY_COLUMNS = tuple(one.name for one in fields(JobSummary) if one.name != "is_recalled")
"""The columns of a job that a list reads."""


@dataclass(frozen=True, slots=True)
class JobReport(JobSummary):
    """The state of one job at one moment. It has no recipients' names: `recipients` and `failures` list these."""

    counts: RecipientCounts
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
    """Returns the report of a job, also of one that the caller's own transaction has not committed yet.

    Raises JobNotFound if there is none. `numbers`, counted from 0, limits the report to these parts and their receipts;
    the counts are always those of all.
    """
    rows = _rows_of(connection, job_id, numbers)
    job = rows.job["id"]
    parts = [part["id"] for part in rows.parts] if numbers is None else reading.part_ids(connection, job)
    recalled = recalled_jobs(connection, [job])
    counts, unlisted = counts_of(connection, rows.job, parts)
    named = plural(unlisted, "recipient")
    notes = [f"{named} cannot be listed: the stored rows cannot be read"] if unlisted else []
    return _report(rows, counts, recalled, notes)


@on_callers_connection
def receipts(connection: Connection, job_id: JobId) -> list[Receipt]:
    """Lists what the vendor returned for the job: msgids, media_ids, URLs, chatids."""
    return [_receipt(row) for row in _rows_of(connection, job_id).receipts]


@on_callers_connection
def failures(
    connection: Connection,
    job_id: JobId,
    *,
    after: RecipientFailure | None = None,
    limit: int | None = None,
) -> list[RecipientFailure]:
    """Lists the recipients of the job that the vendor refused, or the next `limit` of them after `after`.

    For the next page give the last failure of this page as `after`.
    """
    job = str(row_of(connection, job_id)["id"])
    last = ("", "", "") if after is None else (after.part, after.kind, after.recipient.lower())
    return [
        _record(RecipientFailure, row, part=row["part_id"], field_name=row["field"])
        for row in reading.failures_page(connection, job, last, limit)
    ]


Source: TypeAlias = "Engine | Database | Callable[[], Session]"


def wait_until_ended(
    source: Source,
    job_id: JobId,
    timeout_s: float = 30.0,
    *,
    states: State | Iterable[State] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> JobReport:
    """Waits until the job has ended, or is in one of `states`, for tests of applications. Raises StillOpen in the end.

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


def _report(rows: ReportRows, counts: RecipientCounts, recalled: Collection[str], notes: Sequence[str]) -> JobReport:
    attempts: dict[str, list[AttemptReport]] = {}
    for row in filter(was_called, rows.attempts):
        attempt = _record(AttemptReport, row, doubtful=bool(row["doubtful"]))
        attempts.setdefault(row["part_id"], []).append(attempt)
    return JobReport(
        **summary_of(rows.job, recalled),
        counts=counts,
        replays=rows.replays,
        warnings=(*texts_of(rows.job["warnings"]), *notes),
        receipts=tuple(_receipt(row) for row in rows.receipts),
        parts=tuple(_part(row, attempts.get(row["id"], [])) for row in rows.parts),
    )


def summary_of(row: Mapping[str, Any], recalled: Collection[str]) -> dict[str, Any]:
    """Returns the fields of a JobSummary. `recalled` are the ids of the recalled jobs."""
    values = {"state": JobState(row["state"]), "tags": tuple(tags_of(row["tags"]))}
    return {**_columns(SUMMARY_COLUMNS, row), **values, "is_recalled": row["id"] in recalled}


def _part(row: Mapping[str, Any], attempts: Iterable[AttemptReport]) -> PartReport:
    return _record(
        PartReport,
        row,
        state=PartState(row["state"]),
        not_before=_instant(row["not_before"]),
        account=account_of(row["lane"]),
        attempts=tuple(attempts),
    )


def _receipt(row: Mapping[str, Any]) -> Receipt:
    extra = object_or_empty(row["extra"])
    created_at = str(extra.get("created_at"))
    return _record(
        Receipt,
        row,
        part=row["part_id"],
        **{name: extra.get(name) for name in ("url", "chatid", "type")},
        created_at=_instant(int(created_at) * settle.SECOND if created_at.isdecimal() else None),
        from_repeat=bool(row["from_repeat"]),
        not_sent=bool(row["not_sent"]),
    )


def _record(kind: type[R], row: Mapping[str, Any], **values: Any) -> R:
    """Makes a record from the columns that its fields are named after, and from `values`."""
    return kind(**_columns([column.name for column in fields(kind) if column.name not in values], row), **values)


def _columns(names: Iterable[str], row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns columns of a row by name, with instants as datetimes."""
    return {name: _instant(row[name]) if name.endswith("_at") else row[name] for name in names}


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None or micros > _FOREVER else instant(micros)


_FOREVER = 200_000_000_000_000_000
"""Microseconds, past the year 8000. A later `not_before` means that a part waits for another part without a due time.
"""


@contextmanager
def _open_connection(source: Source) -> Iterator[Connection]:
    """Opens a connection for one read."""
    match source:
        case Database():
            with source.reading() as connection:
                yield connection
        case Engine():
            # Each statement is a transaction of its own, because on SQLite a read must not wait for the write lock.
            with source.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                yield connection
        case _ if callable(source):
            with source() as session:
                yield session.connection()
        case _:
            type_name = type(source).__name__
            raise ConfigurationError(f"wait_until_ended takes an Engine or a session factory first, not {type_name}")
