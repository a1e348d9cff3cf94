"""Moves jobs to another account of their corp: what waits goes there, and what failed is replayed there.

A job stays one job: its id, dedupe key, order and place, tags and times stay, and so does its account. Only the lanes
of its parts change, which say who sends them. So a cancel, a hold, a recall or a correction finds it as before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

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
from worker.domain.errors import CheckFailed, Problem, WorkerError
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.state import JobState
from worker.language import plural
from worker.outbox.control.cancels import open_parts
from worker.outbox.control.matching import MatchingJob, jobs_of, missing_jobs
from worker.outbox.control.moving import MovableJob, Stays, movable_jobs, move_waiting
from worker.outbox.control.sent import PAGE, ended_jobs, lock_with_originals
from worker.outbox.control.withdrawals import withdrawn_jobs
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key, lane_name
from worker.outbox.engine.sql import read_now
from worker.producer.chain import ReplayScope
from worker.producer.resend import check_on, replay_row
from worker.reporting.find_job import row_of

FAILED = frozenset({JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED})
"""The states of ended jobs of which nothing was sent."""
BATCH_SIZE = 100
"""Jobs that are moved in one transaction."""
STAYS = "it has ended, or something of it was sent or may have been, or its own account alone can send it"


@dataclass(frozen=True, slots=True, kw_only=True)
class MovableJobs(JobSelection):
    """The sends of a filter that wait or failed, and were sent to none yet."""

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
    """Finds the sends of a filter that wait for another account than `to_account` or failed, and were sent to none yet.

    `breakdown` counts those that are `moved_waiting`, and those that are left out: `moved_sent`, of which something was
    sent or may have been, by themselves or by a replay; and `bound`, which their account alone can send: to chats,
    customers or everyone, or a card with a task_id of the caller's. Ended jobs that were cancelled, recalled or
    corrected are left out, too. Raises CheckFailed if `to_account` is no account of the same channel, server and people
    (`Channel.media_scope`) as the one that sends a job, for a filter with neither `created_from` nor a selective field,
    and for a filter of single parts or of calls.
    """
    require_filter(filter)
    filter.require_ended_jobs("a move")
    with open_outbox(database, settings) as (outbox, settings_in_use), outbox.reading() as connection:
        search = _Search(to_account)
        open_jobs = {job.id: job for job, _ in open_parts(connection, filter) if is_send(job)}
        for ids in batched(open_jobs, PAGE):
            search.add(open_jobs, movable_jobs(connection, ids), counts_sent=True)
        now = read_now(connection, outbox.now)
        ended = ended_jobs(connection, filter, now, accepted=False, unknown=False, since=None)
        for ids in batched((job.id for job in ended if job.state in FAILED), PAGE):
            left = {*ids} - withdrawn_jobs(connection, ids).keys()
            failed = {job.id: job for job in jobs_of(connection, filter, left) if is_send(job)}
            search.add(failed, movable_jobs(connection, failed), counts_sent=False)
        missing = missing_jobs(connection, filter.part_or_job_ids())
    if to_account is not None:
        _require_same_people(to_account, search.senders, accounts or accounts_of(settings_in_use))
    return MovableJobs(
        filter,
        tuple(sorted(search.jobs)),
        Counter((job.account, job.kind) for job in search.jobs.values()),
        +search.breakdown,
        tuple(missing),
        waiting=frozenset(search.waiting),
        to_account=to_account,
    )


class _Search:
    """The jobs that are moved, and what the preview counts of them."""

    def __init__(self, to_account: str | None):
        self._to_account = to_account
        self.jobs: dict[str, MatchingJob] = {}
        self.waiting = set[str]()
        self.senders = set[tuple[str, str]]()
        """Account and channel of who sends them now."""
        self.breakdown = Counter[str]()

    def add(self, found: Mapping[str, MatchingJob], movable: Mapping[str, MovableJob], *, counts_sent: bool) -> None:
        """Adds those that can be moved. `counts_sent`: what was sent in part is counted; it is still open."""
        for id, job in movable.items():
            if job.stays is Stays.SENT:
                self.breakdown["moved_sent"] += counts_sent
            elif job.stays is Stays.BOUND:
                self.breakdown["bound"] += 1
            elif job.stays is None and job.sender != self._to_account:
                self.jobs[id] = found[id]
                self.senders.add((job.sender, job.channel))
                if job.is_open:
                    self.waiting.add(id)
                    self.breakdown["moved_waiting"] += 1


def _require_same_people(name: str, senders: Iterable[tuple[str, str]], accounts: AccountSource) -> None:
    target = usable(accounts, name)
    for own_name, own_channel in sorted(senders):
        if own_channel != target.channel:
            text = f"is of channel {target.channel}, and there are jobs of {own_channel}"
            raise CheckFailed([Problem("to_account", text, "name an account of the jobs' own channel")])
        own, scope = accounts.get(own_name), channel(own_channel).media_scope
        if (scope(own), own.base_url) != (scope(target), target.base_url):
            text = f"has other people and files than {own_name}"
            raise CheckFailed([Problem("to_account", text, "name another app of the same corp")])


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
    """Lets the other account send these jobs: what waits as it is, and a replay of what failed.

    What waits is due at once, or when its job is due; a limit or a pause of the first account holds it no longer.
    Recalls and updates that wait for a job go with it; later ones, and replays, go by the account that sends it. The
    result counts `moved` jobs and `replays`, whose ids are its `jobs`, and `refused` jobs, each with a note, of which
    nothing has changed. Commits by itself, 100 jobs at a time, and may be called again.
    """
    if (account := selection.to_account) is None:
        raise CheckFailed([Problem("to_account", "is missing", "name the account that sends them instead")])
    replays, reasons, arguments = list[str](), dict[str, str](), {**audit_arguments(selection), "to_account": account}
    with audited("move", person=person, why=why, arguments=arguments, database=database, settings=settings) as command:
        account_source = accounts or accounts_of(command.settings)
        on_begin(command.id)
        for batch in command.batches(selection.ids, BATCH_SIZE, progress):
            move = partial(_move, now=command.database.now, ids=batch, selection=selection, accounts=account_source)
            moved, enqueued, refused = command.database.run(move)
            replays += enqueued
            add_reasons(reasons, refused)
            command.counts += Counter(moved=len(moved), replays=len(enqueued), refused=len(refused))
    return CommandResult(command.id, command.counts, tuple(replays), reasons)


def _move(
    connection: Connection, now: str, ids: Sequence[str], selection: MovableJobs, accounts: AccountSource
) -> tuple[set[str], list[str], dict[str, str]]:
    account, waiting, replays, refused = str(selection.to_account), list[str](), list[str](), dict[str, str]()
    lane_of = partial(_lane, lane_key(connection), account)
    for id in ids:
        with collect_refusal(refused, id):
            check_on(connection, row_of(connection, id), account, accounts)
            waiting += [id] if id in selection.waiting else []
    moved = move_waiting(connection, now, waiting, account, lane_of)
    refused |= dict.fromkeys([id for id in waiting if id not in moved], STAYS)
    failed = [id for id in ids if id not in selection.waiting and id not in refused]
    movable = movable_jobs(connection, lock_with_originals(connection, failed))
    for id in failed:
        with collect_refusal(refused, id):
            if id not in movable or movable[id].stays is not None:
                raise WorkerError(STAYS)
            replays.append(replay_row(connection, row_of(connection, id), ReplayScope(), None, None, accounts).id)
    on_account = {id for id, job in movable_jobs(connection, replays).items() if job.sender == account}
    if move_waiting(connection, now, replays, account, lane_of) | on_account != {*replays}:
        raise WorkerError(f"nothing was moved: {STAYS}")
    return moved, replays, refused


def _lane(key: bytes, account: str, job: MovableJob, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    return lane_name(key, account, channel(job.channel).lane(job.kind, message, spec), job.tenant)


def _lines(result: CommandResult, options: Mapping[str, object]) -> Iterator[str]:
    moved, replays, refused = (result.counts[name] for name in ("moved", "replays", "refused"))
    yield f"{plural(moved, 'job')} moved, {replays} replayed, {refused} refused (audit {result.audit})"


def _might_apply(job: JobStatus) -> bool:
    if not job.is_send or job.stays:
        return False
    return job.has_waiting or (job.state in FAILED and not (job.is_recalled or job.is_corrected))


COMMAND = Command(
    name="move",
    help="Lets another account of the same corp send what waits or failed; says how many, and asks.",
    find=find_movable,
    run=move_jobs,
    question="move these {count} jobs?",
    nothing="none of these jobs waits or failed, or their accounts alone can send them",
    lines=_lines,
    done=("moved", "replays"),
    might_apply=_might_apply,
    is_about_ended=True,
)
