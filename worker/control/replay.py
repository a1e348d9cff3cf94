"""Replays many jobs. Each replay is a job, linked to the original, for the recipients who did not get the message.

A run may be cut short at any moment: each batch of replays is one transaction, and the links show which jobs were
replayed. A batch locks its jobs, so two runs at the same time never replay the same job.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.command import Command, Option
from worker.control.opening import open_outbox
from worker.control.refusals import add_reasons, collect_refusal, require_rate
from worker.control.selection import JobSelection
from worker.domain.errors import CheckFailed, aware_problems
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.state import JobState
from worker.language import plural
from worker.outbox.control.matching import missing_jobs
from worker.outbox.control.sent import PAGE, ended_jobs, lock_with_originals, may_have_been_sent_since
from worker.outbox.control.withdrawals import Withdrawal, WithdrawnJob, withdrawals, withdrawn_jobs
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.clock import micros_of
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.producer.chain import ReplayScope
from worker.producer.options import PriorityName, option_problems
from worker.producer.resend import replay_row
from worker.reporting.find_job import row_of

BATCH_SIZE = 100
"""Replays in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayableJobs(JobSelection):
    """The jobs of a filter that did not reach all recipients."""

    accepted: bool
    """Whether jobs are included that reached all recipients."""
    unknown: bool
    """Whether jobs in doubt are included, which may have reached their recipients."""
    cancelled: bool
    """Whether jobs are included that were cancelled, recalled or corrected."""
    omitted: tuple[Withdrawal, ...] = ()
    """The cancels, recalls and corrections because of which jobs are left out: who, when, why, and how many jobs."""
    since: datetime | None
    """When the run began that this one continues, or None if this is a new run."""


def find_replayable(
    filter: JobFilter,
    *,
    accepted: Annotated[bool, Option("Also to those who got it.")] = False,
    unknown: Annotated[bool, Option("Also to those for whom the result is unknown.")] = False,
    cancelled: Annotated[bool, Option("Also what was cancelled, recalled or corrected.")] = False,
    since: datetime | None = None,
    settings: Settings | None = None,
    database: Database | None = None,
) -> ReplayableJobs:
    """Finds the ended jobs of a filter that did not reach all recipients: refused, given up, expired, or in part.

    `accepted=True` includes jobs that did, `unknown=True` jobs of which this is not known, and `cancelled=True` jobs
    that were cancelled, recalled or corrected, which are otherwise only counted in `omitted`. To continue a run that
    was cut short, pass the `began_at` of its audit entry as `since`: jobs that were replayed since then are left out.
    `breakdown` counts the jobs that were called `lately`, within the vendor's duplicate window, and not refused, so
    that an equal message may still be on its way. Raises CheckFailed for a filter with neither `created_from` nor a
    selective field, which would read all jobs, and for a filter of single parts or of calls.
    """
    require_filter(filter)
    filter.require_ended_jobs("a replay")
    if problems := [*aware_problems("since", since)]:
        raise CheckFailed(problems)
    ids, counts, omitted = list[str](), Counter[tuple[str, str]](), dict[str, WithdrawnJob]()
    since_us = None if since is None else micros_of(since)
    with open_outbox(database, settings) as (outbox, settings_in_use), outbox.reading() as connection:
        now = read_now(connection, outbox.now)
        for jobs in batched(
            ended_jobs(connection, filter, now, accepted=accepted, unknown=unknown, since=since_us), PAGE
        ):
            omitted |= {} if cancelled else withdrawn_jobs(connection, [job.id for job in jobs])
            jobs = [job for job in jobs if job.id not in omitted]
            ids += [job.id for job in jobs]
            counts.update((job.account, job.state.label) for job in jobs)
        missing = missing_jobs(connection, filter.part_or_job_ids())
        window_start = now - int(settings_in_use.delivery.duplicate_window_s * 1_000_000)
        lately = sum(
            may_have_been_sent_since(connection, page, window_start, accepted=accepted) for page in batched(ids, PAGE)
        )
        withdrawn = withdrawals(connection, omitted.values())
    breakdown, scope = {"lately": lately} if lately else {}, ReplayScope(accepted, unknown, cancelled)._asdict()
    return ReplayableJobs(
        filter, tuple(ids), counts, breakdown, tuple(missing), **scope, omitted=withdrawn, since=since
    )


