"""Replays of many jobs: each is a job of its own, linked to the first, for the recipients whom that did not reach.

A run may be cut short at any moment: each lot of replays is one transaction, and what was replayed is found by the
links. A lot locks the jobs that it replays, so that of two runs at the same time one replays each.
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
from worker.control.found import FoundJobs
from worker.control.opening import at_hand
from worker.control.refusals import add_reasons, refusal_noted, require_rate
from worker.domain.job_filter import JobFilter
from worker.outbox.control.matching import missing_jobs
from worker.outbox.control.sent import PAGE, called_since, ended_jobs, lock_chains
from worker.outbox.control.withdrawals import Withdrawal, WithdrawnJob, withdrawals, withdrawn_jobs
from worker.outbox.engine.bulk import in_lots
from worker.outbox.engine.clock import micros_of
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.producer.chain import Also
from worker.producer.options import PriorityName
from worker.producer.resend import replayed
from worker.reporting.find_job import row_of

TOGETHER = 100
"""Replays in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayableJobs(FoundJobs):
    """The jobs of a filter that did not reach all recipients, as they were when it was asked."""

    accepted: bool
    """Whether jobs that reached all recipients are among them."""
    unknown: bool
    """Whether jobs are among them of which it is not known whom they reached."""
    cancelled: bool
    """Whether jobs that were cancelled or recalled are among them."""
    left_out: tuple[Withdrawal, ...] = ()
    """The commands that cancelled or recalled jobs which are left out for that: by whom, when and why, and how many."""
    since: datetime | None
    """When the run began with which this one goes on; None: it goes on with none."""


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
    """The ended jobs of a filter that did not reach all recipients: refused, given up, expired, or in part.

    `accepted=True`: also those that did; `unknown=True`: also those of which that is not known; `cancelled=True`: also
    those that were cancelled or recalled, which are otherwise only counted in `left_out`. `since`: when a run
    began that was cut short (`began_at` of its audit row); without what was replayed since then. CheckFailed for a
    filter with neither `created_from` nor a field that names few, which would read all jobs there are, and for one of
    parts or calls. `among`: how many were called `lately`, within the vendor's duplicate window, so that an equal
    message may still be on its way.
    """
    wanted.require_ended_jobs("a replay")
    ids, counts, left_out = list[str](), Counter[tuple[str, str]](), dict[str, WithdrawnJob]()
    at = None if since is None else micros_of(since)
    with at_hand(database, settings) as (outbox, in_force), outbox.reading() as connection:
        now = read_now(connection, outbox.now)
        for jobs in in_lots(ended_jobs(connection, wanted, now, accepted=accepted, unknown=unknown, since=at), PAGE):
            left_out |= {} if cancelled else withdrawn_jobs(connection, [job.id for job in jobs])
            jobs = [job for job in jobs if job.id not in left_out]
            ids += [job.id for job in jobs]
            counts.update((job.account, job.state.label) for job in jobs)
        missing = missing_jobs(connection, wanted.part_or_job_ids())
        window = now - int(in_force.delivery.duplicate_window_s * 1_000_000)
        lately = sum(called_since(connection, page, window) for page in in_lots(ids, PAGE))
        by = withdrawals(connection, left_out.values())
    among, also = {"lately": lately} if lately else {}, Also(accepted, unknown, cancelled)._asdict()
    return ReplayableJobs(wanted, tuple(ids), counts, among, tuple(missing), **also, left_out=by, since=since)


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

    `rate`: at most so many jobs a second. `person` says who replays, `why` for which reason; both are kept in the
    audit. It counts `replays`, whose ids are its `jobs`, and `refused`, 1,000 at most of them with a note. `progress`
    is called with the number of jobs that were gone through, `began` with the id of the audit's row.
    """
    if rate is not None:
        require_rate(rate)
    also = Also(found.accepted, found.unknown, found.cancelled)
    asked = {"filter": found.wanted.asked(), **also._asdict(), "rate": rate}
    asked |= {"since": None if found.since is None else found.since.isoformat(), "jobs": len(found.ids)}
    size = TOGETHER if rate is None else max(1, min(TOGETHER, int(rate)))
    replays, reasons, begun = list[str](), dict[str, str](), monotonic()
    with audited("replay", person=person, why=why, asked=asked, database=database, settings=settings) as running:
        known = accounts or accounts_of(running.settings)
        lot = partial(_replay, also=also, accounts=known, priority=priority)
        began(running.id)
        for few in running.lots(found.ids, size, progress):
            if rate is not None and running.counts and (early := size / rate - (monotonic() - begun)) > 0:
                sleep(early)
            begun = monotonic()
            made, refused = running.database.run(partial(lot, ids=few))
            replays += made
            add_reasons(reasons, refused)
            running.counts += Counter(replays=len(made), refused=len(refused))
    return Done(running.id, running.counts, tuple(replays), reasons)


def _replay(
    connection: Connection,
    ids: Sequence[str],
    also: Also,
    accounts: AccountSource,
    priority: PriorityName | None,
) -> tuple[list[str], dict[str, str]]:
    made, refused = list[str](), dict[str, str]()
    for id in lock_chains(connection, ids):
        # Whole rows one by one: a message may have megabytes.
        with refusal_noted(refused, id):
            again = replayed(connection, row_of(connection, id), also, priority, None, accounts)
            made.append(again.id)
    return made, refused
