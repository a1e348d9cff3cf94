"""Changes the due time, the expiry or the priority of waiting jobs.

The jobs are then as if they had been enqueued with these values, also in their orders. A paused job stays paused. A
call that has begun is not stopped. A sender that has loaded a part but not begun its call cannot begin it any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated

from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.command import Command, Option
from worker.control.opening import open_outbox
from worker.control.selection import JobSelection
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter, require_filter
from worker.language import plural
from worker.outbox.control.cancels import waiting_parts
from worker.outbox.control.matching import missing_jobs
from worker.outbox.control.waiting import NewTimes, reschedule as change_times
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.producer.options import Instant, MessageOptions, PriorityName, instant_of, option_problems, priority_of

BATCH_SIZE = 200
"""Jobs that are changed in one transaction."""


def find_waiting(
    filter: JobFilter, *, settings: Settings | None = None, database: Database | None = None
) -> JobSelection:
    """Finds the jobs of a filter that have parts waiting to be sent, without cancelled jobs.

    Recalls, uploads and tracks are included only if the filter has ids or a kind. `breakdown` counts the `queued`
    parts. Raises CheckFailed if the filter names single parts, because only whole jobs are changed.
    """
    require_filter(filter)
    filter.require_whole_jobs()
    jobs: dict[str, tuple[str, str]] = {}
    queued = 0
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        for job in waiting_parts(connection, filter):
            jobs[job.id] = (job.account, job.kind)
            queued += 1
        missing = missing_jobs(connection, filter.part_or_job_ids())
    breakdown = {"queued": queued} if queued else {}
    return JobSelection(filter, tuple(sorted(jobs)), Counter(jobs.values()), breakdown, tuple(missing))


def reschedule(
    selection: JobSelection,
    *,
    due_at: Annotated[Instant | None, Option("Not before then.")] = None,
    expires_at: Annotated[Instant | None, Option("Not from then on.")] = None,
    priority: Annotated[PriorityName | None, Option("urgent, normal, bulk")] = None,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
    on_begin: Callable[[str], object] = lambda audit: None,
) -> CommandResult:
    """Changes when these jobs are due, when they expire, their priority, or several of these.

    The keywords mean the same as for `enqueue`; those that are not given change nothing. A part in doubt keeps the time
    of its repeat. The result counts the `jobs` that were changed, which are its `jobs`, how many `parts` of them wait,
    and the `unchanged` jobs: none of their parts waits any more, or they would expire before they are due (`expiring`).
    The command commits by itself, 200 jobs at a time, and may be called again.
    """
    require_change(due_at, expires_at, priority)
    changed = list[str]()
    with open_outbox(database, settings) as (outbox, settings_in_use):
        now = outbox.read_now()
        due, expiry = (None if value is None else _absolute(value, now) for value in (due_at, expires_at))
        new_times = NewTimes(due, expiry, None if priority is None else priority_of(priority))
        options = {"due_at": _iso(due), "expires_at": _iso(expiry), "priority": priority}
        arguments = {"filter": selection.filter.conditions(), "jobs": len(selection.ids), **options}
        with audited(
            "reschedule", person=person, why=why, arguments=arguments, database=outbox, settings=settings_in_use
        ) as command:
            on_begin(command.id)
            for batch in command.batches(selection.ids, BATCH_SIZE, progress):
                result = outbox.run(partial(change_times, ids=batch, now=now, new=new_times))
                changed += result.jobs
                command.counts += Counter(jobs=len(result.jobs), parts=result.parts, expiring=result.expiring)
                command.counts["unchanged"] += len(batch) - len(result.jobs)
        return CommandResult(command.id, +command.counts, tuple(changed))


def _lines(result: CommandResult, options: Mapping[str, object]) -> Iterator[str]:
    count = result.counts
    yield f"changed {plural(count['jobs'], 'job')} (audit {result.audit}); parts that wait: {count['parts']}"
    if expiring := count["expiring"]:
        yield f"{expiring} not changed: they would expire before they are due; give --expires-at too"


COMMAND = Command(
    name="reschedule",
    help="Gives jobs that wait another due time, expiry or priority; says how many, and asks.",
    find=find_waiting,
    run=reschedule,
    question="change these {count} jobs?",
    nothing="none of these jobs waits to be sent",
    lines=_lines,
    done=("jobs",),
    might_apply=lambda job: job.has_waiting and not job.is_cancelled,
    check=lambda options: require_change(**options),
)


def require_change(due_at: Instant | None, expires_at: Instant | None, priority: PriorityName | None) -> None:
    """Raises CheckFailed if none of the values is given, or one is wrong."""
    options: MessageOptions = {"due_at": due_at, "expires_at": expires_at, "priority": priority}
    problems = list(option_problems(options))
    if not any(value is not None for value in options.values()):
        problems.append(Problem("due_at", "is missing", "give due_at, expires_at or priority"))
    if problems:
        raise CheckFailed(problems)


def _absolute(value: Instant, now: int) -> int:
    at, is_absolute = instant_of(value)
    return at if is_absolute else now + at


def _iso(at: int | None) -> str | None:
    return None if at is None else instant(at).isoformat()
