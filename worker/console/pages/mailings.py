"""Mailings: the tags of the newest jobs; and of one tag how much of it is where, and what can be done about it all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from worker.console.page import ConsoleRequest, Redirect, View
from worker.console.pages import seen
from worker.console.pages.jobs import search_of
from worker.console.pages.memory import memory_of, read
from worker.console.viewer import may_read_texts
from worker.domain.job_terms import REQUEST_ID
from worker.domain.mailing import MailingStage
from worker.outbox.control.mailings import TaggedJobs, recently_tagged
from worker.reporting.mailing import MAX_JOBS, MailingReport, mailing

NEWEST = 100_000
"""Jobs whose tags are listed, the newest."""
DIFFERENT = 2_000
"""Different lists of tags that are read of them."""
ON_A_PAGE = 100
WIDTH, HEIGHT = 1000, 24
"""Of the bar, which fills its place."""
TONES: Mapping[MailingStage, str] = {
    MailingStage.WAITING: "calm",
    MailingStage.IN_FLIGHT: "busy",
    MailingStage.SENT: "good",
    MailingStage.REFUSED: "bad",
    MailingStage.IN_DOUBT: "doubt",
    MailingStage.RECALLED: "gone",
    MailingStage.CORRECTED: "mixed",
    MailingStage.NOT_SENT: "gone",
}
LISTED: Mapping[MailingStage, str] = {
    MailingStage.WAITING: "open",
    MailingStage.REFUSED: "rejected",
    MailingStage.IN_DOUBT: "unknown",
}
"""The state of jobs that a stage leads to in their list."""


@dataclass(slots=True)
class TagRow:
    """A tag in the list."""

    tag: str
    account: str | None
    """The account whose jobs are meant; None: of all."""
    jobs: int
    """Of the newest jobs, how many have it."""
    last_at: int
    """When the newest of them was enqueued."""


def mailings(request: ConsoleRequest) -> View:
    """The list of tags; of jobs whose texts the viewer may read."""
    site, memory = request.site, memory_of(request.site.database)
    gather = partial(recently_tagged, jobs=NEWEST, most=DIFFERENT)
    kept = memory.tags.latest(lambda: read(site, lambda connection, now: gather(connection)))
    return View.of(
        "mailings.html",
        request.term("mailings.title"),
        reading=kept,
        newest=NEWEST,
        rows=[] if kept is None else _rows(request, kept.value)[:ON_A_PAGE],
        may_read=request.viewer.role != "reader",
    )


def _rows(request: ConsoleRequest, tagged: list[TaggedJobs]) -> list[TagRow]:
    """The tags, those of the newest jobs first; each once, or for each account where the viewer may not read all."""
    reads_all, found = may_read_texts(request.viewer, None), dict[tuple[str, str | None], TagRow]()
    for one in tagged:
        if not may_read_texts(request.viewer, one.account):
            continue
        account = None if reads_all else one.account
        for tag in one.tags:
            if not tag.startswith(REQUEST_ID):
                row = found.setdefault((tag, account), TagRow(tag, account, 0, one.last_at))
                row.jobs += one.jobs
    return list(found.values())


def one_mailing(request: ConsoleRequest) -> View | Redirect:
    """The page of a tag, of one account where the query names it."""
    fields = {name: text for name in ("tag", "account") if (text := request.query.get(name, "").strip())}
    if "tag" not in fields:
        return Redirect("/mailings")
    search, site = search_of(request, fields), request.site
    if search.wanted is None:
        return View.of("problems.html", request.term("order.refused"), problems=search.problems)
    wanted, account = search.wanted, fields.get("account")
    readings = memory_of(site.database).mailings.of((wanted.tag, account))
    kept = readings.latest(lambda: read(site, lambda connection, now: mailing(connection, wanted)))
    report = None if kept is None else kept.value
    first = None if report is None or report.first_at is None else report.first_at.astimezone(site.settings.zone)
    return View.of(
        "mailing.html",
        request.term("mailings.one", tag=wanted.tag),
        reading=kept,
        report=report,
        bar=[] if report is None else bar_of(report),
        tones=TONES,
        listed=LISTED,
        fields=fields,
        since=fields if first is None else {**fields, "created_from": first.isoformat(timespec="seconds")},
        pauses=[] if report is None else [seen.pause(request.viewer, one) for one in report.pauses],
        most=MAX_JOBS,
        width=WIDTH,
        height=HEIGHT,
        may_act=request.may_act,
        account=account,
    )


def bar_of(report: MailingReport) -> list[tuple[MailingStage, float, float]]:
    """The stages that have anything, each with its place and its length in the bar.

    By recipients, or by parts where messages name none, as those of a robot.
    """
    name = "recipients" if report.total.recipients else "parts"
    total, at, found = getattr(report.total, name), 0.0, list[tuple[MailingStage, float, float]]()
    for stage, count in report.stages.items():
        if length := WIDTH * getattr(count, name) / max(1, total):
            found.append((stage, at, length))
            at += length
    return found
