"""One job: what it waits for, its history, the commands for it, and its parts page by page. Not its message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from worker.channels.registry import channel_if_there, split_usable
from worker.console.page import ConsoleRequest, NotFound, View
from worker.console.pages import redaction
from worker.console.rendering import short
from worker.console.running.preparing import OFFERED
from worker.console.viewer import may_read_names, may_read_texts
from worker.control.job_status import read_job_status
from worker.domain.account import Account
from worker.domain.errors import JobNotFound
from worker.domain.job import JobKind
from worker.outbox.control.cancels import job_sizes
from worker.reporting.campaign import LISTS, campaign
from worker.reporting.job_list import with_contents
from worker.reporting.report import JobReport, RecipientFailure, failures
from worker.reporting.why import JobExplanation, why

PARTS = 50
"""Number of parts on a page."""
WAITS = 10
"""Largest number of parts whose waits are shown, as on the command line."""
RECIPIENTS = 500
EVENTS = 300
"""Largest number of events on the page, the newest."""


def job(request: ConsoleRequest) -> View:
    """Shows the job's page."""
    first = _number(request.query.get("first")) or 0
    report, parts = _why(request, range(first, first + PARTS))
    site, account = request.site, report.job.account
    may_act = request.may_act(account)
    shown_parts = list(dict.fromkeys(wait.part for wait in report.waits))[:WAITS]
    usable, unusable_accounts = split_usable(site.accounts, [account])
    unusable = unusable_accounts.get(account)
    reads = may_read_texts(request.viewer, account)
    return View.of(
        "job.html",
        _title(request, report.job),
        report=report,
        job=report.job,
        waits=[wait for wait in report.waits if wait.part in shown_parts],
        more_waits=len({wait.part for wait in report.waits}) - len(shown_parts),
        commands=list(dict.fromkeys(command for wait in report.waits for command in wait.commands)),
        **(_commands(request, report.job) if may_act else {"applicable": (), "idle": ()}),
        meanings=_meanings(request, report),
        first=first,
        parts=parts,
        on_a_page=PARTS,
        events=report.timeline[-EVENTS:],
        more_events=max(0, len(report.timeline) - EVENTS),
        reads=reads,
        unusable=unusable if reads else (unusable and ""),
        staging="".join(_staging(request, account_settings) for account_settings in usable.values()),
        campaign=_campaign(request, report.job),
    )


def _title(request: ConsoleRequest, job: JobReport) -> str:
    """Returns what the job is, such as `text → lisi +2 · hr`; without the recipient for who may not read it."""
    with request.reading() as connection:
        listed = redaction.redact(request.viewer, job.account, with_contents(connection, [job])[0])
    others = f" +{listed.others:,}" if listed.others else ""
    to = "" if listed.recipient is None else f" → {listed.recipient}{others}"
    return f"{listed.localized(request.viewer.lang)}{to} · {job.account}"


def _commands(request: ConsoleRequest, job: JobReport) -> dict[str, list[str]]:
    """Returns the commands about jobs: those that have something to do about this one, and those that have not."""
    with request.reading() as connection:
        status = read_job_status(connection, job)
    applies = {name: command.might_apply(status) for name, command in OFFERED.items() if command.might_apply}
    return {
        "applicable": [name for name, might in applies.items() if might],
        "idle": [name for name, might in applies.items() if not might],
    }


def part(request: ConsoleRequest) -> View:
    """Shows one part of a job: its attempts, its receipts, and the recipients that the vendor refused."""
    n = number_in_path(request)
    report, _ = _why(request, range(n, n + 1))
    if not report.job.parts:
        raise NotFound
    id, account = report.job.parts[0].id, report.job.account
    refused = list[RecipientFailure]()
    reads = may_read_names(request.viewer, account)
    if reads:
        with request.reading() as connection:
            refused = _failures(connection, report.job.id, id)
    return View.of(
        "part.html",
        f"{request.term('job.part')} {short(id)}",
        job=report.job,
        part=report.job.parts[0],
        waits=report.waits,
        timeline=[event for event in report.timeline if event.part == id],
        receipts=report.job.receipts,
        refused=refused,
        max_failures=RECIPIENTS,
        meanings=_meanings(request, report),
        reads=reads,
    )


def _why(request: ConsoleRequest, numbers: range) -> tuple[JobExplanation, int]:
    """Returns the report of some parts of the job in the path, and how many parts the job has."""
    try:
        with request.reading() as connection:
            report = why(connection, request.path["job"], numbers=numbers)
            parts = job_sizes(connection, [report.job.id])
    except (JobNotFound, UnicodeEncodeError):
        raise NotFound from None
    return redaction.redact(request.viewer, report.job.account, report), sum(counts.parts for counts in parts.values())


def _failures(connection: Connection, job_id: str, part: str) -> list[RecipientFailure]:
    # Sorts before every failure of the part.
    before = RecipientFailure(part, "", "", "", 0, datetime.fromtimestamp(0, UTC))
    return [
        failure for failure in failures(connection, job_id, after=before, limit=RECIPIENTS + 1) if failure.part == part
    ]


def _campaign(request: ConsoleRequest, job: JobReport) -> dict[str, Any] | None:
    """Returns the results of a group-send as counts, without customers' ids; None if the job is no group-send."""
    vendor = channel_if_there(job.channel)
    if vendor is None or vendor.follow_up_problem(JobKind.TRACK, job.kind) is not None:
        return None
    with request.reading() as connection:
        report = campaign(connection, job.id)
    return {
        "counts": {name: len(getattr(report, name)) for name in LISTS if getattr(report, name)},
        "members": sum(task.members for task in report.tasks),
        "members_done": sum(task.members_done for task in report.tasks),
        "read_at": report.read_at,
    }


def _staging(request: ConsoleRequest, account: Account) -> str:
    """Returns the name of the staging switch that is on, or an empty text if none is."""
    switches = request.site.settings.staging.switches()
    staging = switches if switches.active() else account.staging
    return staging.active() if staging.only is None else request.term("staging.only", count=len(staging.only))


def _meanings(request: ConsoleRequest, report: JobExplanation) -> list[str]:
    """Returns what the errcodes of the job's calls mean, in the viewer's language."""
    vendor = channel_if_there(report.job.channel)
    return [line for code in report.meanings if vendor for line in vendor.explain(code, request.viewer.lang) or ()]


def number_in_path(request: ConsoleRequest) -> int:
    """Parses the number of a part or a file in the path; raises NotFound for anything else."""
    number = _number(request.path["n"])
    if number is None:
        raise NotFound
    return number


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 8 else None
