"""Cancels jobs: no call of theirs begins any more, whenever they are due and whatever their calls in flight answer.

A cancel has two steps. First it marks the jobs as cancelled, which senders and the group commit obey from then on. Then
it ends the parts that wait, so that counters, orders, follow-ups and hooks move on at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from worker.channels.registry import channel, names
from worker.config.log import Logger
from worker.config.settings import Settings
from worker.control.audit import Done, audited, write_entry
from worker.control.opening import open_outbox
from worker.control.selection import FoundJobs
from worker.delivery.resolver.stopping import STOPPABLE, stop
from worker.delivery.sender.fault_reports import FaultReports
from worker.domain.job import Kind, job_of
from worker.domain.job_filter import JobFilter
from worker.domain.settle import Policy
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.commit.group_commit import commit
from worker.outbox.control.cancels import (
    HAS_ENDED,
    CountedJob,
    PartStatus,
    counted_jobs,
    mark_cancelled,
    open_parts,
    part_statuses,
    without_default_kinds,
)
from worker.outbox.control.matching import created_jobs, missing_jobs
from worker.outbox.engine.database import Database
from worker.outbox.jobs.follow_ups import kind_and_message
from worker.outbox.lanes.processes import hooked_ends

MARK_BATCH = 1_000
"""Jobs that are marked as cancelled in one transaction."""
JOB_BATCH = 50
"""Jobs whose parts are read and ended together."""
CHANGE_BATCH = 400
"""Parts that are ended in one transaction. Workers cannot change these parts meanwhile."""
MAX_PARTS_READ = 2_000
"""Parts that are read together. A single job may have more."""
MAX_PASSES = 4
"""How often the parts of a batch are read; the last time only to count them.

