"""A fence behind a restored backup: what may have gone out since it was made is held, so that nothing goes out twice.

The rows are those of the backup's moment; the vendor has gone on. A part that was due by now may have been sent after
that moment, whatever its row says. A person then looks, and says of each what is so (`resolve`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from worker.config.settings import Settings
from worker.control.audit import audited
from worker.control.opening import at_hand
from worker.domain import settle
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.settle import PartFacts, Policy
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.commit.ledger import commit
from worker.outbox.control.cancels import JOBS_TOGETHER, counted_jobs, due_jobs, open_parts, part_standings
from worker.outbox.engine.bulk import in_lots
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import alive, hooked_ends

TOGETHER = 400
"""Parts in one transaction."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What may have gone out since a backup was made."""

    since: datetime
    """When the backup was made."""
    ids: tuple[str, ...]
    """The jobs, oldest first."""
    counts: Mapping[tuple[str, str], int]
    """(Account, kind) -> how many jobs."""
    parts: Mapping[str, int]
    """State -> how many of their parts are `queued`, `sending` or `unknown`."""


@dataclass(frozen=True, slots=True)
class Fenced:
    """What a fence held."""

    audit: str
    """Id of the row that says who fenced, and why."""
    parts: int
    """Parts that are held in doubt now."""


def find_restored(since: datetime, *, settings: Settings | None = None, database: Database | None = None) -> Restored:
    """The jobs of a restored backup that may have gone out since it was made, at `since` (aware).

    These are the jobs that were enqueued before that, are due by now, and have not ended. Recalls, uploads and tracks
    are not among them: once more does no harm. WorkerError while a worker process is alive: it may be sending them.
    """
    # A second more: an instant that a person gives is seldom exact, and to hold one too many does no harm.
    wanted = JobFilter(created_before=since if since.utcoffset() is None else since + timedelta(seconds=1))
    counts, parts, jobs = Counter[tuple[str, str]](), Counter[str](), dict[str, tuple[str, str]]()
    with at_hand(database, settings) as (outbox, _), outbox.reading() as connection:
        _require_no_worker(connection, outbox.now)
        for job, state in open_parts(connection, wanted):
            jobs.setdefault(job.id, (job.account, job.kind))
            parts[state.label] += 1
        due = [job for lot in in_lots(jobs, JOBS_TOGETHER) for job in due_jobs(connection, outbox.now, lot)]
    counts.update(jobs[job] for job in due)
    return Restored(since, tuple(sorted(due)), counts, parts)


def fence(
    found: Restored,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Fenced:
    """Holds these jobs in doubt: nothing of them is sent or repeated until a person says what is so (`resolve`).

    Call it before the first worker is started on the restored database. `person` says who fences, `why` for which
    reason, at most 300 characters. It commits by itself, 400 parts at a time, and may be given again after an error;
    `progress` is called with the number of jobs that were gone through.
    """
    asked = {"since": found.since.isoformat(), "jobs": len(found.ids)}
    with at_hand(database, settings) as (outbox, in_force):
        with outbox.reading() as connection:
            _require_no_worker(connection, outbox.now)
        with audited(outbox, "fence", person=person, why=why, asked=asked) as running:
            for at in range(0, len(found.ids), TOGETHER):
                ids = found.ids[at : at + TOGETHER]
                with outbox.reading() as connection:
                    jobs = counted_jobs(connection, ids)
                for few in in_lots((part for job in jobs.values() for part in job.part_ids()), TOGETHER):
                    with outbox.reading() as connection:
                        parts = part_standings(connection, few)
                    # One that is held stays as it is.
                    if changes := [_change(part.id, part.state) for part in parts if part.goes_on]:
                        ends = hooked_ends(outbox, has_hooks=bool(in_force.hooks))
                        # No policy: nothing is repeated, and no lane hears of it.
                        commit(outbox, changes, Policy(), hooked_ends=ends)
                        running.counts["parts"] += len(changes)
                running.note()
                progress(at + len(ids))
    return Fenced(running.id, running.counts["parts"])


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
