"""`worker jobs`: lists of jobs, as text for people and as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from worker.cli.options import OF_CALLS, Commands, Json, note, plain, say, with_filter
from worker.cli.reading import outbox, padded, state_named, tell
from worker.cli.times import clock
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState
from worker.language import said, word
from worker.reporting.job_list import JobCount, count_jobs, find_jobs
from worker.reporting.report import JobSummary

app = Commands()


@app.command()
@with_filter(*OF_CALLS)
def jobs(
    given: dict[str, Any],
    before: Annotated[str | None, typer.Option(metavar="ID", help="The next page: only jobs older than this.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="All pages; with --json one object a line.")] = False,
    counts: Annotated[
        bool, typer.Option("--counts", help="How many, by account, kind and state; by default since a day ago.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Lists jobs, newest first: all of them, or those of a filter."""
    if counts:
        _count(given, as_json=as_json)
        return
    # A list may be about all jobs, so a state alone is no mistake.
    named = state_named(JobState, given.pop("state", None))
    wanted = JobFilter(**given) if given else None
    if every:
        _all_jobs(wanted, named, as_json=as_json)
        return
    with outbox() as connection:
        page = find_jobs(connection, wanted, state=named, before=before, limit=limit)
    if as_json:
        say(json.dumps(plain(page), ensure_ascii=False))
    else:
        tell(page.jobs, _job_line, "no jobs", as_json=False)
    if page.leaves_fresh_out:
        note("not all jobs were looked at that are open, or wait to be indexed: there are too many")
    if page.is_cut_short:
        note(f"as many as one look may read; go on with --before {page.before}, or name a field that fewer share")


PAGE = 1_000


def _all_jobs(wanted: JobFilter | None, state: JobState | None, *, as_json: bool) -> None:
    """Prints every job of a filter, page by page; as JSON one object a line."""
    before, count = None, 0
    while True:
        with outbox() as connection:
            page = find_jobs(connection, wanted, state=state, before=before, limit=PAGE)
        if page.leaves_fresh_out:
            raise WorkerError("not all jobs that are open, or wait to be indexed, can be looked at: there are too many")
        for job in page.jobs:
            say(json.dumps(plain(job), ensure_ascii=False) if as_json else _job_line(job))
        count, before = count + len(page.jobs), page.before
        if before is None:
            note(f"{count} jobs")
            return


def _count(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints how many jobs of a filter there are by account, kind and state; since a day ago, if it names no time."""
    since = given.get("created_from") or datetime.now(UTC) - timedelta(days=1)
    with outbox() as connection:
        found = count_jobs(connection, JobFilter(**{**given, "created_from": since}))
    tell(found, _count_line, f"no jobs since {clock(since)}", as_json=as_json)


def _count_line(one: JobCount) -> str:
    counts = said(f"{one.jobs:>9} jobs {one.asked:>10} asked")
    return f"{padded(one.account, 12)} {one.kind:<12} {padded(word('state', one.state.label), 10)} {counts}"


def _job_line(job: JobSummary) -> str:
    asked, state = said(f"{job.asked} asked"), padded(word("state", job.label), 10)
    return f"{job.id}  {clock(job.created_at)}  {padded(job.account, 12)} {job.kind:<12} {state} {asked}"
