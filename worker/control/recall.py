"""Takes back many jobs: cancels at once what waits, and enqueues a recall of each job that may have been sent.

Each recall is an urgent job. When its turn comes, `delivery/resolver/recall_and_update.py` decides what it has to call.
All jobs are cancelled before the first recall is enqueued, so nothing of them is sent meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.cancel import MARK_BATCH, make_committer, mark_jobs, stop_jobs
from worker.control.command import Command
from worker.control.job_status import JobStatus
from worker.control.opening import open_outbox
from worker.control.refusals import collect_refusal
from worker.control.selection import MAX_LISTED, JobSelection, audit_arguments, has_recall, is_send
from worker.domain.job import JobKind
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.state import JobState
from worker.language import plural
from worker.outbox.control.matching import missing_jobs
from worker.outbox.control.sent import PAGE, TakenBack, lock_recalled, sent_jobs, take_back_effects
from worker.outbox.control.withdrawals import follow_up_key, recalled_jobs
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import originals_of, recall_targets
from worker.outbox.jobs.target_job import senders
from worker.producer.insert import follow_up_request, insert
from worker.producer.options import JobOptions
from worker.producer.plan import PlannedJob, plan
from worker.reporting.find_job import require_found

BATCH_SIZE = 200
"""Jobs that are stopped, and then recalled in one transaction."""
RECALLED = "another recall of it was enqueued meanwhile"


def find_sent(filter: JobFilter, *, settings: Settings | None = None, database: Database | None = None) -> JobSelection:
    """Finds the jobs of a filter that may still be sent, or whose messages the vendor may be able to recall.

    Reads the database of the settings, by default those in force. Jobs with a recall that is open or was accepted are
    left out unless something of them still waits, so that a run that was cut short can be repeated, and so are replays
    that the recall of their original reaches. `breakdown` counts the jobs of which something is `waiting`, which is
    cancelled; those of which something was `sent`, or may have been, which is recalled; those of which that is
    `not_recallable`, because their channel has no recall (jobs of which all was sent are left out); and those that are
    `corrections` of other messages. Raises CheckFailed for a filter with neither `created_from` nor a selective field,
    which would read all jobs, and for a filter of single parts or of calls.
    """
    require_filter(filter)
    filter.require_ended_jobs("a recall")
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        sends = [job for job in sent_jobs(connection, filter, read_now(connection, outbox.now)) if is_send(job)]
        effects = dict[str, TakenBack]()
        for batch in batched((job.id for job in sends), PAGE):
            effects |= take_back_effects(connection, batch)
        reached = _reached_by_originals(connection, effects)
        missing = missing_jobs(connection, filter.part_or_job_ids())
    sends = [job for job in sends if job.id in effects and job.id not in reached]
    jobs = [job for job in sends if effects[job.id].is_open or has_recall(job)]
    selected = [effects[job.id] for job in jobs]
    breakdown = Counter(
        waiting=sum(effect.has_waiting for effect in selected),
        sent=sum(effects[job.id].has_sent and has_recall(job) for job in jobs),
        not_recallable=sum(effects[job.id].has_sent and not has_recall(job) for job in sends),
        corrections=sum(effect.is_correction for effect in selected),
    )
    counts = Counter((job.account, job.kind) for job in jobs)
    return JobSelection(filter, tuple(sorted(job.id for job in jobs)), counts, +breakdown, tuple(missing))


def _reached_by_originals(connection: Connection, jobs: Mapping[str, TakenBack]) -> set[str]:
    """Returns those of the jobs that are replays of another of them, or that a recall reaches and that do not wait."""
    reached = set[str]()
    for batch in batched(jobs, PAGE):
        reached |= {id for id, row in recall_targets(connection, batch).items() if row["replay_of"] in jobs}
        reached |= {id for id in recalled_jobs(connection, batch, or_open=True) if not jobs[id].is_open}
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
    """Cancels at once what waits of each job and its replays, and enqueues a recall of each that may have been sent.

    All jobs are cancelled before the first recall is enqueued; then no call of theirs begins any more. The recalls are
    jobs of their own, which workers carry out as fast as the vendor's limits allow; the vendor recalls messages for
    24 h (page 94867, 撤回应用消息). The command's entry in the audit says how many of them were carried out, and
    `get_job` with the id of a recall shows its result. `person` is who recalls and `why` the reason; the audit keeps
    both.

    The result counts the jobs of which something was `cancelled`, the `recalls`, whose ids are its `jobs`, the jobs
    that are `not_recallable`, because their channel has no recall, and the `refused` jobs, each with a note. The
    command commits by itself, and may be called again. `progress` is called with the number of jobs done so far.
    """
    recalls, refused = list[str](), dict[str, str]()
    arguments = audit_arguments(selection)
    with audited(
        "recall", person=person, why=why, arguments=arguments, database=database, settings=settings
    ) as command:
        outbox, account_source, marked = command.database, accounts or accounts_of(command.settings), set[str]()
        end_parts = make_committer(outbox, command.settings)
        on_begin(command.id)
        for batch in command.batches(selection.ids, MARK_BATCH):
            marked |= mark_jobs(outbox, _with_replays(outbox, batch))
        for batch in command.batches(selection.ids, BATCH_SIZE, progress):
            originals = _with_replays(outbox, batch)
            stopped = stop_jobs(outbox, [*originals], end_parts)
            sent = [job for job in stopped if job.may_be_sent]
            to_recall = sorted({originals[job.id] for job in sent if job.has_recall})
            enqueued, reasons = outbox.run(
                partial(_recall_once, ids=to_recall, accounts=account_source, audit=command.id)
            )
            recalls += enqueued
            refused |= reasons
            cancelled = sum(job.id in marked and job.has_cancelled for job in stopped)
            command.counts += Counter(cancelled=cancelled, recalls=len(enqueued), refused=len(reasons))
            command.counts += Counter(not_recallable=sum(not job.has_recall for job in sent))
    return CommandResult(command.id, command.counts, tuple(recalls), refused)


_NEVER_SENT = (JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED, JobState.CANCELLED)


def _lines(result: CommandResult, options: Mapping[str, object]) -> Iterator[str]:
    count, recalls = result.counts, len(result.jobs)
    yield (
        f"cancelled {plural(count['cancelled'], 'job')}, {plural(recalls, 'recall')} enqueued (audit {result.audit})"
    )
    if not_recallable := count["not_recallable"]:
        yield f"{plural(not_recallable, 'job')} cannot be recalled: the channel has no recall"
    if recalls:
        yield f"`worker audit {result.audit}` says how many are carried out; each is a job:"
    yield from (f"  {id}" for id in result.jobs[:MAX_LISTED])
    if (remaining := recalls - MAX_LISTED) > 0:
        yield f"  and {remaining} more, see --json"


def _might_apply(job: JobStatus) -> bool:
    waits = job.state is JobState.OPEN and not job.is_cancelled
    return job.is_send and job.state not in _NEVER_SENT and (waits or (job.has_recall and not job.is_recalled))


COMMAND = Command(
    name="recall",
    help="Cancels at once what waits, and enqueues a recall of each job that has sent something; prints their ids.",
    find=find_sent,
    run=recall_jobs,
    question="cancel these {count} jobs, and take back what they have sent?",
    nothing="nothing to take back: not sent, recalled already, or sent on a channel without recalls",
    lines=_lines,
    done=("cancelled", "recalls"),
    might_apply=_might_apply,
    is_about_ended=True,
    is_dangerous=True,
)


def _with_replays(database: Database, ids: Sequence[str]) -> Mapping[str, str]:
    """Returns job -> the job of `ids` whose recall reaches it: each of these itself, and the replays of originals."""
    with database.reading() as connection:
        reached = originals_of(connection, ids)
    return reached | {id: id for id in ids}


def _recall_once(
    connection: Connection, ids: Sequence[str], accounts: AccountSource, audit: str
) -> tuple[list[str], dict[str, str]]:
    """Recalls the jobs that no other command has recalled since they were selected."""
    recalled = lock_recalled(connection, ids) | recalled_jobs(connection, ids, or_open=True)
    recalls, refused = recall_all(connection, [id for id in ids if id not in recalled], accounts, audit)
    return recalls, refused | dict.fromkeys(recalled, RECALLED)


def recall_all(
    connection: Connection, ids: Sequence[str], accounts: AccountSource, audit: str
) -> tuple[list[str], dict[str, str]]:
    """Enqueues a recall of each job. Returns the ids of the recalls, and by job the reason why it was refused.

    `audit` is the id of the command's audit entry, which follows them.
    """
    rows, by, key = recall_targets(connection, ids), senders(connection, ids), lane_key(connection)
    planned, refused = list[PlannedJob](), dict[str, str]()
    for id in ids:
        with collect_refusal(refused, id):
            options: JobOptions = {"priority": "urgent", "dedupe_key": follow_up_key(audit, JobKind.RECALL, id)}
            request = follow_up_request(require_found(rows.get(id), id), JobKind.RECALL, {}, options, accounts)
            request.sent_by = by.get(id)
            planned.append(plan(request, key))
    return [job.id for job in insert(connection, planned)], refused
