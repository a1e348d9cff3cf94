"""`worker jobs`: lists of jobs, as text for people and as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from sqlalchemy.exc import DBAPIError

from worker.cli.options import OF_CALLS, Commands, Json, echo, echo_error, plain, with_filter
from worker.cli.reading import TextTable, outbox, print_table, state_named
from worker.cli.times import clock
from worker.control.opening import open_database
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState
from worker.language import plural, term, translate
from worker.outbox.engine.database import Database
from worker.outbox.engine.error_text import is_forbidden
from worker.reporting.job_list import JobCount, JobPage, ListedJob, content_text, count_jobs, find_jobs, with_contents

app = Commands()


@app.command()
@with_filter(*OF_CALLS)
def jobs(
    given: dict[str, Any],
    before: Annotated[str | None, typer.Option(metavar="ID", help="The next page: only jobs older than this.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="The next page with --oldest-first: only jobs newer than this.")
    ] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="The oldest first.")] = False,
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
        _all_jobs(wanted, named, oldest_first=oldest_first, as_json=as_json)
        return
    with open_database() as database:
        page, found = _page(
            database, wanted, state=named, before=before, after=after, oldest_first=oldest_first, limit=limit
        )
    if as_json:
        echo(json.dumps({**plain(page), "jobs": [*map(_plain, found)]}, ensure_ascii=False))
    else:
        print_table(found, COLUMNS, _row, "no jobs", as_json=False)
    if page.leaves_fresh_out:
        echo_error("too many jobs are open or wait to be indexed, so not all of them were looked at")
    if page.is_cut_short:
        place, cursor = ("--after", page.after) if oldest_first else ("--before", page.before)
        echo_error(f"no more jobs are read at once; go on with {place} {cursor}, or narrow the filter")


PAGE = 1_000


def _all_jobs(wanted: JobFilter | None, state: JobState | None, *, oldest_first: bool, as_json: bool) -> None:
    """Prints every job of a filter, page by page; as JSON one object a line."""
    cursor, count, table = None, 0, TextTable(*COLUMNS)
    place, options = ("after" if oldest_first else "before"), {"oldest_first": oldest_first, "limit": PAGE}
    with open_database() as database:
        while True:
            page, found = _page(database, wanted, state=state, **options, **{place: cursor})
            if page.leaves_fresh_out:
                problem = "too many jobs are open or wait to be indexed, so not all of them can be listed"
                raise WorkerError(problem)
            if as_json:
                for job in found:
                    echo(json.dumps(_plain(job), ensure_ascii=False))
            else:
                table.print([_row(job) for job in found])
            count, cursor = count + len(found), page.after if oldest_first else page.before
            if cursor is None:
                echo_error(plural(count, "job"))
                return


def _page(database: Database, wanted: JobFilter | None, **options: Any) -> tuple[JobPage, list[ListedJob]]:
    """A page with what a list tells of its jobs; without recipients and types where the user may not read those."""
    with database.reading() as connection:
        page = find_jobs(connection, wanted, **options)
    try:
        with database.reading() as connection:
            return page, with_contents(connection, page.jobs)
    except DBAPIError as error:
        if not is_forbidden(error):
            raise
        with database.reading() as connection:
            return page, with_contents(connection, page.jobs, texts=False)


def _count(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints how many jobs of a filter there are by account, kind and state; since a day ago, if it names no time."""
    since = given.get("created_from") or datetime.now(UTC) - timedelta(days=1)
    with outbox() as connection:
        found = count_jobs(connection, JobFilter(**{**given, "created_from": since}))
    columns = ("account", "kind", "state", "jobs", "recipients")
    print_table(found, columns, _count_row, f"no jobs since {clock(since)}", as_json=as_json)


def _count_row(one: JobCount) -> tuple[str, ...]:
    kind, state = content_text(one.kind, None), term("state", one.state.label)
    return one.account, kind, state, str(one.jobs), str(one.asked)


COLUMNS = ("job", "enqueued", "account", "what", "state", "errcode", "to")


def _row(job: ListedJob) -> tuple[str, ...]:
    """The cells of a job; whom it goes to stands last, for it is the longest."""
    state, errcode = term("state", job.label), "-" if job.errcode is None else str(job.errcode)
    others = f" +{job.others}" if job.others else ""
    to = (
        f"{job.recipient}{others}" if job.recipient else translate(plural(job.asked, "recipient")) if job.asked else "-"
    )
    return job.id, clock(job.created_at), job.account, job.told(), state, errcode, to


def _plain(job: ListedJob) -> dict[str, Any]:
    """A job as JSON, without the recipient: what is handed on about one person names no other."""
    values: dict[str, Any] = plain(job)
    return {name: value for name, value in values.items() if name != "recipient"}
