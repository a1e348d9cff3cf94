"""Lists the events of a job in order: every mark, call, receipt, refusal, press, hook and follow-up. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from worker.domain.callbacks.hook import EventState
from worker.domain.job import JobId
from worker.domain.state import JobState, PartState
from worker.domain.stored import object_or_empty
from worker.language import Lang, plural, term, translate
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import instant
from worker.outbox.jobs.reading import JobRows, Rows
from worker.reporting.find_job import rows_of

UNKNOWN = JobState.UNKNOWN.label
MAX_REASONS = 3
"""Most reasons of a job's parts that its timeline shows. The report has all of them."""


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One line of a job's timeline."""

    at: datetime
    """When it happened, by the database's clock."""
    what: str
    """What happened, such as `enqueued`, `marked` or `hook failed`; for a call, its outcome."""
    part: str | None = None
    """Id of the part that it happened to, or None if it is about the whole job."""
    detail: str = ""
    """Details for people, in English; may be empty."""
    person: str | None = field(default=None, repr=False)
    """The userid of the person who pressed a button, or None for events that no person caused."""

    def localized(self, lang: Lang) -> tuple[str, str]:
        """Returns what happened and its details in a language."""
        sort, _, step = self.what.partition(" ")
        if sort in ("lane", "account") and step:
            what = f"{term('head', sort, lang)} {term('step', step, lang)}"
        else:
            what = term("event", term("state", self.what, lang), lang)
        state, colon, reasons = self.detail.partition(": ")
        if colon and self.what == "ended":
            told = [term("state", state, lang), translate(reasons, lang)]
            return translate(what, lang), (": " if lang == "en" else "：").join(told)
        return translate(what, lang), term("state", translate(self.detail, lang), lang)


@on_callers_connection
def timeline(connection: Connection, job_id: JobId) -> list[TimelineEvent]:
    """Lists the job's events in order."""
    return timeline_of(rows_of(connection, job_id))


def timeline_of(rows: JobRows) -> list[TimelineEvent]:
    """Returns the events that rows of a job contain, in order."""
    return sorted(_events(rows), key=lambda event: event.at)


def _events(rows: JobRows) -> Iterator[TimelineEvent]:
    """Yields the events unsorted. Events at the same instant keep this order."""
    job = rows.job
    yield TimelineEvent(
        instant(job["created_at"]),
        "enqueued",
        detail=(f"{job['kind']} on account {job['account']}, {plural(job['asked'], 'recipient')}"),
    )
    if job["due_at"] > job["created_at"] and (job["finished_at"] is None or job["due_at"] <= job["finished_at"]):
        yield TimelineEvent(instant(job["due_at"]), "due")
    if job["cancelled_at"] is not None:
        yield TimelineEvent(instant(job["cancelled_at"]), "cancelled")
    for row in rows.waits:
        yield TimelineEvent(instant(row["began_at"]), "put off", row["part_id"], row["reason"])
    called = {(row["part_id"], row["claim"]) for row in rows.attempts}
    for row in rows.attempts:
        if was_called(row):
            yield TimelineEvent(instant(row["started_at"]), "marked", row["part_id"], f"claim {row['claim']}")
        yield TimelineEvent(instant(row["ended_at"]), row["outcome"], row["part_id"], _call_text(row))
    # A part that was rescheduled has a later claim than its last call.
    ended = {(row["part_id"], row["started_at"]) for row in rows.attempts}
    for part in rows.parts:
        was_marked = part["state"] == PartState.SENDING or (part["id"], part["marked_at"]) not in ended
        if part["marked_at"] is not None and was_marked and (part["id"], part["claim"]) not in called:
            yield TimelineEvent(instant(part["marked_at"]), "marked", part["id"], f"claim {part['claim']}")
    for row in rows.receipts:
        yield TimelineEvent(instant(row["accepted_at"]), "recorded", row["part_id"], _receipt_text(row))
        if row["recalled_at"] is not None:
            yield TimelineEvent(instant(row["recalled_at"]), "recalled", row["part_id"])
    yield from _refusals(rows.failures)
    for row in rows.events:
        yield from _hook_events(row)
    for row in rows.followers:
        yield TimelineEvent(instant(row["created_at"]), f"{row['kind']} enqueued", detail=f"job {row['id']}")
        if row["finished_at"] is not None:
            label = JobState(row["state"]).label
            yield TimelineEvent(instant(row["finished_at"]), f"{row['kind']} ended", detail=f"{label}, job {row['id']}")
    if job["finished_at"] is not None:
        yield TimelineEvent(instant(job["finished_at"]), "ended", detail=_end_text(rows))


