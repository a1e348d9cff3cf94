"""Cancels jobs: nothing of them is sent any more, whenever they are due and whatever their calls in flight answer.

First the jobs are marked, which senders and the group commit obey from then on; then what waits is ended, so that
counters, orders, follow-ups and hooks go on at once.
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
from worker.control.found import FoundJobs
from worker.control.opening import at_hand
from worker.delivery.resolver.stopping import STOPPABLE, stop
from worker.delivery.sender.set_aside import SetAside
from worker.domain.job import Kind, job_of
from worker.domain.job_filter import JobFilter
from worker.domain.settle import Policy
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.commit.group_commit import commit
from worker.outbox.control.cancels import (
    HAS_ENDED,
    CountedJob,
    PartStanding,
    counted_jobs,
    left_out,
    mark_cancelled,
    open_parts,
    part_standings,
)
from worker.outbox.control.matching import created_jobs, missing_jobs
from worker.outbox.engine.database import Database
from worker.outbox.jobs.follow_ups import content_of
from worker.outbox.lanes.processes import hooked_ends

MARKED_TOGETHER = 1_000
"""Jobs that are marked in one transaction."""
TOGETHER = 50
"""Jobs whose parts are looked at together."""
CHANGES_TOGETHER = 400
"""Parts that are ended in one transaction; workers cannot move them meanwhile."""
PARTS_TOGETHER = 2_000
"""Parts that are read together, but for a job that has more."""
LOOKS = 4
"""How often jobs are looked at, the last time only to tell: a transaction that began before the mark may add a part."""

REVOKED_EVERY_S = 0.2
REVOKED_BY, REVOKED = "Flower or celery control", "revoked"
JOB_ID = re.compile(r"[0-9a-f]{32}")

log = Logger()
CarryOut = Callable[[Sequence[Change]], object]


def find_open(wanted: JobFilter, *, settings: Settings | None = None, database: Database | None = None) -> FoundJobs:
    """The jobs of a filter of which something may still be sent, in the database of the settings (default: in force).

    With `created_from` (and no `called_from` or `called_before`) also those that have ended since, so that `cancel`
    accounts for all; but none where nothing may be sent any more. Recalls, uploads and tracks only where the filter has
    ids or a kind: a recall takes back, other sends may wait for an upload, and a track sends nothing. `among`: how many
    have `ended`, and how many parts are `queued`, `sending` or `unknown`. CheckFailed where the filter names single
    parts: a job is cancelled whole.
    """
    wanted.require_whole_jobs()
    jobs: dict[str, tuple[str, str]] = {}
    among = Counter[str]()
    with at_hand(database, settings) as (outbox, _), outbox.reading() as connection:
        for job, state in open_parts(connection, wanted):
            jobs.setdefault(job.id, (job.account, job.kind))
            among[state.label] += 1
        if wanted.ids is None and wanted.created_from is not None and jobs and not wanted.is_about_calls:
            ended = created_jobs(connection, wanted, left_out(wanted) + HAS_ENDED)
            over = {job.id: (job.account, job.kind) for job in ended if job.id not in jobs}
            jobs |= over
            among += Counter(ended=len(over))
        missing = missing_jobs(connection, wanted.part_or_job_ids())
    return FoundJobs(wanted, tuple(sorted(jobs)), Counter(jobs.values()), among, tuple(missing))


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

    Queued parts end `cancelled`. A part in flight is not called back: its answer counts, and one that would be sent
    again is cancelled. A part in doubt is not repeated any more, and held for a person. What the vendor took stays
    (`recall` takes messages back, where the vendor can). `person` says who cancels, `why` for which reason, at most 300
    characters; both are kept in the audit.

    It counts the `jobs` that are cancelled now (the others had ended meanwhile), and the parts of all of them by their
    state; `searched`: in doubt, and the vendor is asked for it, which sends nothing. Its `jobs` are those of which the
    vendor took something that it can take back, if it is not too late. It commits by itself, 1,000 jobs at a time and
    then 400 parts, and may be given again after an error; `progress` is called with the number of jobs gone through.
    """
    counts, recallable = Counter[str](), list[str]()
    asked = {"filter": found.wanted.asked(), "jobs": len(found.ids)}
    with audited("cancel", person=person, why=why, asked=asked, database=database, settings=settings) as running:
        outbox = running.database
        began(running.id)
        for few in running.lots(found.ids, MARKED_TOGETHER):
            running.counts["jobs"] += mark(outbox, few)
        for few in running.lots(found.ids, TOGETHER, progress):
            for stopped in stop_jobs(outbox, few, committing(outbox, running.settings)):
                running.counts += stopped.parts
                counts += stopped.parts + Counter(jobs=int(stopped.is_cancelled))
                recallable += [stopped.id] if stopped.can_be_recalled else []
    return Done(running.id, counts, tuple(recallable))


def committing(database: Database, settings: Settings) -> CarryOut:
    """What carries changes out where no worker process does: a commit of its own for each lot."""

    def carry_out(changes: Sequence[Change]) -> None:
        ends = hooked_ends(database, has_hooks=bool(settings.hooks))
        # No policy: nothing is repeated, and no lane hears of it.
        commit(database, changes, Policy(), hooked_ends=ends)

    return carry_out


