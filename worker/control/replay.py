"""Replays many jobs. Each replay is a job of its own, linked to the first, for the recipients whom that did not reach.

A run may be cut short at any moment: each batch of replays is one transaction, and the links tell what was replayed. A
batch locks the jobs that it replays, so two runs at the same time never replay the same job.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import Done, audited
from worker.control.opening import open_outbox
from worker.control.refusals import add_reasons, collect_refusal, require_rate
from worker.control.selection import FoundJobs
from worker.domain.job_filter import JobFilter
from worker.outbox.control.matching import missing_jobs
from worker.outbox.control.sent import PAGE, called_since, ended_jobs, lock_with_originals
from worker.outbox.control.withdrawals import Withdrawal, WithdrawnJob, withdrawals, withdrawn_jobs
from worker.outbox.engine.bulk import in_lots
from worker.outbox.engine.clock import micros_of
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.producer.chain import ReplayScope
from worker.producer.options import PriorityName
from worker.producer.resend import replay_row
from worker.reporting.find_job import row_of

BATCH_SIZE = 100
"""Replays in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayableJobs(FoundJobs):
    """The jobs of a filter that did not reach all recipients, as they were when they were searched for."""

    accepted: bool
    """Whether jobs that reached all recipients are included."""
    unknown: bool
    """Whether jobs in doubt are included, of which it is not known whom they reached."""
    cancelled: bool
    """Whether jobs that were cancelled or recalled are included."""
    left_out: tuple[Withdrawal, ...] = ()
    """The commands whose cancelled or recalled jobs are not included: by whom, when and why, and how many."""
    since: datetime | None
    """When the run began that this one continues, or None if it continues none."""


def find_replayable(
    wanted: JobFilter,
    *,
    accepted: bool = False,
    unknown: bool = False,
    cancelled: bool = False,
    since: datetime | None = None,
    settings: Settings | None = None,
    database: Database | None = None,
) -> ReplayableJobs:
    """Finds the ended jobs of a filter that did not reach all recipients: refused, given up, expired, or in part.

    `accepted=True` includes jobs that did; `unknown=True` those of which this is not known; `cancelled=True` those that
    were cancelled or recalled, which are otherwise only counted in `left_out`. `since` is when a run began that was cut
    short (`began_at` of its audit row): jobs that were replayed since then are left out. Raises CheckFailed for a
    filter with neither `created_from` nor a selective field, which would read all jobs there are, and for one of parts
    or calls. `among` counts the jobs that were called `lately`, within the vendor's duplicate window, so that an equal
    message may still be on its way.
    """
    wanted.require_ended_jobs("a replay")
    ids, counts, left_out = list[str](), Counter[tuple[str, str]](), dict[str, WithdrawnJob]()
    since_us = None if since is None else micros_of(since)
    with open_outbox(database, settings) as (outbox, settings_in_use), outbox.reading() as connection:
        now = read_now(connection, outbox.now)
        for jobs in in_lots(
            ended_jobs(connection, wanted, now, accepted=accepted, unknown=unknown, since=since_us), PAGE
        ):
            left_out |= {} if cancelled else withdrawn_jobs(connection, [job.id for job in jobs])
            jobs = [job for job in jobs if job.id not in left_out]
            ids += [job.id for job in jobs]
            counts.update((job.account, job.state.label) for job in jobs)
        missing = missing_jobs(connection, wanted.part_or_job_ids())
        window_start = now - int(settings_in_use.delivery.duplicate_window_s * 1_000_000)
        lately = sum(called_since(connection, page, window_start) for page in in_lots(ids, PAGE))
        withdrawn = withdrawals(connection, left_out.values())
    breakdown, also = {"lately": lately} if lately else {}, ReplayScope(accepted, unknown, cancelled)._asdict()
    return ReplayableJobs(
        wanted, tuple(ids), counts, breakdown, tuple(missing), **also, left_out=withdrawn, since=since
    )


def replay_found(
    found: ReplayableJobs,
    *,
    person: str,
    why: str = "",
    priority: PriorityName | None = None,
    rate: float | None = None,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
    progress: Callable[[int], object] = lambda done: None,
    began: Callable[[str], object] = lambda audit: None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Done:
    """Enqueues a replay of each job, by the rules of `replay`, and commits by itself, 100 at a time.

    `rate` is the most jobs a second. `person` is who replays and `why` the reason; the audit keeps both. The result
    counts `replays`, whose ids are its `jobs`, and `refused`, at most 1,000 of them with a note. `progress` is called
    with the number of jobs done so far, `began` with the id of the audit's row.
    """
    if rate is not None:
        require_rate(rate)
    also = ReplayScope(found.accepted, found.unknown, found.cancelled)
    asked = {"filter": found.wanted.asked(), **also._asdict(), "rate": rate}
    asked |= {"since": None if found.since is None else found.since.isoformat(), "jobs": len(found.ids)}
    size = BATCH_SIZE if rate is None else max(1, min(BATCH_SIZE, int(rate)))
    replays, reasons, batch_began = list[str](), dict[str, str](), monotonic()
    with audited("replay", person=person, why=why, asked=asked, database=database, settings=settings) as command:
        account_source = accounts or accounts_of(command.settings)
        replay_batch = partial(_replay, also=also, accounts=account_source, priority=priority)
        began(command.id)
        for batch in command.batches(found.ids, size, progress):
            if rate is not None and command.counts and (early := size / rate - (monotonic() - batch_began)) > 0:
                sleep(early)
            batch_began = monotonic()
            enqueued, refused = command.database.run(partial(replay_batch, ids=batch))
            replays += enqueued
            add_reasons(reasons, refused)
            command.counts += Counter(replays=len(enqueued), refused=len(refused))
    return Done(command.id, command.counts, tuple(replays), reasons)


def _replay(
    connection: Connection,
    ids: Sequence[str],
    also: ReplayScope,
    accounts: AccountSource,
    priority: PriorityName | None,
) -> tuple[list[str], dict[str, str]]:
    enqueued, refused = list[str](), dict[str, str]()
    for id in lock_with_originals(connection, ids):
        # Whole rows, one at a time: a message may have megabytes.
        with collect_refusal(refused, id):
            replay = replay_row(connection, row_of(connection, id), also, priority, None, accounts)
            enqueued.append(replay.id)
    return enqueued, refused
