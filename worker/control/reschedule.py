"""Gives jobs that wait another due time, expiry or priority.

It is as if they had been enqueued so: what is paused, or waits its turn in an order, keeps to it when it goes on. A
call that has begun is not called back, and a sender that holds a part already cannot begin its call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from worker.config.settings import Settings
from worker.control.audit import Done, audited
from worker.control.found import FoundJobs
from worker.control.opening import at_hand
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.outbox.control.cancels import waiting_parts
from worker.outbox.control.matching import missing_jobs
from worker.outbox.control.waiting import NewTimes, reschedule as move
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.producer.options import Instant, MessageOptions, PriorityName, instant_of, option_problems, priority_of

TOGETHER = 200
"""Jobs that are changed in one transaction."""


def find_waiting(wanted: JobFilter, *, settings: Settings | None = None, database: Database | None = None) -> FoundJobs:
    """The jobs of a filter of which something waits to be sent, without those that are cancelled.

    Recalls, uploads and tracks only where the filter has ids or a kind. `among`: how many parts are `queued`.
    CheckFailed where the filter names single parts: a job is changed whole.
    """
    wanted.require_whole_jobs()
    jobs: dict[str, tuple[str, str]] = {}
    queued = 0
    with at_hand(database, settings) as (outbox, _), outbox.reading() as connection:
        for job in waiting_parts(connection, wanted):
            jobs[job.id] = (job.account, job.kind)
            queued += 1
        missing = missing_jobs(connection, wanted.part_or_job_ids())
    among = {"queued": queued} if queued else {}
    return FoundJobs(wanted, tuple(sorted(jobs)), Counter(jobs.values()), among, tuple(missing))


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

    The keywords mean what they mean to `enqueue`; one that is left out changes nothing. A part that was called already
    keeps the time of its next call. It counts the `jobs` that were changed, which are its `jobs`, how many `parts` of
    them wait, and those that are `left`: nothing of them waits any more, or they would expire before they are due
    (`expiring`). It commits by itself, 200 jobs at a time, and may be given again.
    """
    require_change(due_at, expires_at, priority)
    changed = list[str]()
    with at_hand(database, settings) as (outbox, in_force):
        now = outbox.read_now()
        due, ends = (None if given is None else _absolute(given, now) for given in (due_at, expires_at))
        new = NewTimes(due, ends, None if priority is None else priority_of(priority))
        told = {"due_at": _written(due), "expires_at": _written(ends), "priority": priority}
        asked = {"filter": found.wanted.asked(), "jobs": len(found.ids), **told}
        with audited("reschedule", person=person, why=why, asked=asked, database=outbox, settings=in_force) as running:
            began(running.id)
            for few in running.lots(found.ids, TOGETHER, progress):
                done = outbox.run(partial(move, ids=few, now=now, new=new))
                changed += done.jobs
                running.counts += Counter(jobs=len(done.jobs), parts=done.parts, expiring=done.expiring)
                running.counts["left"] += len(few) - len(done.jobs)
        return Done(running.id, +running.counts, tuple(changed))


def require_change(due_at: Instant | None, expires_at: Instant | None, priority: PriorityName | None) -> None:
    """CheckFailed where none of them is given, or one is wrong."""
    options: MessageOptions = {"due_at": due_at, "expires_at": expires_at, "priority": priority}
    problems = list(option_problems(options))
    if not any(value is not None for value in options.values()):
        problems.append(Problem("due_at", "is missing", "give due_at, expires_at or priority"))
    if problems:
        raise CheckFailed(problems)


def _absolute(given: Instant, now: int) -> int:
    at, is_absolute = instant_of(given)
    return at if is_absolute else now + at


def _written(at: int | None) -> str | None:
    return None if at is None else instant(at).isoformat()
