"""Jobs by the filter of the command line, newest or oldest first; those in doubt; the way from any name to a job."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.console.commands.orders import SCOPE, CommandName
from worker.console.page import ConsoleRequest, Redirect, View
from worker.console.pages import seen
from worker.console.viewer import may_read_texts
from worker.domain.errors import CheckFailed, JobNotFound, Problem
from worker.domain.job_filter import INSTANTS, JobFilter
from worker.domain.state import JobState, states_of
from worker.outbox.control.unknowns import count_unknown
from worker.outbox.engine.clock import instant
from worker.outbox.upkeep.gauges import MOST
from worker.reporting.job_list import JobPage, ListedJob, find_jobs, with_contents
from worker.reporting.why import find_by_name

ON_A_PAGE = 50
OLDEST = "oldest"
"""The `order` of a list that begins with the oldest job; no other column has an index in its order."""
SELECTED: tuple[CommandName, ...] = ("hold", "release", "cancel", "recall", "replay", "reschedule", "correct")
"""The commands for the jobs that are ticked in a list."""
USUAL = ("account", "channel", "kind", "state", "tag", "recipient", "ids", *INSTANTS[:2])
"""Fields of the form that are always shown."""
RARE = ("msgid", "errcode", "dedupe_key", "order_key", "text_hash", "replay_of", *INSTANTS[2:4])
LASTS = (("15m", "quarter"), ("1h", "hour"), ("24h", "day"))
"""Quick choices of `created_from`: so long ago, and its word."""
OF_TEXTS = ("tag", "recipient", "dedupe_key", "order_key", "text_hash")
"""Fields by which a guess of a text or a name could be tried out."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job of a list as the viewer may see it."""

    job: ListedJob
    may_act: bool
    """Whether the viewer may act on it, so that it can be ticked."""
    meaning: str
    """What its errcode means, in the viewer's language; empty where there is none."""


@dataclass(frozen=True, slots=True)
class JobSearch:
    """What was typed, and what it means."""

    typed: Mapping[str, str]
    wanted: JobFilter | None
    state: str | None
    """A state alone is no filter, but a list may be of it."""
    problems: tuple[Problem, ...] = ()

    @property
    def may_pause(self) -> bool:
        """Whether a pause takes what was searched by."""
        return bool(self.typed) and self.typed.keys() <= set(SCOPE)

    @property
    def command(self) -> str:
        """What lists the same on the command line."""
        options = [word for name, value in self.typed.items() if name != "ids" for word in (_option(name), value)]
        return shlex.join(["worker", "jobs", *options, *self.typed.get("ids", "").replace(",", " ").split()])


def search_of(request: ConsoleRequest, fields: Mapping[str, str]) -> JobSearch:
    """The filter that the fields of a form name."""
    typed = {name: text.strip() for name in (*USUAL, *RARE) if (text := fields.get(name, "")).strip()}
    given = dict(typed)
    state = given.pop("state", None)
    try:
        _require_readable(request, given)
        if state is not None:
            states_of("state", state)
        now = request.site.database.read_now() if any(name in INSTANTS for name in given) else 0
        read = partial(JobFilter.from_texts, now=instant(now), zone=request.site.settings.zone)
        wanted = read(given)
        if wanted is not None and state is not None:
            wanted = read(typed)
    except CheckFailed as error:
        return JobSearch(typed, None, None, tuple(error.problems))
    except UnicodeEncodeError:
        return JobSearch(typed, None, None, (Problem("filter", "is not a text that can be stored", "type it again"),))
    return JobSearch(typed, wanted, state)


def jobs(request: ConsoleRequest) -> View:
    """The list, with its search."""
    search, oldest_first = search_of(request, request.query), request.query.get("order") == OLDEST
    found, rows = JobPage((), None, False, False), list[JobRow]()
    place = "after" if oldest_first else "before"
    given: dict[str, Any] = {"oldest_first": oldest_first, place: request.query.get(place) or None}
    if not search.problems:
        try:
            with request.reading() as connection:
                found = find_jobs(connection, search.wanted, state=search.state, limit=ON_A_PAGE, **given)
                rows = _rows(request, connection, found)
        except CheckFailed as error:
            search = JobSearch(search.typed, None, None, tuple(error.problems))
    return View.of(
        "jobs.html",
        request.term("jobs.title"),
        search=search,
        usual=USUAL,
        rare=RARE,
        times=INSTANTS,
        lasts=LASTS,
        states=[state.label for state in JobState],
        accounts=request.site.accounts.names(),
        found=found,
        rows=rows,
        sorting={"order": OLDEST} if oldest_first else {},
        selected=SELECTED if any(row.may_act for row in rows) else (),
        may_act=request.may_act(search.typed.get("account")),
    )


def _rows(request: ConsoleRequest, connection: Connection, page: JobPage) -> list[JobRow]:
    """The jobs of a page, as the viewer may see them."""
    return [
        JobRow(seen.shown(request.viewer, job.account, job), request.may_act(job.account), _meaning(request, job))
        for job in with_contents(connection, page.jobs)
    ]


def _meaning(request: ConsoleRequest, job: ListedJob) -> str:
    told = None if job.errcode is None else channel(job.channel).explain(job.errcode, request.viewer.lang)
    return next(iter(told or ()), "")


def doubts(request: ConsoleRequest) -> View:
    """The page; of one account, where the query names it."""
    account, before = request.query.get("account", "").strip(), request.query.get("before") or None
    wanted = JobFilter(account=account) if account else None
    with request.reading() as connection:
        found = find_jobs(connection, wanted, state="unknown", before=before, limit=ON_A_PAGE)
        rows = _rows(request, connection, found)
        parts = count_unknown(connection, MOST)
    return View.of(
        "doubts.html",
        request.term("doubts.title"),
        rows=rows,
        found=found,
        parts=parts,
        account=account,
        accounts=request.site.accounts.names(),
        may_act=request.may_act(account or None),
    )


def find(request: ConsoleRequest) -> View | Redirect:
    """Goes to the job that is meant by an id, the beginning of one, a part, a dedupe key, a task_id or a msgid.

    A dedupe key or a task_id is a word of the producer's: where the viewer may not read it, a guess finds nothing.
    """
    name = request.query.get("name", "").strip()
    if not name:
        return Redirect("/jobs")
    readable = [account for account in request.site.accounts.names() if may_read_texts(request.viewer, account)]
    try:
        with request.reading() as connection:
            return Redirect(f"/jobs/{find_by_name(connection, name, readable)}")
    except (JobNotFound, UnicodeEncodeError):
        return View.of("nothing_found.html", request.term("jobs.find"), name=name)


def _require_readable(request: ConsoleRequest, given: Mapping[str, str]) -> None:
    """CheckFailed where a viewer searches by what they may not read."""
    if not may_read_texts(request.viewer, given.get("account")):
        problems = [
            Problem(
                name, "may be searched only by people who may read texts", "leave it out, or name one of your accounts"
            )
            for name in OF_TEXTS
            if name in given
        ]
        if problems:
            raise CheckFailed(problems)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
