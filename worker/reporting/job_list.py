"""Lists of jobs: the newest, or those of a filter, page by page. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.domain import job_terms
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import JobId, id_of
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState, State, states_of
from worker.outbox.control.listing import job_counts, job_page
from worker.outbox.control.withdrawals import recalled_jobs
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import now_in
from worker.outbox.engine.sql import read_now
from worker.reporting.find_job import row_of
from worker.reporting.report import SUMMARY, JobSummary, summary_of


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, newest first."""

    jobs: tuple[JobSummary, ...]
    """The jobs of this page, newest first."""
    before: str | None
    """What to give as `before` for the next page; None: there is none."""
    is_cut_short: bool
    """The page ends because it looked at as many jobs as it may: no field of the filter finds its jobs quickly."""
    leaves_fresh_out: bool
    """More than 100,000 parts are open, or more than 50,000 jobs wait to be indexed, and not all were looked at."""


@on_callers_connection
def find_jobs(
    connection: Connection,
    wanted: JobFilter | None = None,
    *,
    state: State | Iterable[State] | None = None,
    before: JobId | None = None,
    limit: int = 50,
) -> JobPage:
    """Jobs of a filter, newest first. None: of all jobs.

    Each field is answered from an index, however many jobs there are, save what most jobs share and which only sieves:
    `channel`, `kind="send"`, the state `accepted`. A page looks at 50,000 candidates of the index at most. CheckFailed
    where the filter speaks of parts or calls.
    """
    if wanted is not None:
        wanted.require_whole_jobs()
        if wanted.is_about_calls:
            remedy = "leave called_from and called_before out"
            raise CheckFailed([Problem("filter", "is about calls, and a list is about jobs", remedy)])
        state = wanted.state if state is None else state
    if limit < 1:
        raise CheckFailed([Problem("limit", "is none", "give 1 or more", 1, "jobs", limit)])
    states = None if state is None else states_of("state", state)
    last = None if before is None else id_of(before)
    is_timed = wanted is not None and wanted.ended_from is not None
    now = read_now(connection, now_in(connection)) if is_timed else 0
    page = job_page(connection, wanted, states, SUMMARY, before=last, limit=limit, now=now)
    recalled = recalled_jobs(connection, [row["id"] for row in page.rows])
    jobs = tuple(JobSummary(**summary_of(row, recalled)) for row in page.rows)
    return JobPage(jobs, page.before, page.is_cut_short, page.leaves_fresh_out)


@dataclass(frozen=True, slots=True)
class JobCount:
    """How many jobs of an account are of a kind and in a state."""

    account: str
    """The account's name in the settings."""
    kind: str
    """`send`, `recall`, `update_card`, ..., see `Kind`."""
    state: JobState
    """The state that they are in."""
    jobs: int
    """How many jobs."""
    asked: int
    """Recipients that they were asked to reach."""


COUNTED_BY = frozenset({"account", "channel", "kind", "state", "created_from", "created_before"})


@on_callers_connection
def count_jobs(connection: Connection, wanted: JobFilter) -> list[JobCount]:
    """Jobs by account, kind and state. It reads all jobs of the span of time once, so it has to be named.

    CheckFailed without `created_from`, and for other fields than account, channel, kind, state and `created_*`.
    """
    problems = [
        Problem(name, "is not counted by", f"use {', '.join(sorted(COUNTED_BY))}")
        for name in wanted.asked().keys() - COUNTED_BY
    ]
    if wanted.created_from is None:
        problems.append(Problem("created_from", "is missing", "say since when the jobs were enqueued"))
    if problems:
        raise CheckFailed(problems)
    return [
        JobCount(account, kind, JobState(state), jobs, asked)
        for account, kind, state, jobs, asked in job_counts(connection, wanted)
    ]


@on_callers_connection
def text_hash(connection: Connection, job_id: JobId) -> str:
    """The hash of a job's message, by which `JobFilter(text_hash=...)` finds all jobs that say the same."""
    return job_terms.text_hash(row_of(connection, job_id)["message"])
