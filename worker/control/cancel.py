"""Cancels jobs: from then on, no call of theirs begins.

A cancel has two steps. First it marks the jobs as cancelled, and takes their waiting parts out of the hands of senders.
Then it ends these parts, so that counters, orders, follow-ups and hooks go on at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.config.log import Logger
from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited, write_entry
from worker.control.command import Command
from worker.control.opening import open_outbox
from worker.control.selection import MAX_LISTED, JobSelection, has_recall
from worker.delivery.resolver.stopping import STOPPABLE, stop
from worker.delivery.sender.fault_reports import FaultReports
from worker.domain.job import job_of
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.settle import Policy
from worker.domain.state import PartState
from worker.language import plural, term
from worker.outbox.commit.commands import Change
from worker.outbox.commit.group_commit import commit
from worker.outbox.control.cancels import (
    HAS_ENDED,
    JobSize,
    PartStatus,
    count_corrections,
    job_sizes,
    mark_cancelled,
    open_parts,
    part_statuses,
    without_default_kinds,
)
from worker.outbox.control.matching import created_jobs, missing_jobs
from worker.outbox.engine.bulk import batched, batched_by_size
from worker.outbox.engine.database import Database
from worker.outbox.jobs.target_job import kind_and_message

MARK_BATCH = 1_000
"""Jobs that are marked as cancelled in one transaction."""
JOB_BATCH = 50
"""Jobs whose parts are read and ended together."""
CHANGE_BATCH = 400
"""Parts that are ended in one transaction. Workers cannot change these parts meanwhile."""
MAX_PARTS_READ = 2_000
"""Most parts that are read together. A single job may have more."""
MAX_PASSES = 4
"""How often the parts of a batch are read; the last time only to count them.

