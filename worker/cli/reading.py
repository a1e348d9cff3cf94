"""`worker jobs` and `worker show`: reports of jobs, as text for people and as JSON for scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer
from rich.cells import cell_len

from worker.accounts.sources import accounts_of
from worker.channels.registry import sorted_out
from worker.cli.options import OF_CALLS, Commands, Json, note, plain, say, with_filter
from worker.config.settings import load_settings
from worker.control.opening import opened
from worker.domain.callbacks.hook import EventState
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.pause import Pause
from worker.domain.state import JobState
from worker.language import language, said, word
from worker.outbox.engine.clock import instant
from worker.reporting.code_stock import CardCodes, codes_left
from worker.reporting.job_list import JobCount, count_jobs, find_jobs, text_hash
from worker.reporting.recipient_status import RecipientStatus, recipients
from worker.reporting.report import Failure, JobReport, JobSummary, failures, get_job
from worker.reporting.timeline import Event, timeline
from worker.reporting.why import Why, find_named, why as why_of

app = Commands()
T = TypeVar("T")
S = TypeVar("S", JobState, EventState)

Say = Callable[[str], Any]


@app.command()
@with_filter(*OF_CALLS)
def jobs(
    given: dict[str, Any],
    before: Annotated[str | None, typer.Option(metavar="ID", help="The next page: only jobs older than this.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="All pages; with --json one object a line.")] = False,
    counts: Annotated[
        bool, typer.Option("--counts", help="How many, by account, kind and state; by default since a day ago.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Lists jobs, newest first: all of them, or those of a filter."""
    if counts:
        _count(given, as_json=as_json)
        return
    # A list may be about all jobs, so a state alone is no mistake.
    named = state_named(JobState, given.pop("state", None))
    wanted = JobFilter(**given) if given else None
    if every:
        _all_jobs(wanted, named, as_json=as_json)
        return
    with outbox() as connection:
        page = find_jobs(connection, wanted, state=named, before=before, limit=limit)
    if as_json:
        say(json.dumps(plain(page), ensure_ascii=False))
    else:
        tell(page.jobs, _job_line, "no jobs", as_json=False)
    if page.leaves_fresh_out:
        note("not all jobs were looked at that are open, or wait to be indexed: there are too many")
    if page.is_cut_short:
        note(f"as many as one look may read; go on with --before {page.before}, or name a field that fewer share")


PAGE = 1_000


def _all_jobs(wanted: JobFilter | None, state: JobState | None, *, as_json: bool) -> None:
    """Prints every job of a filter, page by page; as JSON one object a line."""
    before, count = None, 0
    while True:
        with outbox() as connection:
            page = find_jobs(connection, wanted, state=state, before=before, limit=PAGE)
        if page.leaves_fresh_out:
            raise WorkerError("not all jobs that are open, or wait to be indexed, can be looked at: there are too many")
        for job in page.jobs:
            say(json.dumps(plain(job), ensure_ascii=False) if as_json else _job_line(job))
        count, before = count + len(page.jobs), page.before
        if before is None:
            note(f"{count} jobs")
            return


