"""Recalls many jobs. Each recall is a job that is enqueued in the same way as by an application."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.channels.registry import channel, names
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.opening import open_outbox
from worker.control.refusals import collect_refusal
from worker.control.selection import JobSelection
from worker.domain.job import Kind
from worker.domain.job_filter import JobFilter
from worker.outbox.control.matching import missing_jobs
from worker.outbox.control.sent import PAGE, lock_recalled, sent_jobs
from worker.outbox.control.withdrawals import recalled_jobs
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import recall_targets
from worker.producer.insert import follow_up_request, insert
from worker.producer.plan import PlannedJob, plan
from worker.reporting.find_job import require_found

BATCH_SIZE = 200
"""Recalls in one transaction."""
RECALLED = "another recall of it was enqueued meanwhile"


def find_sent(filter: JobFilter, *, settings: Settings | None = None, database: Database | None = None) -> JobSelection:
    """Finds the jobs of a filter whose messages the vendor may be able to recall.

    Reads the database of the settings, by default those in force. Jobs with a recall that is open or was accepted are
    left out, so that a run that was cut short can be repeated, and so are replays that the recall of their original
    reaches. Raises CheckFailed for a filter with neither `created_from` nor a selective field, which would read all
    jobs, and for a filter of single parts or of calls.
    """
    filter.require_ended_jobs("a recall")
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        jobs = [
            job
            for job in sent_jobs(connection, filter, read_now(connection, outbox.now))
            if job.channel in names() and channel(job.channel).follow_up_problem(Kind.RECALL, job.kind) is None
        ]
        reached = _reached_by_originals(connection, [job.id for job in jobs])
        missing = missing_jobs(connection, filter.part_or_job_ids())
    jobs = [job for job in jobs if job.id not in reached]
    counts = Counter((job.account, job.kind) for job in jobs)
    return JobSelection(filter, tuple(sorted(job.id for job in jobs)), counts, missing=tuple(missing))


def _reached_by_originals(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Returns those of the jobs that are replays of another of them, or of a job whose recall reaches them."""
    all_ids, reached = {*ids}, set[str]()
    for batch in batched(ids, PAGE):
        reached |= {id for id, row in recall_targets(connection, batch).items() if row["replay_of"] in all_ids}
        reached |= recalled_jobs(connection, batch, or_open=True)
    return reached


def recall_jobs(
    selection: JobSelection,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
    progress: Callable[[int], object] = lambda done: None,
    on_begin: Callable[[str], object] = lambda audit: None,
) -> CommandResult:
    """Enqueues a recall of each job. It cancels what was not sent, and recalls what was sent, if that is possible.

    The vendor recalls messages for 24 h (page 94867, 撤回应用消息). `get_job` with the id of a recall shows its result.
    `person` is who recalls and `why` the reason; the audit keeps both. The result counts `recalls`, whose ids are its
    `jobs`, and `refused` jobs, each with a note. The command commits by itself, 200 jobs at a time. `progress` is
    called with the number of jobs done so far.
    """
    recalls, refused = list[str](), dict[str, str]()
    arguments = {"filter": selection.filter.conditions(), "jobs": len(selection.ids)}
    with audited(
        "recall", person=person, why=why, arguments=arguments, database=database, settings=settings
    ) as command:
        account_source = accounts or accounts_of(command.settings)
        on_begin(command.id)
        for batch in command.batches(selection.ids, BATCH_SIZE, progress):
            enqueued, reasons = command.database.run(partial(_recall_once, ids=batch, accounts=account_source))
            recalls += enqueued
            refused |= reasons
            command.counts += Counter(recalls=len(enqueued), refused=len(reasons))
    return CommandResult(command.id, command.counts, tuple(recalls), refused)


def _recall_once(
    connection: Connection, ids: Sequence[str], accounts: AccountSource
) -> tuple[list[str], dict[str, str]]:
    """Recalls the jobs that no other command has recalled since they were selected."""
    recalled = lock_recalled(connection, ids) | recalled_jobs(connection, ids, or_open=True)
    recalls, refused = recall_all(connection, [id for id in ids if id not in recalled], accounts)
    return recalls, refused | dict.fromkeys(recalled, RECALLED)


def recall_all(connection: Connection, ids: Sequence[str], accounts: AccountSource) -> tuple[list[str], dict[str, str]]:
    """Enqueues a recall of each job. Returns the ids of the recalls, and by job the reason why it was refused."""
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
