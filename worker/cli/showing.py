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
from worker.cli.options import Commands, Json, echo, to_json
from worker.cli.reading import outbox, padded, staging_line
from worker.cli.times import clock
from worker.config.settings import load_settings
from worker.control.opening import open_database
from worker.language import language, plural, term, translate
from worker.language.visible import one_line
from worker.reporting.code_stock import CardCodes, codes_left
from worker.reporting.job_list import text_hash
from worker.reporting.recipient_status import RecipientStatus, recipients
from worker.reporting.report import JobReport, JobSummary, RecipientFailure, failures, get_job
from worker.reporting.timeline import TimelineEvent, timeline
from worker.reporting.wait import PartWait, WaitReason
from worker.reporting.why import JobExplanation, find_by_name, why as why_of

app = Commands()


JobName = Annotated[
    str,
    typer.Argument(metavar="JOB", help="A job's id or its beginning, a part's, a dedupe key, a task_id, or a msgid."),
]


@app.command()
def show(name: JobName, as_json: Json = False) -> None:
    """Shows one job: state, receipts, failures, timeline."""
    with outbox() as connection:
        job_id = find_by_name(connection, name, accounts_of(load_settings()).names())
        report, events = get_job(connection, job_id), timeline(connection, job_id)
        codes, refused = codes_left(connection, job_id), failures(connection, job_id)
        content_hash = text_hash(connection, job_id)
        if as_json:
            by_status = {status: recipients(connection, job_id, status, limit=None) for status in RecipientStatus}
            extra = {
                "text_hash": content_hash,
                "failures": refused,
                "recipients": by_status,
                "codes_left": codes,
                "timeline": events,
            }
            echo(json.dumps({**to_json(report), **to_json(extra)}, ensure_ascii=False))
            return
    for line in [
        *report_lines(report, refused),
        f"  text_hash {content_hash}",
        *code_lines(codes),
        *timeline_lines(events),
    ]:
        echo(one_line(line))


@app.command()
def why(name: JobName, as_json: Json = False) -> None:
    """Says what a job waits for now and since when, what happened to it, and what you could do."""
    settings = load_settings()
    accounts = accounts_of(settings)
    with open_database(settings) as database, database.reading() as connection:
        report = why_of(connection, name, accounts=accounts.names())
    switch = settings.staging.switches().active()
    usable, unusable_accounts = split_usable(accounts, [report.job.account])
    unusable = unusable_accounts.get(report.job.account)
    if unusable is None:
        switch = usable[report.job.account].staging.active()
    if as_json:
        echo(json.dumps({**to_json(report), "staging": switch or None, "unusable_here": unusable}, ensure_ascii=False))
        return
    for line in why_lines(report):
        echo(one_line(line))
    if unusable:
        echo(f"  its account cannot be used as it is configured here: {unusable}")
    if switch:
        echo(f"  {staging_line(switch)}")


MAX_PARTS = 10
"""Largest number of parts whose waits are printed; `--json` has all."""


def why_lines(report: JobExplanation) -> Iterator[str]:
    """Yields a job's report, what it waits for, its history, and the commands that could help."""
    yield from report_lines(report.job, [])
    if report.refused:
        more = report.job.counts.refused - len(report.refused)
        yield f"  refused: {', '.join(report.refused)}{f' and {more} more' if more else ''}"
    shown_parts = list(dict.fromkeys(wait.part for wait in report.waits))[:MAX_PARTS]
    for wait in report.waits:
        if wait.part in shown_parts:
            since = f" since {clock(wait.since)}" if wait.since else ""
            until = _until(wait)
            yield f"  part {wait.part.rpartition('-')[2]} waits for {wait.what}{since}{until}: {wait.text}"
    if more := len({wait.part for wait in report.waits}) - len(shown_parts):
        yield f"  and {more} more parts, see --json"
    yield from (f"    {line}" for meaning in report.meanings.values() for line in meaning)
    yield from code_lines(list(report.codes_left))
    for follow_up in report.follow_ups:
        until = f", which waits for it until {clock(follow_up.until)} at the latest" if follow_up.until else ""
        yield f"  its follow-up {follow_up.kind} is open: job {follow_up.job}{until}"
    yield from timeline_lines(list(report.timeline))
    commands = dict.fromkeys(command for wait in report.waits if wait.part in shown_parts for command in wait.commands)
    if other_commands := [command for command in commands if command != report.next.command]:
        yield "you could also run"
        yield from (f"  {command}" for command in other_commands)
    yield f"next: {report.next.text}"
    if report.next.command:
        yield f"  {report.next.command}"