def mark(database: Database, ids: Sequence[str]) -> int:
    """Marks jobs as cancelled, as far as they are open or in doubt and not marked yet; how many that were."""
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


def stop_jobs(database: Database, ids: Sequence[str], carry_out: CarryOut) -> list[StoppedJob]:
    """Ends the waiting parts of jobs that are marked, and says how their parts stand."""
    with database.reading() as connection:
        jobs = counted_jobs(connection, ids)
    # A job may have thousands of parts: each lot is looked at by itself.
    return [stopped for lot in _lots(jobs.values()) for stopped in _stop_lot(database, lot, carry_out)]


def _lots(jobs: Iterable[CountedJob]) -> Iterator[list[str]]:
    """The jobs' ids, some together, so that they have not more parts than can be read together, or are one job."""
    lot, parts = list[str](), 0
    for job in jobs:
        if lot and parts + job.parts > PARTS_TOGETHER:
            yield lot
            lot, parts = [], 0
        lot.append(job.id)
        parts += job.parts
    if lot:
        yield lot


def _stop_lot(database: Database, ids: Sequence[str], carry_out: CarryOut) -> list[StoppedJob]:
    for look in range(LOOKS):
        with database.reading() as connection:
            jobs = counted_jobs(connection, ids)
            parts = part_standings(connection, [part for job in jobs.values() for part in job.part_ids()])
            searched, changes = _changes(connection, jobs, parts)
        if not changes or look == LOOKS - 1:
            break
        for at in range(0, len(changes), CHANGES_TOGETHER):
            carry_out(changes[at : at + CHANGES_TOGETHER])
    states: dict[str, Counter[str]] = {job: Counter() for job in jobs}
    for part in parts:
        states[job_of(part.id)]["searched" if part.id in searched else part.state.label] += 1
    return [_stopped(job, states[job.id]) for job in jobs.values()]


def _changes(
    connection: Connection, jobs: Mapping[str, CountedJob], parts: Sequence[PartStanding]
) -> tuple[set[str], list[Change]]:
    """The parts in doubt that are searched for, and the changes that end what waits."""
    # A part may have come into doubt since it was read, and be searched for: the next look decides about it.
    clean = [part.id for part in parts if part.state is PartState.QUEUED and not part.in_doubt]
    changes = [stop("cancelled", id, looked_up=True) for id in clean]
    in_doubt = [part.id for part in parts if part.in_doubt and part.goes_on and part.state in STOPPABLE]
    looked_up = {job for job in {job_of(id) for id in in_doubt} if _is_looked_up(connection, jobs[job])}
    searched = {id for id in in_doubt if job_of(id) in looked_up}
    changes += [stop("cancelled", id, looked_up=False) for id in in_doubt if id not in searched]
    return searched, changes


def _is_looked_up(connection: Connection, job: CountedJob) -> bool:
    """True where the vendor is asked for the parts of a job while they are in doubt, as far as that can be read."""
    try:
        return channel(job.channel).is_looked_up(*content_of(connection, job.id))
    except Exception as error:  # noqa: BLE001  one odd job must not keep those beside it
        log.warning("not_judged", job=job.id, error=type(error).__name__)
        return False


def _stopped(job: CountedJob, parts: Counter[str]) -> StoppedJob:
    takes_back = job.channel in names() and channel(job.channel).follow_up_problem(Kind.RECALL, job.kind) is None
    return StoppedJob(job.id, job.cancelled_at is not None, parts, takes_back)


# -- revoked jobs ------------------------------------------------------------------------------------------------------


class Revocations:
    """Cancels the jobs that were revoked in Flower, or by `celery control revoke`, since the last turn.

    Celery tells only the processes that run, which remember it until they end: a cancelled job stays so.
    """

    def __init__(self, database: Database, set_aside: SetAside, carry_out: CarryOut, revoked: Collection[str]):
        self._database, self._set_aside, self._carry_out, self._revoked = database, set_aside, carry_out, revoked
        self._done: set[str] = set()

    def turn(self) -> float:
        """Goes once through the revoked jobs; returns the seconds until the next turn."""
        revoked = set(self._revoked)
        self._done &= revoked
        for job_id in revoked - self._done:
            if self._set_aside.carry_out("revoking", partial(self._revoke, job_id)):
                self._done.add(job_id)
        return REVOKED_EVERY_S

    def _revoke(self, job_id: str) -> None:
        # Celery revokes whatever id it is given.
        if not JOB_ID.fullmatch(job_id):
            return
        # Every process that hears of it does this: one of them marks the job, and any of them may die on the way.
        self._database.run(lambda connection: self._mark(connection, job_id))
        stop_jobs(self._database, [job_id], self._carry_out)

    def _mark(self, connection: Connection, job_id: str) -> None:
        now = self._database.now
        if marked := mark_cancelled(connection, now, [job_id]):
            asked = {"filter": JobFilter(ids=[job_id]).asked()}
            counts = {"jobs": marked}
            write_entry(connection, now, "cancel", person=REVOKED_BY, why=REVOKED, asked=asked, counts=counts)
