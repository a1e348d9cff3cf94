"""Moves jobs to another account of their channel: what waits is cancelled, and a replay of each is enqueued there.

A run may be cut short at any moment: given again, the command finds what it has cancelled and not yet enqueued.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.cancel import make_committer, mark_jobs, stop_jobs
from worker.control.command import Command, Option
from worker.control.job_status import JobStatus
from worker.control.opening import open_outbox
from worker.control.refusals import add_reasons, collect_refusal
from worker.control.selection import JobSelection, audit_arguments, is_send
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.state import JobState
from worker.language import plural
from worker.outbox.control.cancels import waiting_parts
from worker.outbox.control.matching import MatchingJob, jobs_of, missing_jobs
from worker.outbox.control.sent import PAGE, ended_jobs, lock_with_originals
from worker.outbox.control.withdrawals import withdrawn_by, withdrawn_jobs
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.producer.chain import ReplayScope
from worker.producer.resend import replay_row
from worker.reporting.find_job import row_of

NAME = "move"
FAILED = frozenset({JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED, JobState.PARTIAL, JobState.CANCELLED})
"""The states of ended jobs that did not reach all, and of which nothing is in doubt."""
BATCH_SIZE = 100
"""Jobs that are cancelled and then enqueued in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovableJobs(JobSelection):
    """The sends of a filter that wait, or ended without reaching all recipients."""

    waiting: frozenset[str]
    """Ids of those of which something waits."""
    to_account: str | None
    """The account to which they are moved, or None if none was named."""


def find_movable(
    filter: JobFilter,
    *,
    to_account: Annotated[str | None, Option("The account that sends them instead.", is_beside_button=True)] = None,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
) -> MovableJobs:
    """Finds the sends of a filter that wait, or ended without reaching all recipients, and are not on `to_account`.

    Those that were cancelled, recalled or corrected are left out, unless a move that was cut short cancelled them.
    `breakdown` counts the jobs of which something is `moved_waiting`. Raises CheckFailed if `to_account` is of another
    channel than a job, and for a filter with neither `created_from` nor a selective field, or of single parts or calls.
    """
    require_filter(filter)
    filter.require_ended_jobs("a move")
    jobs: dict[str, MatchingJob] = {}
    with open_outbox(database, settings) as (outbox, settings_in_use), outbox.reading() as connection:
        jobs |= {job.id: job for job in waiting_parts(connection, filter)}
        waiting = frozenset(jobs)
        ended = ended_jobs(
            connection, filter, read_now(connection, outbox.now), accepted=False, unknown=False, since=None
        )
        for ids in batched((job.id for job in ended if job.state in FAILED), PAGE):
            withdrawn = withdrawn_jobs(connection, ids)
            left_out = withdrawn.keys() - withdrawn_by(connection, withdrawn, NAME)
            jobs |= {job.id: job for job in jobs_of(connection, filter, {*ids} - left_out)}
        missing = missing_jobs(connection, filter.part_or_job_ids())
    jobs = {id: job for id, job in jobs.items() if is_send(job) and job.account != to_account}
    if to_account is not None:
        _require_channel(to_account, jobs.values(), accounts or accounts_of(settings_in_use))
    counts, waiting = Counter((job.account, job.kind) for job in jobs.values()), waiting & jobs.keys()
    breakdown = {"moved_waiting": len(waiting)} if waiting else {}
    return MovableJobs(
        filter, tuple(sorted(jobs)), counts, breakdown, tuple(missing), waiting=waiting, to_account=to_account
    )


def _require_channel(name: str, jobs: Iterable[MatchingJob], accounts: AccountSource) -> None:
    own = accounts.get(name).channel
    if other := next((job for job in jobs if job.channel != own), None):
        text = f"is of channel {own}, and job {other.id} of channel {other.channel}"
        raise CheckFailed([Problem("to_account", text, "name an account of the jobs' own channel")])


def move_jobs(
    selection: MovableJobs,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
    progress: Callable[[int], object] = lambda done: None,
    on_begin: Callable[[str], object] = lambda audit: None,
) -> CommandResult:
    """Cancels what waits of these jobs, and enqueues a replay of each on the other account, 100 jobs at a time.

    A replay goes to the recipients whom no try reached and of whom none is in doubt, and keeps the job's due time,
    priority, tags and order_key; a media_id in its message has to be good for the other account, too. The result counts
    `moved` jobs, whose replays are its `jobs`, those `cancelled` for it, and `refused` jobs, each with a note: of one
    whose call was in flight nothing more is sent, and the same command moves the rest of it once that call has ended.
    """
    if (account := selection.to_account) is None:
        raise CheckFailed([Problem("to_account", "is missing", "name the account that sends them instead")])
    replays, reasons, arguments = list[str](), dict[str, str](), {**audit_arguments(selection), "to_account": account}
    with audited(NAME, person=person, why=why, arguments=arguments, database=database, settings=settings) as command:
        outbox, account_source = command.database, accounts or accounts_of(command.settings)
        on_begin(command.id)
        for batch in command.batches(selection.ids, BATCH_SIZE, progress):
            waiting = [id for id in batch if id in selection.waiting]
            command.counts["cancelled"] += len(mark_jobs(outbox, waiting))
            stop_jobs(outbox, waiting, make_committer(outbox, command.settings))
            moved, refused = outbox.run(partial(_replay, ids=batch, accounts=account_source, account=account))
            replays += moved
            add_reasons(reasons, refused)
            command.counts += Counter(moved=len(moved), refused=len(refused))
    return CommandResult(command.id, command.counts, tuple(replays), reasons)


def _replay(
    connection: Connection, ids: Sequence[str], accounts: AccountSource, account: str
) -> tuple[list[str], dict[str, str]]:
    moved, refused = list[str](), dict[str, str]()
    for id in lock_with_originals(connection, ids):
        with collect_refusal(refused, id):
            old, scope = row_of(connection, id), ReplayScope(cancelled=True)
            moved.append(replay_row(connection, old, scope, None, None, accounts, account).id)
    return moved, refused


def _lines(result: CommandResult, options: Mapping[str, object]) -> Iterator[str]:
    count = result.counts
    yield f"{plural(count['moved'], 'job')} moved, {count['refused']} refused (audit {result.audit})"


def _might_apply(job: JobStatus) -> bool:
    is_withdrawn = job.is_cancelled or job.is_recalled or job.is_corrected
    return job.is_send and not is_withdrawn and (job.has_waiting or job.state in FAILED)


COMMAND = Command(
    name="move",
    help="Sends what waits or failed through another account of the same channel; says how many, and asks.",
    find=find_movable,
    run=move_jobs,
    question="move these {count} jobs?",
    nothing="none of these jobs waits or ended without reaching all recipients, on another account",
    lines=_lines,
    done=("moved",),
    might_apply=_might_apply,
    is_about_ended=True,
)
