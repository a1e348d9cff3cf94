"""`worker jobs`: lists or counts jobs, as a table for people and as JSON for scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from sqlalchemy.exc import DBAPIError

from worker.cli.options import Commands, Json, echo, echo_error, to_json, with_filter
from worker.cli.reading import TextTable, print_problems, print_table, state_by_name, unmatched_names
from worker.cli.times import clock
from worker.control.opening import open_database
from worker.domain.errors import CheckFailed, Problem, WorkerError
from worker.domain.job import id_of
from worker.domain.job_filter import CALL_TIMES, JobFilter
from worker.domain.state import JobState
from worker.language import plural, term, translate
from worker.outbox.engine.database import Database
from worker.outbox.engine.error_text import is_forbidden
from worker.reporting.job_list import JobCount, JobPage, ListedJob, content_text, count_jobs, find_jobs, with_contents

app = Commands()


@app.command()
@with_filter(*CALL_TIMES)
def jobs(
    options: dict[str, Any],
    page_after: Annotated[
        str | None, typer.Option(metavar="ID", help="The next page: only jobs that the list has after this one.")
    ] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="The oldest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    all_pages: Annotated[bool, typer.Option("--all", help="All pages; with --json one object a line.")] = False,
    held: Annotated[
        bool, typer.Option("--held", help="Only those of which something is in doubt and waits for a person.")
    ] = False,
    counts: Annotated[
        bool, typer.Option("--counts", help="How many, by account, kind and state; by default since a day ago.")
    ] = False,
    as_json: Json = False,
) -> bool:
    """Lists jobs, newest first: all of them, or those of a filter."""
    if counts:
        if all_pages or page_after or held:
            raise typer.BadParameter(translate("--counts has no pages: give no --all, --page-after or --held"))
        return _print_counts(options, as_json=as_json)
    if page_after is not None and not re.fullmatch("[0-9a-f]{32}", id_of(page_after)):
        raise CheckFailed([Problem("page_after", "is not the id of a job", "give the one that the last page says")])
    # A list may be of all jobs, so a state without a filter is allowed.
    state = state_by_name(JobState, options.pop("state", None))
    job_filter = JobFilter(**options) if options else None
    search: dict[str, Any] = {"state": state, "held": held or None, "oldest_first": oldest_first}
    if all_pages:
        return _print_all(job_filter, search, page_after, as_json=as_json)
    with open_database() as database:
        page, rows = _page(database, job_filter, **search, page_after=page_after, limit=limit)
        # A page behind the last one is empty, too.
        problems = unmatched_names(database, job_filter, is_empty=not (rows or page_after))
    if as_json:
        echo(json.dumps({**to_json(page), "jobs": [*map(_job_json, rows)]}, ensure_ascii=False))
    else:
        print_table(rows, COLUMNS, _row, "no jobs", as_json=False)
    if rows and state is JobState.UNKNOWN and not held:
        echo_error("`worker jobs --held` lists those that wait for a person; the others settle by themselves")
    if page.leaves_fresh_out:
        echo_error("too many jobs are open or wait to be indexed, so not all of them were looked at")
    if page.is_cut_short:
        echo_error(
            "one run reads only so many jobs, and there are more;"
            f" go on with --page-after {page.page_after}, or narrow the filter"
        )
    return print_problems(problems)


PAGE = 1_000


def _print_all(
    job_filter: JobFilter | None, search: Mapping[str, Any], page_after: str | None, *, as_json: bool
) -> bool:
    """Prints all jobs of a filter from the cursor on, page by page; as JSON one object on each line."""
    is_whole = page_after is None
    count, table = 0, TextTable(*COLUMNS)
    with open_database() as database:
        while True:
            page, rows = _page(database, job_filter, **search, limit=PAGE, page_after=page_after)
            if page.leaves_fresh_out:
                problem = "too many jobs are open or wait to be indexed, so not all of them can be listed"
                raise WorkerError(problem)
            if as_json:
                for job in rows:
                    echo(json.dumps(_job_json(job), ensure_ascii=False))
            else:
                table.print([_row(job) for job in rows])
            count, page_after = count + len(rows), page.page_after
            if page_after is None:
                echo_error(plural(count, "job"))
                return print_problems(unmatched_names(database, job_filter, is_empty=is_whole and not count))


def _page(database: Database, job_filter: JobFilter | None, **options: Any) -> tuple[JobPage, list[ListedJob]]:
    """Reads a page of jobs. Leaves out recipients and types if the database user may not read them."""
    with database.reading() as connection:
        page = find_jobs(connection, job_filter, **options)
    try:
        with database.reading() as connection:
            return page, with_contents(connection, page.jobs)
    except DBAPIError as error:
        if not is_forbidden(error):
            raise
        with database.reading() as connection:
            return page, with_contents(connection, page.jobs, texts=False)


def _print_counts(options: Mapping[str, Any], *, as_json: bool) -> bool:
    """Prints the number of jobs by account, kind and state; of the last day if the filter has no beginning."""
    since = options.get("created_from") or options.get("created_before", datetime.now(UTC)) - timedelta(days=1)
    job_filter = JobFilter(**{**options, "created_from": since})
    with open_database() as database:
        with database.reading() as connection:
            counts = count_jobs(connection, job_filter)
        problems = unmatched_names(database, job_filter, is_empty=not counts)
    columns = ("account", "kind", "state", "jobs", "recipients")
    print_table(counts, columns, _count_row, f"no jobs since {clock(since)}", as_json=as_json)
    return print_problems(problems)


def _count_row(count: JobCount) -> tuple[str, ...]:
    kind, state = content_text(count.kind, None), term("state", count.state.label)
    return count.account, kind, state, str(count.jobs), str(count.asked)


COLUMNS = ("job", "enqueued", "account", "what", "state", "errcode", "to")


def _row(job: ListedJob) -> tuple[str, ...]:
    """Returns the cells of a job. The recipient is last because it is the longest."""
    state, errcode = term("state", job.label), "-" if job.errcode is None else str(job.errcode)
    other_count = f" +{job.others}" if job.others else ""
    to = (
        f"{job.recipient}{other_count}"
        if job.recipient
        else translate(plural(job.asked, "recipient"))
        if job.asked
        else "-"
    )
    return job.id, clock(job.created_at), job.account, job.localized(), state, errcode, to


def _job_json(job: ListedJob) -> dict[str, Any]:
    """Returns a job as JSON values, without the recipient, so that a list for one person names no other."""
    values: dict[str, Any] = to_json(job)
    return {name: value for name, value in values.items() if name != "recipient"}
