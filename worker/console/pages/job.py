"""One job: what it waits for, what happened, and what one can do; its parts page by page. Its message is apart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from worker.channels.registry import channel, split_usable
from worker.console.commands.orders import possible
from worker.console.page import ConsoleRequest, NotFound, View
from worker.console.pages import seen
from worker.console.viewer import may_read_texts
from worker.domain.account import Account
from worker.domain.errors import JobNotFound
from worker.domain.job import Kind
from worker.outbox.control.cancels import counted_jobs
from worker.reporting.campaign import LISTS, campaign
from worker.reporting.report import Failure, JobReport, failures
from worker.reporting.why import Why, why

PARTS = 50
"""Parts on a page."""
WAITS = 10
"""Parts whose waits are told, as on the command line."""
RECIPIENTS = 500
EVENTS = 300
"""Events of a job that are told of, the newest."""


def job(request: ConsoleRequest) -> View:
    """The job's page."""
    first = number_of(request.query.get("first"))
    told, parts = _why(request, range(first, first + PARTS))
    site, account = request.site, told.job.account
    may = request.may_act(account)
    shown = list(dict.fromkeys(wait.part for wait in told.waits))[:WAITS]
    good, wrong = split_usable(site.accounts, [account])
    unusable = wrong.get(account)
    reads = may_read_texts(request.viewer, account)
    return View.of(
        "job.html",
        f"{request.term('jobs.job')} {told.job.id}",
        told=told,
        job=told.job,
        waits=[wait for wait in told.waits if wait.part in shown],
        more_waits=len({wait.part for wait in told.waits}) - len(shown),
        commands=list(dict.fromkeys(command for wait in told.waits for command in wait.commands)),
        possible=possible(site, told.job.id, told.job.state) if may else (),
        meanings=_meanings(request, told),
        first=first,
        parts=parts,
        on_a_page=PARTS,
        events=told.timeline[-EVENTS:],
        more_events=max(0, len(told.timeline) - EVENTS),
        reads=reads,
        unusable=unusable if reads else (unusable and ""),
        staging="".join(_staging(request, one) for one in good.values()),
        campaign=_campaign(request, told.job),
    )


def part(request: ConsoleRequest) -> View:
    """One vendor call of a job with every attempt at it, its receipts, and the recipients that it was refused for."""
    n = number_of(request.path["n"])
    told, _ = _why(request, range(n, n + 1))
    if not told.job.parts:
        raise NotFound
    id, account = told.job.parts[0].id, told.job.account
    refused = list[Failure]()
    if may_read_texts(request.viewer, account):
        with request.reading() as connection:
            refused = _failures(connection, told.job.id, id)
    return View.of(
        "part.html",
        f"{request.term('job.part')} {id}",
        job=told.job,
        part=told.job.parts[0],
        waits=told.waits,
        timeline=[event for event in told.timeline if event.part == id],
        receipts=told.job.receipts,
        refused=refused,
        most=RECIPIENTS,
        meanings=_meanings(request, told),
        reads=may_read_texts(request.viewer, account),
    )


def _why(request: ConsoleRequest, numbers: range) -> tuple[Why, int]:
    """What is told of some parts of the job in the path, and how many parts it has."""
    try:
        with request.reading() as connection:
            told = why(connection, request.path["job"], numbers=numbers)
            parts = counted_jobs(connection, [told.job.id])
    except (JobNotFound, UnicodeEncodeError):
        raise NotFound from None
    return seen.shown(request.viewer, told.job.account, told), sum(one.parts for one in parts.values())


def _failures(connection: Connection, job_id: str, part: str) -> list[Failure]:
    # Behind what sorts before every failure of the part.
    before = Failure(part, "", "", "", 0, datetime.fromtimestamp(0, UTC))
    return [one for one in failures(connection, job_id, after=before, limit=RECIPIENTS + 1) if one.part == part]


def _campaign(request: ConsoleRequest, found: JobReport) -> dict[str, Any] | None:
    """What became of a group-send, in numbers: no id of a customer; None for a job that is none."""
    if channel(found.channel).follow_up_problem(Kind.TRACK, found.kind) is not None:
        return None
    with request.reading() as connection:
        told = campaign(connection, found.id)
    return {
        "stands": {name: len(getattr(told, name)) for name in LISTS if getattr(told, name)},
        "members": sum(task.members for task in told.tasks),
        "members_done": sum(task.members_done for task in told.tasks),
        "read_at": told.read_at,
    }


def _staging(request: ConsoleRequest, account: Account) -> str:
    """The switch that keeps calls from people, by its name in the settings; empty: none is on."""
    switches = request.site.settings.staging.switches()
    on = switches if switches.told() else account.staging
    return on.told() if on.only is None else request.term("staging.only", count=len(on.only))


def _meanings(request: ConsoleRequest, told: Why) -> list[str]:
    """What the errcodes of its calls mean, in the viewer's language."""
    own = channel(told.job.channel)
    return [line for code in told.meanings for line in own.explain(code, request.viewer.lang) or ()]


def number_of(text: str | None) -> int:
    """The number that a path or a query names; 0 for what is none."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 8 else 0
