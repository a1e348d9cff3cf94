"""Changes the due time, the expiry or the priority of waiting jobs.

The jobs are then as if they had been enqueued so. A paused job stays paused, and a job that waits in an order keeps its
place. A call that has begun is not stopped; a sender that has loaded the part but not begun its call cannot begin it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from worker.config.settings import Settings
from worker.control.audit import Done, audited
from worker.control.opening import open_outbox
from worker.control.selection import FoundJobs
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.outbox.control.cancels import waiting_parts
from worker.outbox.control.matching import missing_jobs
from worker.outbox.control.waiting import NewTimes, reschedule as move
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.producer.options import Instant, MessageOptions, PriorityName, instant_of, option_problems, priority_of

BATCH_SIZE = 200
"""Jobs that are changed in one transaction."""


def find_waiting(wanted: JobFilter, *, settings: Settings | None = None, database: Database | None = None) -> FoundJobs:
    """Finds the jobs of a filter that have parts waiting to be sent, without cancelled jobs.

    Recalls, uploads and tracks are included only where the filter has ids or a kind. `among` counts the `queued` parts.
    Raises CheckFailed where the filter names single parts: a job is changed whole.
    """
    wanted.require_whole_jobs()
    jobs: dict[str, tuple[str, str]] = {}
    queued = 0
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        for job in waiting_parts(connection, wanted):
            jobs[job.id] = (job.account, job.kind)
            queued += 1
        missing = missing_jobs(connection, wanted.part_or_job_ids())
    breakdown = {"queued": queued} if queued else {}
    return FoundJobs(wanted, tuple(sorted(jobs)), Counter(jobs.values()), breakdown, tuple(missing))


def reschedule(
    found: FoundJobs,
    *,
    due_at: Instant | None = None,
    expires_at: Instant | None = None,
    priority: PriorityName | None = None,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
    began: Callable[[str], object] = lambda audit: None,
) -> Done:
    """Changes when these jobs are due, when they expire, how urgent they are, or several of these.

    The keywords mean the same as for `enqueue`; one that is left out changes nothing. A part that was called already
    keeps the time of its next call. The result counts the `jobs` that were changed, which are its `jobs`, how many
    `parts` of them wait, and those that are `left`: none of their parts waits any more, or they would expire before
    they are due (`expiring`). It commits by itself, 200 jobs at a time, and may be called again.
    """
    require_change(due_at, expires_at, priority)
    changed = list[str]()
    with open_outbox(database, settings) as (outbox, settings_in_use):
        now = outbox.read_now()
        due, ends = (None if value is None else _absolute(value, now) for value in (due_at, expires_at))
        new = NewTimes(due, ends, None if priority is None else priority_of(priority))
        options = {"due_at": _iso(due), "expires_at": _iso(ends), "priority": priority}
        asked = {"filter": found.wanted.asked(), "jobs": len(found.ids), **options}
        with audited(
            "reschedule", person=person, why=why, asked=asked, database=outbox, settings=settings_in_use
        ) as command:
            began(command.id)
            for batch in command.batches(found.ids, BATCH_SIZE, progress):
                done = outbox.run(partial(move, ids=batch, now=now, new=new))
                changed += done.jobs
                command.counts += Counter(jobs=len(done.jobs), parts=done.parts, expiring=done.expiring)
                command.counts["left"] += len(batch) - len(done.jobs)
        return Done(command.id, +command.counts, tuple(changed))


def require_change(due_at: Instant | None, expires_at: Instant | None, priority: PriorityName | None) -> None:
    """Raises CheckFailed if no change is given, or a value is wrong."""
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
