"""Corrects a wrong message: cancels and recalls the old one, and sends a new one to the same people.

Each correction is a new job that is linked to the old one. A batch of corrections and their recalls is one transaction,
and the links show which jobs have a correction: a run that was cut short can be repeated, and no person gets two
corrections. All jobs are cancelled before the first correction is enqueued. The rate is kept by due times, not by
waiting: the command ends soon, and corrections that are not due yet can be cancelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace as changed
from typing import Annotated, Any

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.cancel import MARK_BATCH, StoppedJob, make_committer, mark_jobs, stop_jobs
from worker.control.command import Command, Option
from worker.control.job_status import JobStatus
from worker.control.new_message import (
    SAMPLES,
    CorrectionSample,
    NewMessage,
    NewMessages,
    content_hash,
    read_message,
    sample,
)
from worker.control.opening import open_outbox
from worker.control.recall import recall_all
from worker.control.refusals import add_reasons, collect_refusal, require_rate
from worker.control.selection import JobSelection, audit_arguments, has_recall, is_send
from worker.domain.content.recipient import LISTS, Recipients, stored_recipients
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import JobId
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.state import JobState
from worker.language import plural
from worker.outbox.control.matching import BYTES, MatchingJob, missing_jobs
from worker.outbox.control.sent import (
    PAGE,
    addressed_jobs,
    lock_with_originals,
    message_rows,
    take_back_effects,
)
from worker.outbox.control.withdrawals import follow_up_key, recalled_jobs
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import batches_by_bytes, recall_targets
from worker.producer.correction import Corrections, NewDocument, check_correction
from worker.producer.insert import insert
from worker.producer.plan import PlannedJob, dump

RATE = 20.0
"""Corrections that become due per second, by default. 20,000 then take a quarter of an hour, in which a person can look
at the first ones and cancel the rest."""
BATCH_SIZE = 100
"""Jobs that are corrected in one transaction."""
NOT_KEPT = "{}"
"""The message of a job whose text was erased or is no longer kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectableJobs(JobSelection):
    """The jobs of a filter whose messages a person got, may have got or would have got."""

    samples: tuple[CorrectionSample, ...] = field(repr=False)
    """Three of the messages that differ, or fewer, each with the one in its place."""
    new_document: NewDocument | None = field(repr=False)
    """Returns the stored form of the new message of a job, or is None if no message was given or there are no jobs."""
    described: Mapping[str, Any] = field(default_factory=dict)
    """What the audit has of the new messages, without a text."""


def find_correctable(
    filter: JobFilter,
    message: NewMessage | None = None,
    *,
    replace: Mapping[str, str] | None = None,
    messages: Mapping[JobId, NewMessage] | None = None,
    one_for_all: Annotated[
        bool, Option("One message takes the place of different ones.", is_beside_button=True)
    ] = False,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
) -> CorrectableJobs:
    """Finds the sends of a filter that a person got, may have got, or would have got had they not been cancelled.

    `message` is the new message of all jobs; where the old ones differ it is refused, unless `one_for_all` says that
    one takes the place of them all. `replace` has old texts with the new ones in their place, wherever people read
    them, and `messages` a message for each job's id; jobs that they do not change are left out.

    `breakdown` counts the jobs of which something is `waiting`, which is cancelled; those of which something was
    `sent`, or may have been, which is recalled, or is `not_recallable`; how many `different` messages they have; those
    that are `corrections` of other messages; and the jobs that are left out because they are `corrected` already, have
    the new message (`equal`), as corrections of an earlier run, or are `unchanged` by it. Raises CheckFailed for a
    filter with neither `created_from` nor a selective field, for a filter of single parts or of calls, for jobs of
    several channels, for a message that an account cannot send, and for a message with a file, which has to be sent by
    its media_id.
    """
    require_filter(filter)
    filter.require_ended_jobs("a correction")
    new = NewMessages(message, replace, messages)
    with open_outbox(database, settings) as (outbox, settings_in_use), outbox.reading() as connection:
        search = _Search(connection, new, accounts or accounts_of(settings_in_use), one_for_all=one_for_all)
        sends = (job for job in addressed_jobs(connection, filter, read_now(connection, outbox.now)) if is_send(job[0]))
        for batch in batched(sends, PAGE):
            search.add([job for job, is_corrected in batch if not is_corrected])
            search.breakdown["corrected"] += sum(is_corrected for _, is_corrected in batch)
        search.finish()
        missing = missing_jobs(connection, filter.part_or_job_ids())
    counts, ids = Counter((job.account, job.kind) for job in search.jobs), sorted(job.id for job in search.jobs)
    is_ready = bool(ids) and new.is_given
    return CorrectableJobs(
        filter,
        tuple(ids),
        counts,
        +search.breakdown,
        tuple(missing),
        samples=tuple(search.samples),
        new_document=new.document if is_ready else None,
        described=new.arguments() if is_ready else {},
    )


