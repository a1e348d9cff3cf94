"""Moves jobs to another account of the same people: what waits, and what was refused, given up or has expired.

One transaction cancels what waits of a job and enqueues the rest of it on the other account. So a run may be cut short
at any moment, and a job that cannot be moved stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.channels.registry import channel, usable
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.command import Command, Option
from worker.control.job_status import JobStatus
from worker.control.opening import open_outbox
from worker.control.refusals import add_reasons, collect_refusal
from worker.control.selection import JobSelection, audit_arguments, is_send
from worker.delivery.resolver.stopping import stop
from worker.domain.errors import CheckFailed, NotReplayable, Problem
from worker.domain.job import job_of
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.settle import Policy
from worker.domain.state import JobState, PartState
from worker.language import plural
from worker.outbox.commit.group_commit import carry_out
from worker.outbox.control.cancels import job_sizes, mark_cancelled, open_parts, part_statuses
from worker.outbox.control.matching import MatchingJob, jobs_of, missing_jobs
from worker.outbox.control.sent import PAGE, ended_jobs, lock_with_originals
from worker.outbox.control.withdrawals import CANCELLED, withdrawn_jobs
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.order_queue import parts_in_orders
from worker.outbox.lanes.pauses import active_pauses
from worker.producer.chain import ReplayScope, original_and_replays
from worker.producer.resend import replay_row, require_not_withdrawn
from worker.reporting.find_job import row_of

FAILED = frozenset({JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED, JobState.PARTIAL})
"""The states of ended jobs that did not reach all, and of which nothing is in doubt."""
BATCH_SIZE = 100
"""Jobs that are moved in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovableJobs(JobSelection):
    """The sends of a filter that wait, or ended without reaching all recipients."""

    waiting: frozenset[str]
    """Ids of those of which something waits."""
    to_account: str | None
    """The account that sends them instead, or None if none was named yet."""


def find_movable(
    filter: JobFilter,
    *,
    to_account: Annotated[str | None, Option("The account that sends them instead.", is_beside_button=True)] = None,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
) -> MovableJobs:
    """Finds the sends of a filter that wait, or ended without reaching all recipients, on another than `to_account`.

    Left out are jobs that were cancelled, recalled or corrected, and of those that wait the `busy` ones, of which a
    call is in flight or in doubt, and the `held` ones, which `breakdown` counts. It also counts those that are
    `moved_waiting`, and those with an order (`moved_ordered`). Raises CheckFailed if `to_account` is no account of the
    same channel and the same people (`Channel.media_scope`) as a job's own, for a filter with neither `created_from`
    nor a selective field, and for a filter of single parts or of calls.
    """
    require_filter(filter)
    filter.require_ended_jobs("a move")
    jobs: dict[str, MatchingJob] = {}
    breakdown, waiting = Counter[str](), set[str]()
    with open_outbox(database, settings) as (outbox, settings_in_use), outbox.reading() as connection:
        open_jobs = (job for job, _ in open_parts(connection, filter))
        found = {job.id: job for job in open_jobs if is_send(job) and job.account != to_account}
        for ids in batched(found, PAGE):
            stays, counts = _stays(connection, ids)
            breakdown += counts
            waiting |= {*ids} - stays
            jobs |= {id: found[id] for id in ids if id not in stays}
        now = read_now(connection, outbox.now)
        ended = ended_jobs(connection, filter, now, accepted=False, unknown=False, since=None)
        for ids in batched((job.id for job in ended if job.state in FAILED), PAGE):
            left = {*ids} - withdrawn_jobs(connection, ids).keys()
            selected = (job for job in jobs_of(connection, filter, left) if is_send(job) and job.account != to_account)
            jobs |= {job.id: job for job in selected}
        missing = missing_jobs(connection, filter.part_or_job_ids())
    breakdown["moved_waiting"] = len(waiting)
    if to_account is not None and jobs:
        _require_same_people(to_account, jobs.values(), accounts or accounts_of(settings_in_use))
    return MovableJobs(
        filter,
        tuple(sorted(jobs)),
        Counter((job.account, job.kind) for job in jobs.values()),
        +breakdown,
        tuple(missing),
        waiting=frozenset(waiting),
        to_account=to_account,
    )


def _stays(connection: Connection, ids: Sequence[str]) -> tuple[set[str], Counter[str]]:
    """Returns those of the open jobs that are not moved, and counts them and those with an order."""
    parts = [part for job in job_sizes(connection, ids).values() for part in job.part_ids()]
    withdrawn = withdrawn_jobs(connection, ids).keys()
    busy = _busy(connection, parts) - withdrawn
    held = {pause.job_id for pause in active_pauses(connection, ids) if pause.job_id is not None} - busy - withdrawn
    stays = withdrawn | busy | held
    ordered = {job_of(part) for part in parts_in_orders(connection, parts)} - stays
    return stays, Counter(busy=len(busy), held=len(held), moved_ordered=len(ordered))


def _busy(connection: Connection, parts: Sequence[str]) -> set[str]:
    """Returns the jobs of those of the parts that are in flight or in doubt."""
    in_doubt = {PartState.SENDING, PartState.UNKNOWN}
    return {
        job_of(part.id)
        for part in part_statuses(connection, parts)
        if part.state in in_doubt or (part.state is PartState.QUEUED and part.in_doubt)
    }


