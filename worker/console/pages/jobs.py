"""The list of jobs with a search, the list of jobs in doubt, and the page that finds a job by any of its names."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from worker.channels.registry import channel_if_there
from worker.console.page import ConsoleRequest, Redirect, View
from worker.console.pages import redaction
from worker.console.viewer import may_read_names, may_read_texts
from worker.control.command import TargetKind
from worker.control.commands import COMMANDS
from worker.control.new_message import message_text, read_message
from worker.control.pause import SCOPE
from worker.domain.errors import CheckFailed, JobNotFound, Problem
from worker.domain.job import job_of
from worker.domain.job_filter import INSTANTS, JobFilter
from worker.domain.state import JobState, states_of
from worker.outbox.control.sent import message_rows
from worker.outbox.engine.clock import instant
from worker.outbox.upkeep.gauges import CalledState, called_parts
from worker.reporting.job_list import JobPage, ListedJob, find_jobs, with_contents
from worker.reporting.report import JobSummary
from worker.reporting.why import find_by_name

ON_A_PAGE = 50
OLDEST = "oldest"
"""The value of `order` for a list that begins with the oldest job. No other column has an index to sort by."""
SELECTED = tuple(
    name
    for target in (TargetKind.IDS, TargetKind.JOBS)
    for name, command in COMMANDS.items()
    if command.target is target and command.counted == "jobs"
)
"""The commands for the jobs that are ticked in a list."""
COMMON_FIELDS = ("account", "channel", "kind", "state", "tag", "recipient", "ids", *INSTANTS[:2])
"""Fields of the form that are always shown."""
MORE_FIELDS = ("msgid", "errcode", "dedupe_key", "order_key", "text_hash", "replay_of", *INSTANTS[2:4])
SHOWN_TEXT = 40
"""Characters of a text in the list of jobs."""
RECENT = (("15m", "quarter"), ("1h", "hour"), ("24h", "day"))
"""Quick choices for `created_from`: how long ago, and the key of its text."""
NAME_FIELDS, TEXT_FIELDS = ("tag", "recipient", "dedupe_key", "order_key"), ("text_hash",)
"""Fields by which only those who may read names, or texts, may search: guesses would reveal them."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a list, without what the viewer may not read."""

    job: ListedJob
    may_act: bool
    """Whether the viewer may act on the job. If not, it has no checkbox."""
    meaning: str
    """What its errcode means, in the viewer's language; empty if it has none."""


@dataclass(frozen=True, slots=True)
class JobSearch:
    """The fields of a search form, and the filter that they make."""

    typed: Mapping[str, str]
    job_filter: JobFilter | None
    state: str | None
    """A list may be narrowed by a state alone, which makes no filter."""
    problems: tuple[Problem, ...] = ()

    @property
    def may_pause(self) -> bool:
        """Whether a pause accepts all of these fields."""
        return bool(self.typed) and self.typed.keys() <= set(SCOPE)

    def command(self, name: str = "jobs") -> str:
        """Returns the command line of `name` with the same filter."""
        options = [word for name, value in self.typed.items() if name != "ids" for word in (_option(name), value)]
        return shlex.join(["worker", name, *options, *self.typed.get("ids", "").replace(",", " ").split()])


def as_typed(value: object) -> str:
    """Returns a stored argument of a command as it is typed into a form."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def page_of(fields: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Returns path and query of the page of a filter's jobs: the job, the mailing, the list of jobs, or the lanes."""
    ids = fields.get("ids", "").split()
    if len(ids) == 1:
        return f"/jobs/{job_of(ids[0])}", {}
    if "tag" in fields and fields.keys() <= {"tag", "account", "created_from"}:
        return "/mailings/tag", {name: fields[name] for name in ("tag", "account") if name in fields}
    return ("/jobs", dict(fields)) if fields else ("/lanes", {})


def search_of(request: ConsoleRequest, fields: Mapping[str, str]) -> JobSearch:
    """Parses the fields of a search form; the result has the problems if there are any."""
    typed = {name: text.strip() for name in (*COMMON_FIELDS, *MORE_FIELDS) if (text := fields.get(name, "")).strip()}
    filter_fields = dict(typed)
    state = filter_fields.pop("state", None)
    try:
        _require_readable(request, filter_fields)
        if state is not None:
            states_of("state", state)
        now = request.site.database.read_now() if any(name in INSTANTS for name in filter_fields) else 0
        parse_filter = partial(JobFilter.from_texts, now=instant(now), zone=request.site.settings.zone)
        job_filter = parse_filter(filter_fields)
        if job_filter is not None and state is not None:
            job_filter = parse_filter(typed)
    except CheckFailed as error:
        return JobSearch(typed, None, None, tuple(error.problems))
    return JobSearch(typed, job_filter, state)