class _Search:
    """The jobs that are corrected, batch by batch, and what the preview counts of them."""

    def __init__(self, connection: Connection, new: NewMessages, accounts: AccountSource, *, one_for_all: bool):
        self._connection, self._new, self._accounts, self._one_for_all = connection, new, accounts, one_for_all
        self._account_names, self._checked = set(accounts.names()), set[tuple[object, ...]]()
        self._hashes = set[str]()
        self.jobs, self.breakdown = list[MatchingJob](), Counter[str]()
        self.samples: list[CorrectionSample] = []

    def add(self, jobs: Sequence[MatchingJob]) -> None:
        """Adds the jobs whose message the new one takes the place of. Raises CheckFailed if one cannot be sent."""
        self._new.parse_for(job.channel for job in jobs)
        selected = set[str]()
        for row in message_rows(self._connection, [job.id for job in jobs]):
            old = read_message(row["message"])
            new = self._new.document(row["id"], old)
            if new is None and self._new.is_given:
                self.breakdown["unchanged"] += 1
            elif new is not None and dump(new) == row["message"]:
                self.breakdown["equal"] += 1
            else:
                selected.add(row["id"])
                self._add_sample(row, old, new)
                if new is not None:
                    self._check(row, new)
        jobs = [job for job in jobs if job.id in selected]
        self.jobs += jobs
        self._count(jobs)

    def _add_sample(self, row: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any] | None) -> None:
        if row["message"] == NOT_KEPT:
            return
        hash = content_hash(old)
        if hash not in self._hashes and len(self.samples) < SAMPLES:
            self.samples.append(sample(row, old, new))
        self._hashes.add(hash)

    def _check(self, row: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Raises CheckFailed if the message cannot be sent to the job's recipients, before anything is stopped.

        One message for all is checked for a job of each account and sort of recipients: a message that members can get
        may be none for a group chat.
        """
        if (to := stored_recipients(row["recipients"])) is None:  # refused when its turn comes
            return
        sort = row["account"], *(_sort_of(to) if self._new.is_one else (row["id"],))
        if row["account"] in self._account_names and sort not in self._checked:
            try:
                self._new.require_own(row["id"], new, to)
                is_checked = check_correction(self._connection, row, to, new, self._accounts)
            except CheckFailed as error:
                if self._new.is_one:
                    raise
                raise CheckFailed(
                    [changed(problem, field=f"jobs[{row['id']}].{problem.field}") for problem in error.problems]
                ) from None
            if is_checked:
                self._checked.add(sort)

    def _count(self, jobs: Sequence[MatchingJob]) -> None:
        effects = take_back_effects(self._connection, [job.id for job in jobs])
        for job in jobs:
            if (effect := effects.get(job.id)) is not None:
                self.breakdown["waiting"] += effect.has_waiting
                self.breakdown["sent" if has_recall(job) else "not_recallable"] += effect.has_sent
                self.breakdown["corrections"] += effect.is_correction

    def finish(self) -> None:
        """Counts what only all jobs together show. Raises CheckFailed for one message in place of different ones."""
        if (count := len(self._hashes)) > 1:
            self.breakdown["different"] = count
            if self._new.is_one and not self._one_for_all:
                text = f"is one for {count} different messages"
                remedy = "say what to replace in each, or give a message for each job, or say that it is one for all"
                raise CheckFailed([Problem("message", text, remedy)])
        self.breakdown["unused"] = self._new.without_jobs(job.id for job in self.jobs)


def _sort_of(to: Recipients) -> tuple[object, ...]:
    """Returns what decides which messages recipients can get: the lists that they fill, each with one or with more."""
    sizes = [min(len(getattr(to, name)), 2) for name in LISTS.values()]
    return *sizes, to.everyone, to.audience, bool(to.by_sender)


def correct_jobs(
    selection: CorrectableJobs,
    *,
    person: str,
    why: str = "",
    rate: Annotated[float, Option("New messages that become due per second.", least=0.01)] = RATE,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
    progress: Callable[[int], object] = lambda done: None,
    on_begin: Callable[[str], object] = lambda audit: None,
) -> CommandResult:
    """Cancels at once what waits, recalls what was sent, and enqueues the new messages in place of the old ones.

    Each new message is a job that is linked to the old one and has its tags. It goes to all persons who got the old
    message, may have got it or would have got it. Recipients whom the vendor refused get it only if the filter has ids,
    and the vendor refused the message and not the recipients. `rate` is how many become due per second. `person` is who
    corrects and `why` the reason; the audit keeps both, but not the texts, and its entry says how many corrections and
    recalls were carried out.

    The result counts `corrections`, whose ids are its `jobs`, jobs that were `cancelled`, `recalls`, jobs that are
    `not_recallable` because their channel has no recall, and `refused` jobs, at most 1,000 of them with a note. The
    command commits by itself, 100 jobs at a time, and may be called again.
    """
    require_rate(rate)
    if selection.new_document is None:
        raise CheckFailed([Problem("message", "is missing", "give the new message")])
    corrections, reasons = list[str](), dict[str, str]()
    arguments = audit_arguments(selection) | {"rate": rate, **selection.described}
    with audited(
        "correct", person=person, why=why, arguments=arguments, database=database, settings=settings
    ) as command:
        outbox, account_source = command.database, accounts or accounts_of(command.settings)
        on_begin(command.id)
        begins_at, end_parts = outbox.read_now(), make_committer(outbox, command.settings)
        for batch in command.batches(selection.ids, MARK_BATCH):
            command.counts["cancelled"] += len(mark_jobs(outbox, batch))
        for batch in command.batches(selection.ids, BATCH_SIZE, progress):
            stopped = stop_jobs(outbox, batch, end_parts)
            due_from = begins_at + int(len(corrections) / rate * SECOND)
            correction = _Batch(selection, stopped, due_from, rate, account_source, command.id)
            result = outbox.run(correction.correct)
            corrections += result.corrections
            add_reasons(reasons, result.refused)
            command.counts += Counter(corrections=len(result.corrections), recalls=result.recalls)
            command.counts += Counter(not_recallable=result.not_recallable, refused=len(result.refused))
    return CommandResult(command.id, command.counts, tuple(corrections), reasons)


def _lines(result: CommandResult, options: Mapping[str, Any]) -> Iterator[str]:
    count = result.counts
    yield f"{plural(count['corrections'], 'correction')} enqueued, {count['refused']} refused (audit {result.audit})"
    yield f"old jobs cancelled: {count['cancelled']}, recalls enqueued: {count['recalls']}"
    if not_recallable := count["not_recallable"]:
        yield f"{plural(not_recallable, 'job')} cannot be recalled: the channel has no recall"
    rate = options["rate"]
    yield f"the new messages become due at {rate:g} a second; follow them with `worker jobs` and `worker show`"


def _might_apply(job: JobStatus) -> bool:
    return job.is_send and not job.is_corrected and job.state not in (JobState.EXHAUSTED, JobState.EXPIRED)


COMMAND = Command(
    name="correct",
    help="Cancels and recalls a wrong message, and sends another to those who got it or would have got it.",
    find=find_correctable,
    run=correct_jobs,
    question="cancel and recall these {count} jobs, and send the new message in their place?",
    nothing=(
        "none of these jobs has a message to correct: it reached no recipient and will reach none,"
        " or is corrected already, or the new message does not change it"
    ),
    lines=_lines,
    done=("corrections",),
    might_apply=_might_apply,
    check=lambda options: require_rate(options["rate"]),
    is_about_ended=True,
    is_dangerous=True,
)


@dataclass(frozen=True, slots=True)
class _BatchResult:
    """What one transaction did."""

    corrections: Sequence[str]
    refused: dict[str, str]
    recalls: int
    not_recallable: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch of stopped jobs that are corrected in one transaction."""

    selection: CorrectableJobs
    stopped: Sequence[StoppedJob]
    due_from: int
    """When the first of its corrections becomes due."""
    rate: float
    accounts: AccountSource
    audit: str
    """Id of the command's audit entry, which follows the corrections and the recalls."""

    def correct(self, connection: Connection) -> _BatchResult:
        """Enqueues the corrections and the recalls."""
        enqueued, refused = list[str](), dict[str, str]()
        assert self.selection.new_document is not None
        # People for whom the vendor refused the message as a whole get the new one where the job is named.
        options = {"includes_refused": self.selection.filter.ids is not None}
        # In batches by size, because each job may have a large message and many recipients.
        for ids in batches_by_bytes(
            connection, lock_with_originals(connection, [stopped_job.id for stopped_job in self.stopped]), BYTES
        ):
            composer = Corrections(connection, ids, self.selection.new_document, self.accounts, **options)
            planned = list[PlannedJob]()
            for id in ids:
                due_at = self.due_from + int((len(enqueued) + len(planned)) / self.rate * SECOND)
                with collect_refusal(refused, id):
                    planned.append(composer.plan(id, due_at, follow_up_key(self.audit, "correction", id)))
            enqueued += [job.id for job in insert(connection, planned)]
        may_be_sent = [stopped_job for stopped_job in self.stopped if stopped_job.may_be_sent]
        to_recall = self._to_recall(
            connection, [stopped_job.id for stopped_job in may_be_sent if stopped_job.has_recall]
        )
        recalls, not_recalled = recall_all(connection, to_recall, self.accounts, self.audit)
        not_recallable = sum(not stopped_job.has_recall for stopped_job in may_be_sent)
        return _BatchResult(enqueued, refused | not_recalled, len(recalls), not_recallable)

    def _to_recall(self, connection: Connection, ids: Sequence[str]) -> list[str]:
        """Returns the jobs that are not recalled yet. The recall of an original also recalls its replays."""
        # A recall that failed counts for nothing.
        recalled = recalled_jobs(connection, ids, or_open=True)
        targets_by_id = recall_targets(connection, [id for id in ids if id not in recalled])
        return sorted(id for id, row in targets_by_id.items() if row["replay_of"] not in targets_by_id)
