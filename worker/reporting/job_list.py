"""Lists jobs, all of them or those of a filter, newest or oldest first, page by page. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import Connection

from worker.domain import job_terms
from worker.domain.content.recipient import EVERYONE, LISTS
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import JobId, JobKind, id_of
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.state import JobState, State, states_of
from worker.domain.stored import texts_of
from worker.language import Lang, term
from worker.outbox.control.listing import JobExcerpt, job_counts, job_excerpts, job_page, newest_errcodes
from worker.outbox.control.unknowns import jobs_in_doubt
from worker.outbox.control.withdrawals import recalled_jobs
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import now_in
from worker.outbox.engine.sql import read_now
from worker.reporting.find_job import row_of
from worker.reporting.report import SUMMARY_COLUMNS, JobSummary, summary_of

MAX_IN_DOUBT = 100_000
"""Most parts in doubt of either sort, held or not, that are read for a list."""


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs in the order in which they were enqueued."""

    jobs: tuple[JobSummary, ...]
    """The jobs of this page, newest first unless another order was asked for."""
    page_after: str | None
    """What to give as `page_after` for the next page, or None if there is none."""
    is_cut_short: bool
    """True if the page ended because it read as many jobs as it may: no field of the filter finds its jobs quickly."""
    leaves_fresh_out: bool
    """True if more than 100,000 parts are open, or more than 50,000 jobs wait to be indexed, and not all were read."""


@on_callers_connection
def find_jobs(
    connection: Connection,
    filter: JobFilter | None = None,
    *,
    state: State | Iterable[State] | None = None,
    page_after: JobId | None = None,
    oldest_first: bool = False,
    limit: int = 50,
    held: bool | None = None,
) -> JobPage:
    """Lists the jobs of a filter, or all jobs without one, newest first or oldest first.

    `page_after` is the id of a job: only jobs that come after it in this order are listed.

    `held=True` lists only jobs of which a part is in doubt and waits for a person, and `held=False` only jobs in doubt
    of which every part settles by itself, by a repeat or a look-up; of each sort 100,000 parts are read at most.

    Each field is answered from an index, however many jobs there are, except for values that most jobs share and that
    only exclude rows: `channel`, `kind="send"`, the state `accepted`. A page reads at most 50,000 candidates of the
    index. Raises CheckFailed where the filter is about parts or calls.
    """
    if filter is not None:
        require_filter(filter)
        filter.require_jobs_of_a_list()
        state = filter.state if state is None else state
    if limit < 1:
        raise CheckFailed([Problem("limit", "is not a valid value", "give 1 or more", 1, "jobs", limit)])
    states = None if state is None else states_of("state", state)
    cursor = None if page_after is None else id_of(page_after)
    order: dict[str, Any] = {"cursor": cursor, "newest_first": not oldest_first}
    needs_now = filter is not None and filter.ended_from is not None
    now = read_now(connection, now_in(connection)) if needs_now else 0
    among = None if held is None else jobs_in_doubt(connection, MAX_IN_DOUBT, held=held)
    page = job_page(connection, filter, states, SUMMARY_COLUMNS, limit=limit, now=now, among=among, **order)
    recalled = recalled_jobs(connection, [row["id"] for row in page.rows])
    jobs = tuple(JobSummary(**summary_of(row, recalled)) for row in page.rows)
    return JobPage(jobs, page.cursor, page.is_cut_short, page.leaves_fresh_out)


@dataclass(frozen=True, slots=True)
class ListedJob(JobSummary):
    """A job in a list for people."""

    type: str | None
    """The type of its message, such as `text`, or None if it has none or it may not be read."""
    recipient: str | None = field(repr=False)
    """Its first recipient as the filter takes it, or None if it names none or it may not be read."""
    errcode: int | None
    """The errcode that matters: that of the newest answered call of a part that is not accepted, or None if none was
    refused."""

    @property
    def others(self) -> int:
        """How many recipients it has besides the first."""
        return max(0, self.asked - 1)

    def localized(self, lang: Lang | None = None) -> str:
        """Returns what the job is in a reader's language: the type of its message, or its kind."""
        return content_text(self.kind, self.type, lang)