def replay_jobs(
    selection: ReplayableJobs,
    *,
    person: str,
    why: str = "",
    priority: Annotated[PriorityName | None, Option("urgent, normal, bulk")] = None,
    rate: Annotated[float | None, Option("Most jobs per second.", least=0.01)] = None,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
    progress: Callable[[int], object] = lambda done: None,
    on_begin: Callable[[str], object] = lambda audit: None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> CommandResult:
    """Enqueues a replay of each job, by the rules of `replay`, and commits by itself, 100 jobs at a time.

    `priority` is that of the replays, by default each original's, and `rate` the maximum of jobs per second. `person`
    is who replays and `why` the reason; the audit keeps both. The result counts `replays`, whose ids are its `jobs`,
    and `refused` jobs, at most 1,000 of them with a note. `progress` is called with the number of jobs done so far, and
    `on_begin` with the id of the audit entry.
    """
    _require_options(priority, rate)
    scope = ReplayScope(selection.accepted, selection.unknown, selection.cancelled)
    arguments = {"filter": selection.filter.conditions(), **scope._asdict(), "rate": rate, "priority": priority}
    arguments |= {"since": None if selection.since is None else selection.since.isoformat(), "jobs": len(selection.ids)}
    size = BATCH_SIZE if rate is None else max(1, min(BATCH_SIZE, int(rate)))
    replays, reasons, batch_started_at = list[str](), dict[str, str](), monotonic()
    with audited(
        "replay", person=person, why=why, arguments=arguments, database=database, settings=settings
    ) as command:
        account_source = accounts or accounts_of(command.settings)
        replay_batch = partial(_replay, scope=scope, accounts=account_source, priority=priority)
        on_begin(command.id)
        for batch in command.batches(selection.ids, size, progress):
            if rate is not None and command.counts and (early := size / rate - (monotonic() - batch_started_at)) > 0:
                sleep(early)
            batch_started_at = monotonic()
            enqueued, refused = command.database.run(partial(replay_batch, ids=batch))
            replays += enqueued
            add_reasons(reasons, refused)
            command.counts += Counter(replays=len(enqueued), refused=len(refused))
    return CommandResult(command.id, command.counts, tuple(replays), reasons)


def _require_options(priority: PriorityName | None, rate: float | None) -> None:
    if problems := [*option_problems({"priority": priority})]:
        raise CheckFailed(problems)
    if rate is not None:
        require_rate(rate)


def _lines(result: CommandResult, options: Mapping[str, object]) -> Iterator[str]:
    """Yields the new job's id for a single job, else the counts."""
    replays, refused = len(result.jobs), result.counts["refused"]
    if replays == 1 and not refused:
        yield result.jobs[0]
        return
    yield f"{plural(replays, 'replay')} enqueued, {refused} refused (audit {result.audit})"
    if replays:
        yield "what was enqueued is sent as fast as the limits allow"


COMMAND = Command(
    name="replay",
    help="Sends ended jobs once more, as new jobs, to the recipients whom they did not reach; prints the id of one.",
    find=find_replayable,
    run=replay_jobs,
    question="replay these {count} jobs?",
    nothing=(
        "none of these jobs has ended without reaching all recipients;"
        " --accepted, --unknown and --cancelled include the others"
    ),
    lines=_lines,
    done=("replays",),
    might_apply=lambda job: job.state is not JobState.OPEN,
    check=lambda options: _require_options(**options),
    is_about_ended=True,
)


def _replay(
    connection: Connection,
    ids: Sequence[str],
    scope: ReplayScope,
    accounts: AccountSource,
    priority: PriorityName | None,
) -> tuple[list[str], dict[str, str]]:
    enqueued, refused = list[str](), dict[str, str]()
    for id in lock_with_originals(connection, ids):
        # Whole rows, one at a time: a message may have megabytes.
        with collect_refusal(refused, id):
            replay = replay_row(connection, row_of(connection, id), scope, priority, None, accounts)
            enqueued.append(replay.id)
    return enqueued, refused
