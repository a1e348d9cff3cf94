"""Recalls many jobs. Each recall is a job of its own, enqueued in the same way as by an application."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.channels.registry import channel, names
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import Done, audited
from worker.control.opening import open_outbox
from worker.control.refusals import collect_refusal
from worker.control.selection import FoundJobs
from worker.domain.job import Kind
from worker.domain.job_filter import JobFilter
from worker.outbox.control.matching import missing_jobs
from worker.outbox.control.sent import sent_jobs
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import recall_targets
from worker.producer.insert import follow_up_request, insert
from worker.producer.plan import PlannedJob, plan
from worker.reporting.find_job import require_found

BATCH_SIZE = 200
"""Recalls in one transaction."""


def find_sent(wanted: JobFilter, *, settings: Settings | None = None, database: Database | None = None) -> FoundJobs:
    """Finds the jobs of a filter whose messages the vendor may take back, in the database of the settings.

    `settings` defaults to those in force. Jobs with a recall that is open or was accepted are left out, so a run that
    was cut short can be repeated. Raises CheckFailed for a filter with neither `created_from` nor a selective field,
    which would read all jobs there are, and for a filter of single parts or of calls.
    """
    wanted.require_ended_jobs("a recall")
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        jobs = [
            job
            for job in sent_jobs(connection, wanted, read_now(connection, outbox.now))
            if job.channel in names() and channel(job.channel).follow_up_problem(Kind.RECALL, job.kind) is None
        ]
        missing = missing_jobs(connection, wanted.part_or_job_ids())
    counts = Counter((job.account, job.kind) for job in jobs)
    return FoundJobs(wanted, tuple(sorted(job.id for job in jobs)), counts, missing=tuple(missing))


def recall_found(
    found: FoundJobs,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
    progress: Callable[[int], object] = lambda done: None,
    began: Callable[[str], object] = lambda audit: None,
) -> Done:
    """Enqueues a recall of each job: what was not sent is cancelled, and what was sent is taken back where it can be.

    The vendor takes a message back within 24 h (page 94867, 撤回应用消息); `get_job` of each recall says what became of
    it. `person` is who recalls and `why` the reason; the audit keeps both. The result counts `recalls`, whose ids are
    its `jobs`, and `refused`, each with a note. It commits by itself, 200 at a time; `progress` is called with the
    number of jobs done so far.
    """
    recalls, refused = list[str](), dict[str, str]()
    asked = {"filter": found.wanted.asked(), "jobs": len(found.ids)}
    with audited("recall", person=person, why=why, asked=asked, database=database, settings=settings) as command:
        account_source = accounts or accounts_of(command.settings)
        began(command.id)
        for batch in command.batches(found.ids, BATCH_SIZE, progress):
            enqueued, reasons = command.database.run(partial(recall_all, ids=batch, accounts=account_source))
            recalls += enqueued
            refused |= reasons
            command.counts += Counter(recalls=len(enqueued), refused=len(reasons))
    return Done(command.id, command.counts, tuple(recalls), refused)


def recall_all(connection: Connection, ids: Sequence[str], accounts: AccountSource) -> tuple[list[str], dict[str, str]]:
    """Enqueues a recall of each job. Returns the ids of the recalls, and the reason for each refused job."""
    rows, key, planned, refused = (
        recall_targets(connection, ids),
        lane_key(connection),
        list[PlannedJob](),
        dict[str, str](),
    )
    for id in ids:
        with collect_refusal(refused, id):
            request = follow_up_request(
                require_found(rows.get(id), id), Kind.RECALL, {}, {"priority": "urgent"}, accounts
            )
            planned.append(plan(request, key))
    return [job.id for job in insert(connection, planned)], refused
