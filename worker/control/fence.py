"""Fences a restored backup: holds everything that may have been sent since the backup, so that nothing is sent twice.

The rows are as they were when the backup was made, but the vendor has received more since. A part that is due by now
may have been sent after the backup, whatever its row says. A person then finds out whether each part was sent, and
records it (`resolve`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.cancel import make_committer
from worker.control.command import Command, TargetKind
from worker.control.opening import open_outbox
from worker.control.selection import JobSelection
from worker.domain import settle
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.language import plural
from worker.outbox.commit.commands import Change
from worker.outbox.control.cancels import JOBS_BATCH_SIZE, due_jobs, job_sizes, open_parts, part_statuses
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import alive_processes

BATCH_SIZE = 400
"""Parts in one transaction."""


def find_restored(
    since: datetime, *, settings: Settings | None = None, database: Database | None = None
) -> JobSelection:
    """Finds the jobs of a restored backup that may have been sent since the backup was made, at `since` (aware).

    These jobs were enqueued before `since`, are due by now, and have not ended. Recalls, uploads and tracks are left
    out, because repeating them does no harm. `breakdown` counts the parts that are `queued`, `sending` or `unknown`.
    Raises WorkerError while a worker process is alive, because it may be sending them.
    """
    # One second more: a person seldom gives an exact instant, and holding one job too many does no harm.
    # With its fold, which a sum loses: in an hour that comes twice it would be an hour less.
    later = since if since.utcoffset() is None else (since + timedelta(seconds=1)).replace(fold=since.fold)
    filter = JobFilter(created_before=later)
    parts, jobs = list[tuple[str, str]](), dict[str, tuple[str, str]]()
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        _require_no_worker(connection, outbox.now)
        for job, state in open_parts(connection, filter):
            jobs.setdefault(job.id, (job.account, job.kind))
            parts.append((job.id, state.label))
        due = {job for batch in batched(jobs, JOBS_BATCH_SIZE) for job in due_jobs(connection, outbox.now, batch)}
    breakdown = Counter(state for job, state in parts if job in due)
    return JobSelection(filter, tuple(sorted(due)), Counter(jobs[job] for job in due), breakdown)


def fence(
    selection: JobSelection,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> CommandResult:
    """Holds these jobs in doubt: nothing of them is sent or repeated until a person decides about them (`resolve`).

    Call it before the first worker starts on the restored database. `person` is who fences and `why` the reason, at
    most 300 characters. The result counts the `parts` that are now held in doubt. The command commits by itself, 400
    parts at a time, and may be called again after an error. `progress` is called with the number of jobs done so far.
    """
    arguments = {"filter": selection.filter.conditions(), "jobs": len(selection.ids)}
    with open_outbox(database, settings) as (outbox, settings_in_use):
        apply_changes = make_committer(outbox, settings_in_use)
        with outbox.reading() as connection:
            _require_no_worker(connection, outbox.now)
        with audited(
            "fence", person=person, why=why, arguments=arguments, database=outbox, settings=settings_in_use
        ) as command:
            for ids in command.batches(selection.ids, BATCH_SIZE, progress):
                with outbox.reading() as connection:
                    jobs = job_sizes(connection, ids)
                for part_ids in batched((part for job in jobs.values() for part in job.part_ids()), BATCH_SIZE):
                    with outbox.reading() as connection:
                        parts = part_statuses(connection, part_ids)
                    # A part that is held already stays as it is.
                    if changes := [_change(part.id, part.state) for part in parts if part.goes_on]:
                        apply_changes(changes)
                        command.counts["parts"] += len(changes)
    return CommandResult(command.id, command.counts)


def _lines(result: CommandResult, options: Mapping[str, object]) -> Iterator[str]:
    parts = result.counts["parts"]
    text = f"{plural(parts, 'part')} marked as in doubt and held (audit {result.audit})"
    if parts:
        text += "; list them with `worker jobs --held`, decide with `worker resolve`"
    yield text


COMMAND = Command(
    name="fence",
    help="Marks as in doubt, on a restored backup, what may have been sent since it was made; before the first worker.",
    target=TargetKind.BACKUP,
    find=find_restored,
    run=fence,
    question="mark the calls of {jobs} as in doubt?",
    asks_from=1,
    lines=_lines,
    done=("parts",),
)


def _change(part_id: str, state: PartState) -> Change:
    """Returns the change that holds a part, if the part is still in the state in which it was read."""

    def apply(part: PartFacts, now: int) -> None:
        if part.state is state:
            settle.fence(part, now)

    # A part in doubt already has the attempt that is in doubt.
    return Change(part_id, apply, attempt_reason=None if state is PartState.UNKNOWN else settle.FENCED)


def _require_no_worker(connection: Connection, now_sql: str) -> None:
    count = len(alive_processes(connection, now_sql))
    if count:
        raise WorkerError(
            f"{count} worker processes are alive and may be sending: end them (a process that was killed counts as"
            " alive for ten seconds), then fence, then start them again"
        )
