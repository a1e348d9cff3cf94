"""A fence behind a restored backup: what may have gone out since it was made is held, so that nothing goes out twice.

The rows are those of the backup's moment; the vendor has gone on. A part that was due by now may have been sent after
that moment, whatever its row says. A person then looks, and says of each what is so (`resolve`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from worker.config.settings import Settings
from worker.control.audit import Done, audited
from worker.control.cancel import committing
from worker.control.found import FoundJobs
from worker.control.opening import at_hand
from worker.domain import settle
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.control.cancels import JOBS_TOGETHER, counted_jobs, due_jobs, open_parts, part_standings
from worker.outbox.engine.bulk import in_lots
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import alive

TOGETHER = 400
"""Parts in one transaction."""


def find_restored(since: datetime, *, settings: Settings | None = None, database: Database | None = None) -> FoundJobs:
    """The jobs of a restored backup that may have gone out since it was made, at `since` (aware).

    These are the jobs that were enqueued before that, are due by now, and have not ended. Recalls, uploads and tracks
    are not among them: once more does no harm. `among`: how many of the parts are `queued`, `sending` or `unknown`.
    WorkerError while a worker process is alive: it may be sending them.
    """
    # A second more: an instant that a person gives is seldom exact, and to hold one too many does no harm.
    wanted = JobFilter(created_before=since if since.utcoffset() is None else since + timedelta(seconds=1))
    parts, jobs = Counter[str](), dict[str, tuple[str, str]]()
    with at_hand(database, settings) as (outbox, _), outbox.reading() as connection:
        _require_no_worker(connection, outbox.now)
        for job, state in open_parts(connection, wanted):
            jobs.setdefault(job.id, (job.account, job.kind))
            parts[state.label] += 1
        due = [job for lot in in_lots(jobs, JOBS_TOGETHER) for job in due_jobs(connection, outbox.now, lot)]
    return FoundJobs(wanted, tuple(sorted(due)), Counter(jobs[job] for job in due), parts)


def fence(
    found: FoundJobs,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Done:
    """Holds these jobs in doubt: nothing of them is sent or repeated until a person says what is so (`resolve`).

    Call it before the first worker is started on the restored database. `person` says who fences, `why` for which
    reason, at most 300 characters. It counts the `parts` that are held in doubt now. It commits by itself, 400 parts at
    a time, and may be given again after an error; `progress` is called with the number of jobs that were gone through.
    """
    asked = {"filter": found.wanted.asked(), "jobs": len(found.ids)}
    with at_hand(database, settings) as (outbox, in_force):
        carry_out = committing(outbox, in_force)
        with outbox.reading() as connection:
            _require_no_worker(connection, outbox.now)
        with audited("fence", person=person, why=why, asked=asked, database=outbox, settings=in_force) as running:
            for ids in running.lots(found.ids, TOGETHER, progress):
                with outbox.reading() as connection:
                    jobs = counted_jobs(connection, ids)
                for few in in_lots((part for job in jobs.values() for part in job.part_ids()), TOGETHER):
                    with outbox.reading() as connection:
                        parts = part_standings(connection, few)
                    # One that is held stays as it is.
                    if changes := [_change(part.id, part.state) for part in parts if part.goes_on]:
                        carry_out(changes)
                        running.counts["parts"] += len(changes)
    return Done(running.id, running.counts)


def _change(part_id: str, was: PartState) -> Change:
    """Holds a part that is still in the state in which it was read."""

    def apply(part: PartFacts, now: int) -> None:
        if part.state is was:
            settle.fence(part, now)

    # One in doubt has the attempt of its doubt already.
    return Change(part_id, apply, attempt_reason=None if was is PartState.UNKNOWN else settle.FENCED)


def _require_no_worker(connection: Connection, now: str) -> None:
    count = len(alive(connection, now))
    if count:
        raise WorkerError(
            f"{count} worker processes are alive and may be sending: end them (a process that was killed counts as"
            " alive for ten seconds), then fence, then start them again"
        )