def was_called(attempt: Mapping[str, Any]) -> bool:
    """Returns False for the attempt that a fence adds: the restored backup has no record of a call."""
    return bool(attempt["incarnation"])


def _end_text(rows: JobRows) -> str:
    """Returns the job's state with its parts' reasons, because no attempt has the reason for which a part was held."""
    reasons = list(dict.fromkeys(part["reason"] for part in rows.parts if part["reason"]))
    omitted = [f"and {len(reasons) - MAX_REASONS} more"] if len(reasons) > MAX_REASONS else []
    text = "; ".join([*reasons[:MAX_REASONS], *omitted])
    label = JobState(rows.job["state"]).label
    return f"{label}: {text}" if text else label


def _hook_events(row: Mapping[str, Any]) -> Iterator[TimelineEvent]:
    """Yields a press of the card, and the runs of the application's hook for it or for the job's end."""
    part, press = row["part_id"], object_or_empty(row["payload"]).get("press")
    if isinstance(press, dict):
        button = press.get("button")
        yield TimelineEvent(instant(row["received_at"]), "pressed", part, f"key {button}", row["person"])
    state, tries = EventState(row["state"]), f"{row['kind']} {row['id']}, run {row['tries']}"
    if state is EventState.RUNNING or (state is EventState.DONE and row["started_at"]):
        yield TimelineEvent(instant(row["started_at"]), "hook started", part, tries)
    match state:
        case EventState.DONE:
            yield TimelineEvent(instant(row["ended_at"]), "hook done", part, tries)
        case EventState.IGNORED:
            yield TimelineEvent(
                instant(row["ended_at"]), "hook ignored", part, f"{row['kind']} {row['id']}, no hook for it"
            )
        case EventState.PARKED:
            yield TimelineEvent(instant(row["ended_at"]), "hook parked", part, f"{tries}: {row['error']}")
        case EventState.WAITING if row["error"] is not None:
            yield TimelineEvent(instant(row["started_at"]), "hook failed", part, f"{tries}, runs again: {row['error']}")
        case _:
            pass


def _refusals(failures: Rows) -> Iterator[TimelineEvent]:
    """Yields one event for all recipients that one answer refused. `failures` has their names."""
    groups = Counter((row["failed_at"], row["part_id"], row["field"]) for row in failures)
    for (at, part, name), count in groups.items():
        yield TimelineEvent(instant(at), "refused", part, f"{count} named in {name}")


def _call_text(row: Mapping[str, Any]) -> str:
    """Describes a call: its codes, the vendor's trace number, its duration, and whether it was answered later."""
    late = "answered later" if row["outcome"] == UNKNOWN and not row["doubtful"] else None
    facts = {"HTTP ": row["http_status"], "errcode ": row["errcode"], "hint ": row["hint"]}
    said = [f"{name}{value}" for name, value in facts.items() if value is not None]
    duration = None if row["duration_ms"] is None else f"{row['duration_ms']} ms"
    facts_in_order = (row["reason"], duration, late, *said) if late else (row["reason"], *said, duration)
    return ", ".join(fact for fact in facts_in_order if fact)


def _receipt_text(row: Mapping[str, Any]) -> str:
    extra = object_or_empty(row["extra"])
    facts = (
        ("msgid", row["msgid"]),
        ("media_id", row["media_id"]),
        ("url", extra.get("url")),
        ("chatid", extra.get("chatid")),
        ("from a repeat", row["from_repeat"] or None),
        ("nothing had to be sent", row["not_sent"] or None),
        (f"warning: {row['warning']}", row["warning"]),
    )
    return ", ".join(name for name, value in facts if value is not None)