def _until(wait: PartWait) -> str:
    if wait.until is None:
        return ""
    if wait.what is WaitReason.PARKED:
        return f", next probe at {clock(wait.until)}"
    return f", again at {clock(wait.until)}"


def report_lines(report: JobReport, refused: list[RecipientFailure]) -> Iterator[str]:
    """Yields a job's state, counts, receipts, failures and reasons."""
    counts, state = report.counts, report.label
    yield f"job {report.id}: {report.kind} on account {report.account} is {state}"
    yield (
        f"  {plural(counts.asked, 'recipient')}: accepted {counts.accepted}, refused {counts.refused},"
        f" unknown {counts.unknown}, waiting {counts.waiting}, never sent {counts.never_sent}"
    )
    links = {
        "corrects" if report.is_correction else "is about": report.target_job_id,
        "is a replay of": report.replay_of,
    }
    yield from (f"  {link} job {job}" for link, job in links.items() if job)
    yield from (
        f"  {term('job', name)}: {value}" for name in OTHER_FIELDS if (value := _format_value(getattr(report, name)))
    )
    yield from (f"  was replayed as job {job}" for job in report.replays)
    yield from (f"  warning: {warning}" for warning in report.warnings)
    for receipt in report.receipts:
        receipt_id = receipt.msgid or receipt.media_id or receipt.chatid or receipt.url
        receipt_id = receipt_id or ("nothing had to be sent" if receipt.not_sent else "no id")
        recalled = f", recalled {clock(receipt.recalled_at)}" if receipt.recalled_at else ""
        yield f"  receipt {receipt_id} at {clock(receipt.accepted_at)}{recalled}"
    for failure in refused:
        yield f"  refused {failure.kind} {failure.recipient} ({failure.field_name}, {failure.errcode})"
    for part in report.parts:
        if part.account != report.account:
            yield f"  part {part.id}: sent by account {part.account}"
        if part.reason:
            yield f"  part {part.id}: {part.state.label}, {part.reason}"


_IN_SENTENCES = {"id", "kind", "channel", "account", "state", "asked", "target_job_id", "replay_of", "is_recalled"}
_IN_TIMELINE = {"created_at", "due_at", "finished_at"}
OTHER_FIELDS = [
    field.name for field in fields(JobSummary) if field.repr and field.name not in _IN_SENTENCES | _IN_TIMELINE
]
"""The fields of a job that are printed with their names if they have a value."""


def _format_value(value: Any) -> str:
    if isinstance(value, datetime):
        return clock(value)
    return " ".join(value) if isinstance(value, tuple) else str(value or "")


def code_lines(codes: list[CardCodes]) -> Iterator[str]:
    """Yields how often each card can still be updated."""
    for card in codes:
        end = f", the last until {clock(card.until)}" if card.left else ""
        yield f"  card of part {card.part}: updates still possible: {card.left}{end}"


def timeline_lines(events: list[TimelineEvent]) -> Iterator[str]:
    """Yields a line for each event."""
    for event in events:
        part = translate(f"part {event.part.rpartition('-')[2]}" if event.part else "job")
        person = f" by {event.person}" if event.person else ""
        what, detail = event.localized(language())
        colon = ": " if language() == "en" else "："
        about = f"{colon}{detail}" if detail else ""
        yield f"  {clock(event.at)}  {padded(part, 7)} {what}{about}{translate(person)}"