def jobs(request: ConsoleRequest) -> View:
    """Shows the list of jobs, with the search form."""
    search, oldest_first = search_of(request, request.query), request.query.get("order") == OLDEST
    with_texts = request.query.get("texts") == "yes"
    page, rows, texts = JobPage((), None, False, False), list[JobRow](), dict[str, str]()
    sorting = {"order": OLDEST} if oldest_first else {}
    page_after = request.query.get("page_after") or None
    if not search.problems:
        try:
            with request.reading() as connection:
                page = find_jobs(
                    connection,
                    search.job_filter,
                    state=search.state,
                    page_after=page_after,
                    oldest_first=oldest_first,
                    limit=ON_A_PAGE,
                )
                rows = _rows(request, connection, page)
            if with_texts:
                texts = job_texts(request, page.jobs, SHOWN_TEXT)
        except CheckFailed as error:
            search = JobSearch(search.typed, None, None, tuple(error.problems))
    return View.of(
        "jobs.html",
        request.term("jobs.title"),
        search=search,
        common_fields=COMMON_FIELDS,
        more_fields=MORE_FIELDS,
        times=INSTANTS,
        recent=RECENT,
        states=[state.label for state in JobState],
        accounts=request.site.accounts.names(),
        results=page,
        rows=rows,
        sorting=sorting,
        selected=SELECTED if any(row.may_act for row in rows) else (),
        may_act=request.may_act(search.typed.get("account")),
        with_texts="yes" if with_texts else None,
        texts=texts,
        texts_query={**search.typed, **sorting, "page_after": page_after, "texts": "yes"},
        reads_texts=any(may_read_texts(request.viewer, row.job.account) for row in rows),
        reads_names=may_read_names(request.viewer, search.typed.get("account")),
    )


def job_texts(request: ConsoleRequest, jobs: Iterable[JobSummary], most: int) -> dict[str, str]:
    """Returns job -> the first `most` characters of its text, for jobs whose texts the viewer may read.

    The audit gets an entry with the ids of the jobs for each account.
    """
    by_account, texts = dict[str, list[str]](), dict[str, str]()
    for job in jobs:
        by_account.setdefault(job.account, []).append(job.id)
    for account, ids in by_account.items():
        texts |= request.text(account, ids, partial(_texts, request, ids, most)) or {}
    return texts


def _texts(request: ConsoleRequest, ids: list[str], most: int) -> dict[str, str]:
    with request.reading() as connection:
        texts = {row["id"]: message_text(read_message(row["message"])) for row in message_rows(connection, ids)}
    return {id: text if len(text) <= most else f"{text[: most - 1]}…" for id, text in texts.items()}


def _rows(request: ConsoleRequest, connection: Connection, page: JobPage) -> list[JobRow]:
    """Returns the jobs of a page, without what the viewer may not read."""
    return [
        JobRow(redaction.redact(request.viewer, job.account, job), request.may_act(job.account), meaning(request, job))
        for job in with_contents(connection, page.jobs)
    ]


def meaning(request: ConsoleRequest, job: ListedJob) -> str:
    """Returns a job's errcode with its meaning in the viewer's language, or an empty text if there is none."""
    if job.errcode is None or (vendor := channel_if_there(job.channel)) is None:
        return ""
    return next(iter(vendor.explain(job.errcode, request.viewer.lang) or ()), "")


def doubts(request: ConsoleRequest) -> View:
    """Shows the jobs in doubt that wait for a person, and those that settle by themselves.

    Of all accounts, or of the one in the query.
    """
    account, query = request.query.get("account", "").strip(), request.query
    job_filter = JobFilter(account=account) if account else None
    list_jobs = partial(find_jobs, filter=job_filter, limit=ON_A_PAGE)
    with request.reading() as connection:
        held = list_jobs(connection, held=True, page_after=query.get("page_after") or None)
        settling = list_jobs(connection, held=False, page_after=query.get("settling_page_after") or None)
        held_rows, settling_rows = (_rows(request, connection, page) for page in (held, settling))
        called = called_parts(connection)
    parts = Counter[CalledState]()
    for (name, state), count in called.items():
        parts[state] += count if account in ("", name) else 0
    return View.of(
        "doubts.html",
        request.term("doubts.title"),
        rows=held_rows,
        results=held,
        parts=parts[CalledState.HELD],
        settling_rows=settling_rows,
        settling_page_after=settling.page_after,
        settling_parts=parts[CalledState.SETTLING],
        account=account,
        accounts=request.site.accounts.names(),
        may_act=request.may_act(account or None),
    )


def find(request: ConsoleRequest) -> View | Redirect:
    """Redirects to a job by its id, the beginning of its id, a part's id, a dedupe key, a task_id or a msgid.

    The producer chose the dedupe key and the task_id. A viewer who may not read names finds no job by these.
    """
    name = request.query.get("name", "").strip()
    if not name:
        return Redirect("/jobs")
    readable = [account for account in request.site.accounts.names() if may_read_names(request.viewer, account)]
    try:
        with request.reading() as connection:
            return Redirect(f"/jobs/{find_by_name(connection, name, readable)}")
    except (JobNotFound, UnicodeEncodeError):
        return View.of("nothing_found.html", request.term("jobs.find"), name=name)


def _require_readable(request: ConsoleRequest, fields: Mapping[str, str]) -> None:
    """Raises CheckFailed if viewers search by a field that they may not read."""
    account = fields.get("account")
    withheld = [] if may_read_texts(request.viewer, account) else [*TEXT_FIELDS]
    withheld += [] if may_read_names(request.viewer, account) else NAME_FIELDS
    text, remedy = "may be searched only by people who may see it", "leave it out, or name one of your accounts"
    if problems := [Problem(name, text, remedy) for name in withheld if name in fields]:
        raise CheckFailed(problems)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
