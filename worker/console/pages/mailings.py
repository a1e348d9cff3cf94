"""Mailings: the tags of the newest jobs; and for one tag the progress of its jobs and the commands for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from worker.console.page import ConsoleRequest, Redirect, View
from worker.console.pages import redaction
from worker.console.pages.cache import cache_of, read
from worker.console.pages.jobs import search_of
from worker.console.rendering import TONES as TONES_OF_STATES
from worker.console.running.preparing import OFFERED
from worker.console.viewer import may_read_names, may_read_texts
from worker.domain.job_terms import REQUEST_ID
from worker.domain.mailing import MailingStage
from worker.domain.state import JobState
from worker.outbox.control.mailings import TaggedJobs, recently_tagged
from worker.outbox.lanes.pauses import active_pauses
from worker.reporting.mailing import MAX_JOBS, MailingReport, mailing

T = TypeVar("T")

MAX_TAGGED_JOBS = 100_000
"""The newest jobs, whose tags are listed."""
MAX_TAG_LISTS = 2_000
"""Largest number of different tag lists that are read from these jobs."""
ON_A_PAGE = 100
WIDTH, HEIGHT = 1000, 24
"""The size of the bar's coordinates; the browser stretches it."""
TONES: Mapping[MailingStage, str] = {
    MailingStage.WAITING: "calm",
    MailingStage.IN_FLIGHT: "busy",
    MailingStage.SENT: "good",
    MailingStage.REFUSED: "bad",
    MailingStage.UNKNOWN: "doubt",
    MailingStage.RECALLED: "gone",
    MailingStage.CORRECTED: "mixed",
    MailingStage.NEVER_SENT: "gone",
}
LISTED: Mapping[MailingStage, tuple[str, ...]] = {
    MailingStage.WAITING: ("open",),
    MailingStage.REFUSED: ("rejected", "exhausted"),
    MailingStage.UNKNOWN: ("unknown",),
}
"""The `state` in the links from a stage to the lists of its jobs."""


@dataclass(slots=True)
class TagRow:
    """A tag in the list."""

    tag: str
    account: str | None
    """The account of these jobs; None for jobs of all accounts."""
    jobs: int
    """How many of the newest jobs have the tag."""
    last_at: int
    """When the newest of them was enqueued."""
    states: Counter[str] = field(default_factory=Counter)
    """How many of them are in each state."""

    @property
    def bar(self) -> list[tuple[str, float, float]]:
        """The states that any of them has, each with its place and its length in the bar."""
        return segments(self.states)


def mailings(request: ConsoleRequest) -> View:
    """Shows the list of tags, without those of jobs whose names the viewer may not read."""
    site, cache = request.site, cache_of(request.site.database)
    gather = partial(recently_tagged, jobs=MAX_TAGGED_JOBS, most=MAX_TAG_LISTS)
    reading = cache.tags.latest(lambda: read(site, lambda connection, now: gather(connection)))
    return View.of(
        "mailings.html",
        request.term("mailings.title"),
        reading=reading,
        newest=MAX_TAGGED_JOBS,
        tones=TONES_OF_STATES,
        width=WIDTH,
        height=HEIGHT,
        rows=[] if reading is None else _rows(request, reading.value)[:ON_A_PAGE],
        may_read=any(may_read_names(request.viewer, account) for account in (None, *site.accounts.names())),
    )


def _rows(request: ConsoleRequest, tagged: list[TaggedJobs]) -> list[TagRow]:
    """Returns the tags, those of the newest jobs first. A viewer of single accounts gets a row for each account."""
    reads_all, rows = may_read_names(request.viewer, None), dict[tuple[str, str | None], TagRow]()
    for tagged_jobs in tagged:
        if not may_read_names(request.viewer, tagged_jobs.account):
            continue
        account = None if reads_all else tagged_jobs.account
        for tag in tagged_jobs.tags:
            if not tag.startswith(REQUEST_ID):
                row = rows.setdefault((tag, account), TagRow(tag, account, 0, tagged_jobs.last_at))
                row.jobs += tagged_jobs.jobs
                labels = (state.label for state in JobState)
                row.states.update(dict(zip(labels, tagged_jobs.states, strict=True)))
    return list(rows.values())


def tag_mailing(request: ConsoleRequest) -> View | Redirect:
    """Shows the progress of one tag's jobs, of all accounts or of the one in the query."""
    fields = {name: text for name in ("tag", "account") if (text := request.query.get(name, "").strip())}
    if "tag" not in fields:
        return Redirect("/mailings")
    search, site = search_of(request, fields), request.site
    if search.job_filter is None:
        return View.of("problems.html", request.term("preview.refused"), problems=search.problems)
    job_filter, account = search.job_filter, fields.get("account")
    readings = cache_of(site.database).mailings.get((job_filter.tag, account))
    reading = readings.latest(lambda: read(site, lambda connection, now: mailing(connection, job_filter)))
    report = None if reading is None else reading.value
    with request.reading() as connection:
        of_tag = (pause for pause in active_pauses(connection, ()) if pause.tag == job_filter.tag)
        pauses = [pause for pause in of_tag if account is None or pause.account in (None, account)]
    first = None if report is None or report.first_at is None else report.first_at.astimezone(site.settings.zone)
    since = fields if first is None else {**fields, "created_from": first.isoformat(timespec="seconds")}
    return View.of(
        "mailing.html",
        request.term("mailings.one", tag=job_filter.tag),
        reading=reading,
        report=report,
        bar=[] if report is None else bar_of(report),
        tones=TONES,
        listed=LISTED,
        fields=fields,
        acts=[
            (name, since if OFFERED[name].is_about_ended else fields, stages, _jobs_in(report, stages))
            for name, stages in _ACTS.items()
        ],
        pauses=[redaction.redact_pause(request.viewer, pause) for pause in pauses],
        is_paused=any(pause.scope() == fields for pause in pauses),
        max_jobs=MAX_JOBS,
        width=WIDTH,
        height=HEIGHT,
        may_act=request.may_act,
        account=account,
        reads_texts=may_read_texts(request.viewer, account),
    )


_ACTS = {
    "cancel": (MailingStage.WAITING,),
    "recall": (MailingStage.SENT,),
    "correct": (MailingStage.WAITING, MailingStage.IN_FLIGHT, MailingStage.SENT),
    "reschedule": (MailingStage.WAITING,),
    "replay": (MailingStage.REFUSED,),
}
"""What is offered with all of a mailing, and the stages of the jobs that it changes."""


def _jobs_in(report: MailingReport | None, stages: Iterable[MailingStage]) -> int:
    return 0 if report is None else sum(report.stages[stage].jobs for stage in stages)


def bar_of(report: MailingReport) -> list[tuple[MailingStage, float, float]]:
    """Returns the stages that are not empty, each with its place and its length in the bar.

    The length is the share of recipients, or of parts if the messages name no recipients, as those of a robot.
    """
    name = "recipients" if report.total.recipients else "parts"
    return segments({stage: getattr(count, name) for stage, count in report.stages.items()})


def segments(counts: Mapping[T, int]) -> list[tuple[T, float, float]]:
    """Returns those that are not 0, each with its place and its length in a bar."""
    total, at, found = sum(counts.values()), 0.0, list[tuple[T, float, float]]()
    for one, count in counts.items():
        if count:
            length = WIDTH * count / total
            found.append((one, at, length))
            at += length
    return found