def _count(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints how many jobs of a filter there are by account, kind and state; since a day ago, if it names no time."""
    since = given.get("created_from") or datetime.now(UTC) - timedelta(days=1)
    with outbox() as connection:
        found = count_jobs(connection, JobFilter(**{**given, "created_from": since}))
    tell(found, _count_line, f"no jobs since {clock(since)}", as_json=as_json)


def _count_line(one: JobCount) -> str:
    counts = said(f"{one.jobs:>9} jobs {one.asked:>10} asked")
    return f"{padded(one.account, 12)} {one.kind:<12} {padded(word('state', one.state.label), 10)} {counts}"


JobName = Annotated[
    str,
    typer.Argument(metavar="JOB", help="A job's id or its beginning, a part's, a dedupe key, a task_id, or a msgid."),
]


@app.command()
def show(name: JobName, as_json: Json = False) -> None:
    """One job: state, receipts, failures, timeline."""
    with outbox() as connection:
        job_id = find_named(connection, name, accounts_of(load_settings()).names())
        report, events = get_job(connection, job_id), timeline(connection, job_id)
        codes, refused = codes_left(connection, job_id), failures(connection, job_id)
        says = text_hash(connection, job_id)
        if as_json:
            who = {status: recipients(connection, job_id, status, limit=None) for status in RecipientStatus}
            more = {"text_hash": says, "failures": refused, "recipients": who, "codes_left": codes, "timeline": events}
            say(json.dumps({**plain(report), **plain(more)}, ensure_ascii=False))
            return
    for line in [*report_lines(report, refused), f"  text_hash {says}", *code_lines(codes), *timeline_lines(events)]:
        say(line)


@app.command()
def why(name: JobName, as_json: Json = False) -> None:
    """What a job waits for now and since when, what happened to it, and what you could do."""
    settings = load_settings()
    accounts = accounts_of(settings)
    with opened(settings) as database, database.reading() as connection:
        told = why_of(connection, name, accounts=accounts.names())
    switch = settings.staging.switches().told()
    good, wrong = sorted_out(accounts, [told.job.account])
    unusable = wrong.get(told.job.account)
    if unusable is None:
        switch = good[told.job.account].staging.told()
    if as_json:
        say(json.dumps({**plain(told), "staging": switch or None, "unusable_here": unusable}, ensure_ascii=False))
        return
    for line in why_lines(told):
        say(line)
    if unusable:
        say(f"  its account cannot be used as it is configured here: {unusable}")
    if switch:
        say(f"  {staging_line(switch)}")


def staging_line(switch: str) -> str:
    """What a switch of staging means, for people."""
    return f"staging is on here ({switch}): not everybody who is named is called; see docs/operations.md"


SHOWN = 10
"""Most parts whose waits are shown for people; `--json` has all."""


def why_lines(told: Why) -> Iterator[str]:
    """A job's report, then what it waits for and what one could do about it, then its history."""
    yield from report_lines(told.job, [])
    shown = list(dict.fromkeys(wait.part for wait in told.waits))[:SHOWN]
    for wait in told.waits:
        if wait.part in shown:
            since = f" since {clock(wait.since)}" if wait.since else ""
            until = f", again at {clock(wait.until)}" if wait.until else ""
            yield f"  part {wait.part.rpartition('-')[2]} waits for {wait.what}{since}{until}: {wait.text}"
    if more := len({wait.part for wait in told.waits}) - len(shown):
        yield f"  and {more} more parts, see --json"
    yield from (f"    {line}" for meaning in told.meanings.values() for line in meaning)
    yield from code_lines(list(told.codes_left))
    for one in told.follow_ups:
        until = f", and waits for it until {clock(one.until)} at the latest" if one.until else ""
        yield f"  {one.kind} {one.job} of it is open{until}"
    yield from timeline_lines(list(told.timeline))
    commands = dict.fromkeys(command for wait in told.waits if wait.part in shown for command in wait.commands)
    if commands:
        yield "you could"
        yield from (f"  {command}" for command in commands)


def tell(found: Sequence[T], line: Callable[[T], str], nothing: str, *, as_json: bool) -> None:
    """Prints rows as one JSON list, or each as `line` makes it; `nothing` is the sentence for an empty list."""
    if as_json:
        say(json.dumps(plain(found), ensure_ascii=False))
        return
    for one in found:
        say(line(one))
    if not found:
        say(nothing)


def _job_line(job: JobSummary) -> str:
    asked, state = said(f"{job.asked} asked"), padded(word("state", job.state.label), 10)
    return f"{job.id}  {clock(job.created_at)}  {padded(job.account, 12)} {job.kind:<12} {state} {asked}"


def report_lines(report: JobReport, refused: list[Failure]) -> Iterator[str]:
    """A job's state, counts, receipts, failures and reasons."""
    counts = report.counts
    yield f"job {report.id}: {report.kind} on account {report.account} is {report.state.label}"
    yield (
        f"  asked {counts.asked}: accepted {counts.accepted}, refused {counts.refused},"
        f" undetermined {counts.undetermined}, not sent {counts.not_sent}, not yet {counts.not_yet}"
    )
    links = {"is about": report.target_job_id, "is a replay of": report.replay_of}
    yield from (f"  {link} job {job}" for link, job in links.items() if job)
    yield from (f"  {word('job', name)}: {value}" for name in FURTHER if (value := _written(getattr(report, name))))
    yield from (f"  was replayed as job {job}" for job in report.replays)
    yield from (f"  warning: {warning}" for warning in report.warnings)
    for receipt in report.receipts:
        given = receipt.msgid or receipt.media_id or ("nothing had to be sent" if receipt.not_sent else "no id")
        recalled = f", recalled {clock(receipt.recalled_at)}" if receipt.recalled_at else ""
        yield f"  receipt {given} at {clock(receipt.accepted_at)}{recalled}"
    for failure in refused:
        yield f"  refused {failure.kind} {failure.recipient} ({failure.field_name}, {failure.errcode})"
    for part in report.parts:
        if part.reason:
            yield f"  part {part.id}: {part.state.label}, {part.reason}"


_IN_WORDS = {"id", "kind", "channel", "account", "state", "asked", "target_job_id", "replay_of"}
_IN_TIMELINE = {"created_at", "due_at", "finished_at"}
FURTHER = [one.name for one in fields(JobSummary) if one.repr and one.name not in _IN_WORDS | _IN_TIMELINE]
"""The fields of a job that are printed as they are, where they have a value."""


def _written(value: Any) -> str:
    if isinstance(value, datetime):
        return clock(value)
    return " ".join(value) if isinstance(value, tuple) else str(value or "")


def code_lines(codes: list[CardCodes]) -> Iterator[str]:
    """How often each card can still be updated."""
    for one in codes:
        end = f", the last until {clock(one.until)}" if one.left else ""
        yield f"  card of part {one.part}: {one.left} response_codes left to update it with{end}"


def timeline_lines(events: list[Event]) -> Iterator[str]:
    """The events, one a line."""
    for event in events:
        part = said(f"part {event.part.rpartition('-')[2]}" if event.part else "job")
        person = f" by {event.person}" if event.person else ""
        what, detail = event.told(language())
        about = f": {detail}" if detail else ""
        yield f"  {clock(event.at)}  {padded(part, 7)} {what}{about}{said(person)}"


def clock(at: datetime | None) -> str:
    """An instant in UTC, with milliseconds; `-` where there is none."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds") if at else "-"


def pause_line(pause: Pause) -> str:
    """What is paused, since when, by whom and why."""
    what = "held" if pause.job_id else "paused"
    why = f": {pause.why}" if pause.why else ""
    return f"{what}: {pause.told()}, since {clock(pause.began_at)}, by {pause.person}{why}"


def padded(text: str, width: int) -> str:
    """The text with blanks behind it up to a width on the terminal, where a Chinese character takes two places."""
    return text + " " * (width - cell_len(text))


def iso(at: int | None) -> str | None:
    """An instant in microseconds as ISO 8601 with milliseconds; None where there is none."""
    return instant(at).isoformat(timespec="milliseconds") if at else None


def state_named(states: type[S], name: str | None) -> S | None:
    """The state that `--state` names; None when the option is not given."""
    if name is None:
        return None
    try:
        return states[name.upper()]
    except KeyError:
        known = ", ".join(state.label for state in states)
        raise ConfigurationError(f"--state {name}: is not a state; use one of {known}") from None


class ProgressLine:
    """Tells how far a command of several jobs has come, at most once a second, with the rate so far."""

    def __init__(self, total: int, monotonic: Callable[[], float] = time.monotonic):
        self._total, self._monotonic = total, monotonic
        self._began = self._told = monotonic()

    def __call__(self, done: int) -> None:
        """So many are done."""
        now = self._monotonic()
        if now - self._told >= 1:
            self._told = now
            note(f"{done} of {self._total}, {done / (now - self._began):.0f}/s")


@contextmanager
def outbox() -> Iterator[Any]:
    """A connection to the settings' database, for reading."""
    with opened() as database, database.reading() as connection:
        yield connection