A transaction that began before the jobs were marked may still add a part.
"""

_MAY_BE_SENT = ("accepted", "partial", "sending", "unknown", "searched")
REVOKED_EVERY_S = 0.2
REVOKED_BY, REVOKED = "Flower or celery control", "revoked"
JOB_ID = re.compile(r"[0-9a-f]{32}")

log = Logger()
ApplyChanges = Callable[[Sequence[Change]], object]


def find_open(filter: JobFilter, *, settings: Settings | None = None, database: Database | None = None) -> JobSelection:
    """Finds the jobs of a filter that may still send something, in the database of the settings (default: in force).

    Recalls, uploads and tracks are included only if the filter has ids or a kind: a cancelled recall leaves its message
    in place, other sends may wait for an upload, and a track sends nothing. With `created_from` (and without
    `called_from` and `called_before`), jobs that have ended are included as well, so that the result of `cancel` covers
    all jobs; but if nothing can be sent any more, no job is found. `breakdown` counts the jobs that have `ended`, those
    that are `corrections` of other messages, and the parts that are `queued`, `sending` or `unknown`. Raises
    CheckFailed if the filter names single parts, because only whole jobs are cancelled.
    """
    require_filter(filter)
    filter.require_whole_jobs()
    jobs: dict[str, tuple[str, str]] = {}
    breakdown = Counter[str]()
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        for job, state in open_parts(connection, filter):
            jobs.setdefault(job.id, (job.account, job.kind))
            breakdown[state.label] += 1
        if filter.ids is None and filter.created_from is not None and jobs and not filter.is_about_calls:
            ended = created_jobs(connection, filter, without_default_kinds(filter) + HAS_ENDED)
            ended_jobs = {job.id: (job.account, job.kind) for job in ended if job.id not in jobs}
            jobs |= ended_jobs
            breakdown += Counter(ended=len(ended_jobs))
        breakdown["corrections"] = sum(count_corrections(connection, batch) for batch in batched(jobs, MARK_BATCH))
        missing = missing_jobs(connection, filter.part_or_job_ids())
    return JobSelection(filter, tuple(sorted(jobs)), Counter(jobs.values()), +breakdown, tuple(missing))


def cancel(
    selection: JobSelection,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
    on_begin: Callable[[str], object] = lambda audit: None,
) -> CommandResult:
    """Cancels jobs of any kind: from then on, nothing of them is sent.

    Queued parts end `cancelled`. A call in flight goes on and its answer counts, but a part that would be sent again is
    cancelled. A part in doubt is not repeated, and a person decides about it (`resolve`). What the vendor accepted
    stays: `recall_jobs` recalls it, if the vendor can. `person` is who cancels and `why` the reason, at most 300
    characters; the audit keeps both.

    The result counts the `jobs` that this command cancelled (the others had already ended), and the parts of all jobs
    by state; `searched` are parts in doubt that the worker looks for at the vendor, which sends nothing. Its `jobs` are
    those of which the vendor accepted something that it can recall, unless it is too late. The command commits by
    itself, 1,000 jobs at a time and then 400 parts, and may be called again after an error. `progress` is called with
    the number of jobs done so far.
    """
    counts, recallable = Counter[str](), list[str]()
    arguments = {"filter": selection.filter.conditions(), "jobs": len(selection.ids)}
    with audited(
        "cancel", person=person, why=why, arguments=arguments, database=database, settings=settings
    ) as command:
        outbox = command.database
        on_begin(command.id)
        for batch in command.batches(selection.ids, MARK_BATCH):
            command.counts["jobs"] += len(mark_jobs(outbox, batch))
        for batch in command.batches(selection.ids, JOB_BATCH, progress):
            for stopped in stop_jobs(outbox, batch, make_committer(outbox, command.settings)):
                command.counts += stopped.parts
                counts += stopped.parts + Counter(jobs=int(stopped.is_cancelled))
                recallable += [stopped.id] if stopped.can_be_recalled else []
    return CommandResult(command.id, counts, tuple(recallable))


_PART_TEXTS = {
    "cancelled": "cancelled: certainly not sent",
    "sending": "in flight: the vendor's answer counts, and they are not sent again",
    "searched": "in doubt: the worker looks for them at the vendor, which sends nothing",
    "unknown": "in doubt, and not repeated any more: decide with `worker resolve`",
    "accepted": "accepted by the vendor",
    "partial": "accepted by the vendor for some of their recipients",
}


def _lines(result: CommandResult, options: Mapping[str, object]) -> Iterator[str]:
    parts = dict(result.counts)
    jobs = parts.pop("jobs", 0)
    yield f"cancelled {plural(jobs, 'job')} (audit {result.audit}); their parts:"
    for state, count in sorted(parts.items()):
        yield f"{count:>8}  {_PART_TEXTS.get(state, term('state', state))}"
    if recallable := result.jobs:
        remaining = len(recallable) - MAX_LISTED
        remainder = f" and {remaining} more, see --json" if remaining > 0 else ""
        yield (
            f"what the vendor has accepted can be recalled: worker recall {' '.join(recallable[:MAX_LISTED])}"
            f"{remainder}"
        )


COMMAND = Command(
    name="cancel",
    help="Cancels jobs: nothing more of them is sent. Says what was sent already, and how to take it back.",
    find=find_open,
    run=cancel,
    question="cancel these {count} jobs?",
    nothing="none of these jobs has anything left to send",
    lines=_lines,
    done=("jobs",),
    might_apply=lambda job: job.goes_on,
    is_dangerous=True,
)


def make_committer(database: Database, settings: Settings) -> ApplyChanges:
    """Returns a function that commits changes from outside a worker process, each batch in a transaction of its own."""

    def apply_changes(changes: Sequence[Change]) -> None:
        # No policy: nothing is repeated, and no lane changes.
        commit(database, changes, Policy(), has_hooks=bool(settings.hooks))

    return apply_changes


def mark_jobs(database: Database, ids: Collection[str]) -> set[str]:
    """Marks open jobs and jobs in doubt as cancelled, so that no call of theirs begins. Returns those newly marked."""
    with database.reading() as connection:
        jobs = job_sizes(connection, ids)
    marked = set[str]()
    for batch in batched_by_size(jobs, lambda job: jobs[job].parts, MAX_PARTS_READ):
        marked.update(database.run(partial(mark_cancelled, now_sql=database.now, ids=batch)))
    return marked


@dataclass(frozen=True, slots=True)
class StoppedJob:
    """A job after its waiting parts were ended."""

    id: str
    is_cancelled: bool
    """False if the job had ended before it was marked."""
    parts: Counter[str]
    """Number of its parts by state. `searched` are parts in doubt that the worker looks for at the vendor."""
    has_recall: bool
    """Whether the channel can recall messages of this kind."""

    @property
    def has_cancelled(self) -> bool:
        """True if a part of the job was cancelled before it was sent."""
        return bool(self.parts[PartState.CANCELLED.label])

    @property
    def may_be_sent(self) -> bool:
        """True if something of the job was sent, may have been, or is in flight."""
        return any(self.parts[state] for state in _MAY_BE_SENT)

    @property
    def can_be_recalled(self) -> bool:
        """True if the vendor accepted something of the job that it can recall."""
        return self.has_recall and bool(self.parts[PartState.ACCEPTED.label] or self.parts[PartState.PARTIAL.label])


def stop_jobs(database: Database, ids: Sequence[str], apply_changes: ApplyChanges) -> list[StoppedJob]:
    """Ends the waiting parts of marked jobs, and returns the jobs with the states of all their parts."""
    with database.reading() as connection:
        jobs = job_sizes(connection, ids)
    # A job may have thousands of parts, so batches are made by the number of parts.
    batches = batched_by_size(jobs, lambda job: jobs[job].parts, MAX_PARTS_READ)
    return [stopped for batch in batches for stopped in _stop_batch(database, batch, apply_changes)]


def _stop_batch(database: Database, ids: Sequence[str], apply_changes: ApplyChanges) -> list[StoppedJob]:
    for pass_number in range(MAX_PASSES):
        with database.reading() as connection:
            jobs = job_sizes(connection, ids)
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
    connection: Connection, jobs: Mapping[str, JobSize], parts: Sequence[PartStatus]
) -> tuple[set[str], list[Change]]:
    """Returns the ids of parts in doubt to look for at the vendor, and the changes that end the waiting parts."""
    # A part may have come into doubt since it was read, and then be searched for. The next pass decides about it.
    clean = [part.id for part in parts if part.state is PartState.QUEUED and not part.in_doubt]
    changes = [stop("cancelled", id, is_searched=True) for id in clean]
    in_doubt = [part.id for part in parts if part.in_doubt and part.goes_on and part.state in STOPPABLE]
    searched_jobs = {job for job in {job_of(id) for id in in_doubt} if _is_looked_up(connection, jobs[job])}
    searched = {id for id in in_doubt if job_of(id) in searched_jobs}
    changes += [stop("cancelled", id, is_searched=False) for id in in_doubt if id not in searched]
    return searched, changes


def _is_looked_up(connection: Connection, job: JobSize) -> bool:
    """Returns whether the job's parts in doubt are looked for at the vendor. False if the job cannot be read."""
    try:
        return channel(job.channel).is_looked_up(*kind_and_message(connection, job.id))
    except Exception as error:  # noqa: BLE001  a job that cannot be read must not stop the others
        log.warning("not_judged", job=job.id, error=type(error).__name__)
        return False


def _stopped(job: JobSize, parts: Counter[str]) -> StoppedJob:
    return StoppedJob(job.id, job.cancelled_at is not None, parts, has_recall(job))


# -- revoked jobs ------------------------------------------------------------------------------------------------------


class Revocations:
    """Cancels jobs that were revoked in Flower, or by `celery control revoke`, since the last turn.

    Celery informs only the processes that are running, and they forget it when they end. The cancel is in the database,
    and stays.
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
        if mark_cancelled(connection, now, [job_id]):
            arguments = {"filter": JobFilter(ids=[job_id]).conditions()}
            counts = {"jobs": 1}
            write_entry(connection, now, "cancel", person=REVOKED_BY, why=REVOKED, arguments=arguments, counts=counts)
