"""`worker show` and `worker why`: the report of one job, as text for people and as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any

import typer

from worker.accounts.sources import accounts_of
from worker.channels.registry import split_usable
from worker.cli.options import Commands, Json, echo, plain
from worker.cli.reading import outbox, padded, staging_line
from worker.cli.times import clock
from worker.config.settings import load_settings
from worker.control.opening import open_database
from worker.language import language, plural, term, translate
from worker.reporting.code_stock import CardCodes, codes_left
from worker.reporting.job_list import text_hash
from worker.reporting.recipient_status import RecipientStatus, recipients
from worker.reporting.report import Failure, JobReport, JobSummary, failures, get_job
from worker.reporting.timeline import Event, timeline
from worker.reporting.why import Why, find_by_name, why as why_of

app = Commands()


JobName = Annotated[
    str,
    typer.Argument(metavar="JOB", help="A job's id or its beginning, a part's, a dedupe key, a task_id, or a msgid."),
]


@app.command()
def show(name: JobName, as_json: Json = False) -> None:
    """One job: state, receipts, failures, timeline."""
    with outbox() as connection:
        job_id = find_by_name(connection, name, accounts_of(load_settings()).names())
        report, events = get_job(connection, job_id), timeline(connection, job_id)
        codes, refused = codes_left(connection, job_id), failures(connection, job_id)
        says = text_hash(connection, job_id)
        if as_json:
            who = {status: recipients(connection, job_id, status, limit=None) for status in RecipientStatus}
            more = {"text_hash": says, "failures": refused, "recipients": who, "codes_left": codes, "timeline": events}
            echo(json.dumps({**plain(report), **plain(more)}, ensure_ascii=False))
            return
    for line in [*report_lines(report, refused), f"  text_hash {says}", *code_lines(codes), *timeline_lines(events)]:
        echo(line)


@app.command()
def why(name: JobName, as_json: Json = False) -> None:
    """What a job waits for now and since when, what happened to it, and what you could do."""
    settings = load_settings()
    accounts = accounts_of(settings)
    with open_database(settings) as database, database.reading() as connection:
        told = why_of(connection, name, accounts=accounts.names())
    switch = settings.staging.switches().told()
    good, wrong = split_usable(accounts, [told.job.account])
    unusable = wrong.get(told.job.account)
    if unusable is None:
        switch = good[told.job.account].staging.told()
    if as_json:
        echo(json.dumps({**plain(told), "staging": switch or None, "unusable_here": unusable}, ensure_ascii=False))
        return
    for line in why_lines(told):
        echo(line)
    if unusable:
        echo(f"  its account cannot be used as it is configured here: {unusable}")
    if switch:
        echo(f"  {staging_line(switch)}")


SHOWN = 10
"""Most parts whose waits are shown for people; `--json` has all."""


def why_lines(told: Why) -> Iterator[str]:
    """A job's report, then what it waits for and what one could do about it, then its history."""
    yield from report_lines(told.job, [])
    if told.refused:
        more = told.job.counts.refused - len(told.refused)
        yield f"  refused: {', '.join(told.refused)}{f' and {more} more' if more else ''}"
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
        until = f", which waits for it until {clock(one.until)} at the latest" if one.until else ""
        yield f"  its follow-up {one.kind} is open: job {one.job}{until}"
    yield from timeline_lines(list(told.timeline))
    commands = dict.fromkeys(command for wait in told.waits if wait.part in shown for command in wait.commands)
    if others := [command for command in commands if command != told.next.command]:
        yield "you could also run"
        yield from (f"  {command}" for command in others)
    yield f"next: {told.next.text}"
    if told.next.command:
        yield f"  {told.next.command}"


def report_lines(report: JobReport, refused: list[Failure]) -> Iterator[str]:
    """A job's state, counts, receipts, failures and reasons."""
    counts, state = report.counts, report.label
    yield f"job {report.id}: {report.kind} on account {report.account} is {state}"
    yield (
        f"  {plural(counts.asked, 'recipient')}: accepted {counts.accepted}, refused {counts.refused},"
        f" undetermined {counts.undetermined}, not sent {counts.not_sent}, not yet {counts.not_yet}"
    )
    links = {
        "corrects" if report.is_correction else "is about": report.target_job_id,
        "is a replay of": report.replay_of,
    }
    yield from (f"  {link} job {job}" for link, job in links.items() if job)
    yield from (f"  {term('job', name)}: {value}" for name in FURTHER if (value := _written(getattr(report, name))))
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


_IN_WORDS = {"id", "kind", "channel", "account", "state", "asked", "target_job_id", "replay_of", "is_recalled"}
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
        yield f"  card of part {one.part}: updates still possible: {one.left}{end}"


def timeline_lines(events: list[Event]) -> Iterator[str]:
    """The events, one a line."""
    for event in events:
        part = translate(f"part {event.part.rpartition('-')[2]}" if event.part else "job")
        person = f" by {event.person}" if event.person else ""
        what, detail = event.told(language())
        colon = ": " if language() == "en" else "："
        about = f"{colon}{detail}" if detail else ""
        yield f"  {clock(event.at)}  {padded(part, 7)} {what}{about}{translate(person)}"