A transaction that began before the jobs were marked may still add a part.
"""

REVOKED_EVERY_S = 0.2
REVOKED_BY, REVOKED = "Flower or celery control", "revoked"
JOB_ID = re.compile(r"[0-9a-f]{32}")

log = Logger()
ApplyChanges = Callable[[Sequence[Change]], object]


def find_open(wanted: JobFilter, *, settings: Settings | None = None, database: Database | None = None) -> FoundJobs:
    """Finds the jobs of a filter of which something may still be sent.

    Reads the database of the settings, by default those in force. With `created_from` (and no `called_from` or
    `called_before`) jobs that have ended are included, so that `cancel` accounts for all; but there are none if nothing
    may be sent any more. Recalls, uploads and tracks are included only where the filter has ids or a kind: a recall
    takes back, other sends may wait for an upload, and a track sends nothing. `among` counts the jobs that have
    `ended`, and the parts that are `queued`, `sending` or `unknown`. Raises CheckFailed where the filter names single
    parts: a job is cancelled whole.
    """
    wanted.require_whole_jobs()
    jobs: dict[str, tuple[str, str]] = {}
    breakdown = Counter[str]()
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        for job, state in open_parts(connection, wanted):
            jobs.setdefault(job.id, (job.account, job.kind))
            breakdown[state.label] += 1
        if wanted.ids is None and wanted.created_from is not None and jobs and not wanted.is_about_calls:
            ended = created_jobs(connection, wanted, without_default_kinds(wanted) + HAS_ENDED)
            ended_jobs = {job.id: (job.account, job.kind) for job in ended if job.id not in jobs}
            jobs |= ended_jobs
            breakdown += Counter(ended=len(ended_jobs))
        missing = missing_jobs(connection, wanted.part_or_job_ids())
    return FoundJobs(wanted, tuple(sorted(jobs)), Counter(jobs.values()), breakdown, tuple(missing))


def cancel(
    found: FoundJobs,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
    began: Callable[[str], object] = lambda audit: None,
) -> Done:
    """Cancels jobs of any kind: from then on nothing of them is sent.

    Queued parts end `cancelled`. A call in flight goes on and its answer counts, but a part that would be sent again is
    cancelled. A part in doubt is not repeated, and is held for a person. What the vendor took stays (`recall` takes
    messages back, where the vendor can). `person` is who cancels and `why` the reason, at most 300 characters; the
    audit keeps both.

    The result counts the `jobs` that this command cancelled (the others had ended meanwhile), and the parts of all jobs
    by state; `searched` are parts in doubt for which the vendor is searched, which sends nothing. Its `jobs` are those
    of which the vendor took something that it can take back, if it is not too late. It commits by itself, 1,000 jobs at
    a time and then 400 parts, and may be called again after an error; `progress` is called with the number of jobs done
    so far.
    """
    counts, recallable = Counter[str](), list[str]()
    asked = {"filter": found.wanted.asked(), "jobs": len(found.ids)}
    with audited("cancel", person=person, why=why, asked=asked, database=database, settings=settings) as command:
        outbox = command.database
        began(command.id)
        for batch in command.batches(found.ids, MARK_BATCH):
            command.counts["jobs"] += mark_jobs(outbox, batch)
        for batch in command.batches(found.ids, JOB_BATCH, progress):
            for stopped in stop_jobs(outbox, batch, make_committer(outbox, command.settings)):
                command.counts += stopped.parts
                counts += stopped.parts + Counter(jobs=int(stopped.is_cancelled))
                recallable += [stopped.id] if stopped.can_be_recalled else []
    return Done(command.id, counts, tuple(recallable))


def make_committer(database: Database, settings: Settings) -> ApplyChanges:
    """Returns a function that commits changes from outside a worker process, each batch in a transaction of its own."""

    def apply_changes(changes: Sequence[Change]) -> None:
        ends = hooked_ends(database, has_hooks=bool(settings.hooks))
        # No policy: nothing is repeated, and no lane changes.
        commit(database, changes, Policy(), hooked_ends=ends)

    return apply_changes


def mark_jobs(database: Database, ids: Sequence[str]) -> int:
    """Marks the jobs that are open or in doubt as cancelled. Returns how many were not marked before."""
    return database.run(lambda connection: mark_cancelled(connection, database.now, ids))


@dataclass(frozen=True, slots=True)
class StoppedJob:
    """A job whose waiting parts were ended."""

    id: str
    is_cancelled: bool
    """False: it had ended before it was marked."""
    parts: Counter[str]
    """State -> how many of its parts are in it; `searched`: in doubt, and looked for at the vendor."""
    takes_back: bool
    """Its channel takes back what was sent."""

    @property
    def can_be_recalled(self) -> bool:
        """The vendor took something of it that it can take back."""
        return self.takes_back and bool(self.parts[PartState.ACCEPTED.label] or self.parts[PartState.PARTIAL.label])


def stop_jobs(database: Database, ids: Sequence[str], apply_changes: ApplyChanges) -> list[StoppedJob]:
    """Ends the waiting parts of jobs that are marked, and says how their parts stand."""
    with database.reading() as connection:
        jobs = counted_jobs(connection, ids)
    # A job may have thousands of parts, so batches are made by the number of parts.
    return [stopped for batch in _job_batches(jobs.values()) for stopped in _stop_batch(database, batch, apply_changes)]


def _job_batches(jobs: Iterable[CountedJob]) -> Iterator[list[str]]:
    """Splits jobs into batches whose parts can be read together. A job with too many parts is a batch alone."""
    batch, parts = list[str](), 0
    for job in jobs:
        if batch and parts + job.parts > MAX_PARTS_READ:
            yield batch
            batch, parts = [], 0
        batch.append(job.id)
        parts += job.parts
    if batch:
        yield batch


def _stop_batch(database: Database, ids: Sequence[str], apply_changes: ApplyChanges) -> list[StoppedJob]:
    for pass_number in range(MAX_PASSES):
        with database.reading() as connection:
            jobs = counted_jobs(connection, ids)
            parts = part_statuses(connection, [part for job in jobs.values() for part in job.part_ids()])
            searched, changes = _changes(connection, jobs, parts)
        if not changes or pass_number == MAX_PASSES - 1:
            break
        for start in range(0, len(changes), CHANGE_BATCH):
            apply_changes(changes[start : start + CHANGE_BATCH])
    states: dict[str, Counter[str]] = {job: Counter() for job in jobs}
    for part in parts:
        states[job_of(part.id)]["searched" if part.id in searched else part.state.label] += 1
    return [_stopped(job, states[job.id]) for job in jobs.values()]


def _changes(
    connection: Connection, jobs: Mapping[str, CountedJob], parts: Sequence[PartStatus]
) -> tuple[set[str], list[Change]]:
    """Returns the ids of parts in doubt that the vendor is searched for, and the changes that end the waiting parts."""
    # A part may have come into doubt since it was read, and then be searched for. The next pass decides about it.
    clean = [part.id for part in parts if part.state is PartState.QUEUED and not part.in_doubt]
    changes = [stop("cancelled", id, is_searched=True) for id in clean]
    in_doubt = [part.id for part in parts if part.in_doubt and part.goes_on and part.state in STOPPABLE]
    searched_jobs = {job for job in {job_of(id) for id in in_doubt} if _is_looked_up(connection, jobs[job])}
    searched = {id for id in in_doubt if job_of(id) in searched_jobs}
    changes += [stop("cancelled", id, is_searched=False) for id in in_doubt if id not in searched]
    return searched, changes


def _is_looked_up(connection: Connection, job: CountedJob) -> bool:
    """Returns whether the vendor is searched for the job's parts in doubt. False if the job cannot be read."""
    try:
        return channel(job.channel).is_looked_up(*kind_and_message(connection, job.id))
    except Exception as error:  # noqa: BLE001  one odd job must not keep those beside it
        log.warning("not_judged", job=job.id, error=type(error).__name__)
        return False


