"""Jobs by the filter of the command line, newest first; those in doubt; and the way from any name of a job to it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from worker.console.page import Ask, Moved, View
from worker.console.pages import seen
from worker.console.viewer import may_read_texts
from worker.domain.errors import CheckFailed, JobNotFound, Problem
from worker.domain.job_filter import INSTANTS, JobFilter
from worker.domain.state import JobState, states_of
from worker.outbox.control.unknowns import count_unknown
from worker.outbox.engine.clock import instant
from worker.outbox.upkeep.gauges import MOST
from worker.reporting.job_list import JobPage, find_jobs
from worker.reporting.why import find_named

ON_A_PAGE = 50
USUAL = ("account", "channel", "kind", "state", "tag", "recipient", "ids", *INSTANTS[:2])
"""Fields of the form that are always shown."""
RARE = ("msgid", "errcode", "dedupe_key", "order_key", "text_hash", "replay_of", *INSTANTS[2:4])
LASTS = (("15m", "quarter"), ("1h", "hour"), ("24h", "day"))
"""Quick choices of `created_from`: so long ago, and its word."""
OF_TEXTS = ("tag", "recipient", "dedupe_key", "order_key", "text_hash")
"""Fields by which a guess of a text or a name could be tried out."""


@dataclass(frozen=True, slots=True)
class JobSearch:
    """What was typed, and what it means."""

    typed: Mapping[str, str]
    wanted: JobFilter | None
    state: str | None
    """A state alone is no filter, but a list may be of it."""
    problems: tuple[Problem, ...] = ()

    @property
    def command(self) -> str:
        """What lists the same on the command line."""
        options = [word for name, value in self.typed.items() if name != "ids" for word in (_option(name), value)]
        return shlex.join(["worker", "jobs", *options, *self.typed.get("ids", "").replace(",", " ").split()])


def search_of(ask: Ask, fields: Mapping[str, str]) -> JobSearch:
    """The filter that the fields of a form name."""
    typed = {name: text.strip() for name in (*USUAL, *RARE) if (text := fields.get(name, "")).strip()}
    given = dict(typed)
    state = given.pop("state", None)
    try:
        _require_readable(ask, given)
        if state is not None:
            states_of("state", state)
        now = ask.site.database.read_now() if any(name in INSTANTS for name in given) else 0
        read = partial(JobFilter.from_texts, now=instant(now), zone=ask.site.settings.zone)
        wanted = read(given)
        if wanted is not None and state is not None:
            wanted = read(typed)
    except CheckFailed as error:
        return JobSearch(typed, None, None, tuple(error.problems))
    except UnicodeEncodeError:
        return JobSearch(typed, None, None, (Problem("filter", "is no text that can be stored", "type it again"),))
    return JobSearch(typed, wanted, state)


def jobs(ask: Ask) -> View:
    """The list, with its search."""
    search = search_of(ask, ask.query)
    found = JobPage((), None, False, False)
    if not search.problems:
        try:
            with ask.reading() as connection:
                before = ask.query.get("before") or None
                found = find_jobs(
                    connection,
                    search.wanted,
                    state=search.state,
                    before=before,
                    limit=ON_A_PAGE,
                )
        except CheckFailed as error:
            search = JobSearch(search.typed, None, None, tuple(error.problems))
    return View.of(
        "jobs.html",
        ask.say("jobs.title"),
        search=search,
        usual=USUAL,
        rare=RARE,
        times=INSTANTS,
        lasts=LASTS,
        states=[state.label for state in JobState],
        accounts=ask.site.accounts.names(),
        found=found,
        jobs=[seen.shown(ask.viewer, job.account, job) for job in found.jobs],
        may_act=ask.may_act(search.typed.get("account")),
    )


def doubts(ask: Ask) -> View:
    """The page; of one account, where the query names it."""
    account, before = ask.query.get("account", "").strip(), ask.query.get("before") or None
    wanted = JobFilter(account=account) if account else None
    with ask.reading() as connection:
        found = find_jobs(connection, wanted, state="unknown", before=before, limit=ON_A_PAGE)
        parts = count_unknown(connection, MOST)
    return View.of(
        "doubts.html",
        ask.say("doubts.title"),
        jobs=[(seen.shown(ask.viewer, job.account, job), ask.may_act(job.account)) for job in found.jobs],
        found=found,
        parts=parts,
        account=account,
        accounts=ask.site.accounts.names(),
        may_act=ask.may_act(account or None),
    )


def find(ask: Ask) -> View | Moved:
    """Goes to the job that is meant by an id, the beginning of one, a part, a dedupe key, a task_id or a msgid.

    A dedupe key or a task_id is a word of the producer's: where the viewer may not read it, a guess finds nothing.
    """
    name = ask.query.get("name", "").strip()
    if not name:
        return Moved("/jobs")
    readable = [account for account in ask.site.accounts.names() if may_read_texts(ask.viewer, account)]
    try:
        with ask.reading() as connection:
            return Moved(f"/jobs/{find_named(connection, name, readable)}")
    except (JobNotFound, UnicodeEncodeError):
        return View.of("nothing_found.html", ask.say("jobs.find"), name=name)


def _require_readable(ask: Ask, given: Mapping[str, str]) -> None:
    """CheckFailed where a viewer searches by what they may not read."""
    if not may_read_texts(ask.viewer, given.get("account")):
        problems = [
            Problem(name, "is searched by those alone who may read texts", "leave it out, or name one of your accounts")
            for name in OF_TEXTS
            if name in given
        ]
        if problems:
            raise CheckFailed(problems)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