def _require_same_people(name: str, jobs: Collection[MatchingJob], accounts: AccountSource) -> None:
    target = usable(accounts, name)
    remedy = "name another account of the same corp, server or webhook"
    for own_name, own_channel in sorted({(job.account, job.channel) for job in jobs}):
        if own_channel != target.channel:
            text = f"is of channel {target.channel}, and there are jobs of {own_channel}"
            raise CheckFailed([Problem("to_account", text, "name an account of the jobs' own channel")])
        scope = channel(own_channel).media_scope
        if scope(accounts.get(own_name)) != scope(target):
            raise CheckFailed([Problem("to_account", f"has other people and files than {own_name}", remedy)])


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
    """Cancels what waits of these jobs, and enqueues a replay of each on the other account.

    A replay goes to the recipients whom no try reached and of whom none is in doubt. It keeps the job's priority, tags
    and order_key, a due time that is still to come, and the expiry of a job that waited. Among each other the moved
    jobs keep their order. The result counts `moved` jobs, whose replays are its `jobs`, those that were `cancelled` for
    it, and `refused` jobs, each with a note, of which nothing has changed. Commits by itself, 100 jobs at a time, and
    may be called again.
    """
    if (account := selection.to_account) is None:
        raise CheckFailed([Problem("to_account", "is missing", "name the account that sends them instead")])
    replays, reasons, arguments = list[str](), dict[str, str](), {**audit_arguments(selection), "to_account": account}
    with audited("move", person=person, why=why, arguments=arguments, database=database, settings=settings) as command:
        account_source = accounts or accounts_of(command.settings)
        on_begin(command.id)
        move = _Move(command.database, selection.waiting, account, account_source, bool(command.settings.hooks))
        for batch in command.batches(selection.ids, BATCH_SIZE, progress):
            moved, refused = move.batch(batch)
            replays += moved.values()
            add_reasons(reasons, refused)
            cancelled = len(moved.keys() & selection.waiting)
            command.counts += Counter(moved=len(moved), cancelled=cancelled, refused=len(refused))
    return CommandResult(command.id, command.counts, tuple(replays), reasons)


@dataclass(frozen=True, slots=True)
class _Move:
    """A run."""

    database: Database
    waiting: frozenset[str]
    account: str
    accounts: AccountSource
    has_hooks: bool

    def batch(self, ids: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Moves the jobs in one transaction, or in halves if one of them is refused.

        Returns job -> replay, and by job the reason why it was refused.
        """
        refused: dict[str, str] = {}
        with collect_refusal(refused, ids[0]):
            return self.database.run(partial(self._move, ids=ids)), {}
        if len(ids) == 1:
            return {}, refused
        half = len(ids) // 2
        (moved, refused), (moved_too, refused_too) = self.batch(ids[:half]), self.batch(ids[half:])
        return moved | moved_too, refused | refused_too

    def _move(self, connection: Connection, ids: Sequence[str]) -> dict[str, str]:
        cancelled = {*self._cancel(connection, [id for id in ids if id in self.waiting])}
        lock_with_originals(connection, ids)
        withdrawn = withdrawn_jobs(connection, ids)
        require_not_withdrawn(
            connection, [id for id, one in withdrawn.items() if id not in cancelled or one.how != CANCELLED]
        )
        return {id: self._replay(connection, id, was_waiting=id in cancelled) for id in ids}

    def _cancel(self, connection: Connection, ids: Sequence[str]) -> list[str]:
        """Ends what waits of these jobs. Returns those of them that had not ended before."""
        marked = mark_cancelled(connection, self.database.now, ids)
        parts = [part for job in job_sizes(connection, marked).values() for part in job.part_ids()]
        for id in sorted(_busy(connection, parts)):
            raise NotReplayable(f"a call of job {id} is in flight or in doubt; move it when that has ended", job=id)
        changes = [stop("cancelled", part, is_searched=False) for part in parts]
        carry_out(connection, self.database.now, changes, Policy(), has_hooks=self.has_hooks)
        return marked

    def _replay(self, connection: Connection, id: str, *, was_waiting: bool) -> str:
        old = row_of(connection, id)
        later = [str(row["id"]) for row in original_and_replays(connection, old)]
        require_not_withdrawn(connection, later[later.index(id) + 1 :])
        # `cancelled`: by this move, else it would have been refused.
        scope = ReplayScope(cancelled=was_waiting)
        replay = replay_row(
            connection, old, scope, None, None, self.accounts, to_account=self.account, keeps_expiry=was_waiting
        )
        return replay.id


def _lines(result: CommandResult, options: Mapping[str, object]) -> Iterator[str]:
    count = result.counts
    yield f"{plural(count['moved'], 'job')} moved, {count['refused']} refused (audit {result.audit})"


def _might_apply(job: JobStatus) -> bool:
    is_withdrawn = job.is_cancelled or job.is_recalled or job.is_corrected
    return job.is_send and not (is_withdrawn or job.is_held) and (job.has_waiting or job.state in FAILED)


COMMAND = Command(
    name="move",
    help="Sends what waits or failed through another account of the same people; says how many, and asks.",
    find=find_movable,
    run=move_jobs,
    question="move these {count} jobs?",
    nothing="none of these jobs waits or failed, on another account than the one that is named",
    lines=_lines,
    done=("moved",),
    might_apply=_might_apply,
    is_about_ended=True,
)