def _stopped(job: CountedJob, parts: Counter[str]) -> StoppedJob:
    takes_back = job.channel in names() and channel(job.channel).follow_up_problem(Kind.RECALL, job.kind) is None
    return StoppedJob(job.id, job.cancelled_at is not None, parts, takes_back)


# -- revoked jobs ------------------------------------------------------------------------------------------------------


class Revocations:
    """Cancels the jobs that were revoked in Flower, or by `celery control revoke`, since the last turn.

    Celery tells only the processes that run now, and these forget it when they end. The cancel in the database stays.
    """

    def __init__(
        self, database: Database, fault_reports: FaultReports, apply_changes: ApplyChanges, revoked: Collection[str]
    ):
        self._database, self._fault_reports = database, fault_reports
        self._apply_changes, self._revoked = apply_changes, revoked
        self._done: set[str] = set()

    def turn(self) -> float:
        """Cancels the jobs that were revoked since the last turn. Returns the seconds until the next turn."""
        revoked = set(self._revoked)
        self._done &= revoked
        for job_id in revoked - self._done:
            if self._fault_reports.run_step("revoking", partial(self._revoke, job_id)):
                self._done.add(job_id)
        return REVOKED_EVERY_S

    def _revoke(self, job_id: str) -> None:
        # Celery also revokes ids that are not ours.
        if not JOB_ID.fullmatch(job_id):
            return
        # Every process gets the revocation and does this. One of them marks the job; any of them may die on the way.
        self._database.run(lambda connection: self._mark(connection, job_id))
        stop_jobs(self._database, [job_id], self._apply_changes)

    def _mark(self, connection: Connection, job_id: str) -> None:
        now = self._database.now
        if marked := mark_cancelled(connection, now, [job_id]):
            asked = {"filter": JobFilter(ids=[job_id]).asked()}
            counts = {"jobs": marked}
            write_entry(connection, now, "cancel", person=REVOKED_BY, why=REVOKED, asked=asked, counts=counts)