def with_contents(connection: Connection, jobs: Sequence[JobSummary], *, texts: bool = True) -> list[ListedJob]:
    """Returns the jobs of a page with message type, recipient and errcode, in three statements however many jobs.

    `texts` is False where recipients and messages may not be read.
    """
    if not jobs:
        return []
    heads = job_excerpts(connection, [job.id for job in jobs], texts=texts)
    refused = [job.id for job in jobs if job.state is not JobState.ACCEPTED and job.id in heads]
    errcodes = newest_errcodes(connection, {job: heads[job].parts for job in refused})
    nothing = JobExcerpt(0, "", "")
    return [
        ListedJob(
            **{one.name: getattr(job, one.name) for one in fields(JobSummary)},
            type=_type_of(heads.get(job.id, nothing).message),
            recipient=_first_of(heads.get(job.id, nothing).recipients),
            errcode=errcodes.get(job.id),
        )
        for job in jobs
    ]


_TEXT = r'"(?:[^"\\]|\\.)*"'
_TYPE = re.compile(r'\{\s*"type"\s*:\s*"([A-Za-z0-9_]{1,40})"')
_FIRST = re.compile(rf'\{{\s*"([a-z_]+)"\s*:\s*(?:(true)|\[\s*({_TEXT}))')
_KINDS = {name: kind for kind, name in LISTS.items()}


def _type_of(message: str) -> str | None:
    """Returns the type from the beginning of a message's document, where it stands first."""
    match = _TYPE.match(message)
    return None if match is None else match[1]


def _first_of(recipients: str) -> str | None:
    """Returns the first recipient from the beginning of the document, as the filter's `recipient` takes it."""
    match = _FIRST.match(recipients)
    if match is None:
        return None
    if match[2]:
        return EVERYONE if match[1] == "everyone" else None
    if (kind := _KINDS.get(match[1])) is None:
        return None
    recipient = next(iter(texts_of(f"[{match[3]}]")), None)
    if recipient is None:
        return None
    return f"{kind}:{recipient}" if kind in ("party", "tag") else recipient


def content_text(kind: str, type: str | None, lang: Lang | None = None) -> str:
    """Returns a job's kind and the type of its message in a reader's language."""
    words = [term("kind", kind, lang).replace("_", " ")] if kind != JobKind.SEND or type is None else []
    if kind in (JobKind.SEND, JobKind.SEND_CHAT) and type is not None:
        words.append(term("msgtype", type, lang).replace("_", " "))
    return " · ".join(words)


@dataclass(frozen=True, slots=True)
class JobCount:
    """The number of jobs of one account, kind and state."""

    account: str
    """The account's name in the settings."""
    kind: str
    """`send`, `recall`, `update_card`, ..., see `Kind`."""
    state: JobState
    """The state of these jobs."""
    jobs: int
    """How many jobs."""
    asked: int
    """How many recipients these jobs name."""


COUNT_FILTERS = frozenset({"account", "channel", "kind", "state", "created_from", "created_before"})


@on_callers_connection
def count_jobs(connection: Connection, filter: JobFilter) -> list[JobCount]:
    """Counts jobs by account, kind and state. It reads all jobs of a span of time, so the span has to be given.

    Raises CheckFailed without `created_from`, and for other fields than account, channel, kind, state and `created_*`.
    """
    require_filter(filter)
    problems = [
        Problem(name, "is not counted by", f"use {', '.join(sorted(COUNT_FILTERS))}")
        for name in filter.conditions().keys() - COUNT_FILTERS
    ]
    if filter.created_from is None:
        problems.append(Problem("created_from", "is missing", "give the time from which on the jobs were enqueued"))
    if problems:
        raise CheckFailed(problems)
    return [
        JobCount(account, kind, JobState(state), jobs, asked)
        for account, kind, state, jobs, asked in job_counts(connection, filter)
    ]


@on_callers_connection
def text_hash(connection: Connection, job_id: JobId) -> str:
    """Returns the hash of a job's message, by which `JobFilter(text_hash=...)` finds all jobs with the same message."""
    return job_terms.text_hash(row_of(connection, job_id)["message"])
