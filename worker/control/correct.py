"""Corrects a wrong message: cancels and recalls the old one, and sends a new one to the same people.

Each correction is a new job that is linked to the old one. A batch of corrections and their recalls is one transaction,
and the links show which jobs have a correction: a run that was cut short can be repeated, and no person gets two
corrections. The rate is kept by due times, not by waiting: the command ends soon, and corrections that are not due yet
can be cancelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.channels.base import Channel
from worker.channels.registry import channel
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.cancel import MARK_BATCH, StoppedJob, make_committer, mark_jobs, stop_jobs
from worker.control.opening import open_outbox
from worker.control.recall import recall_all
from worker.control.refusals import add_reasons, collect_refusal, require_rate
from worker.control.selection import JobSelection, audit_arguments, is_send
from worker.domain.content.message import Message
from worker.domain.content.recipient import LISTS, Recipients, stored_recipients
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.domain.job_terms import text_hash
from worker.outbox.control.matching import BYTES, MatchingJob, missing_jobs
from worker.outbox.control.sent import PAGE, addressed_jobs, asked_recipients, equal_texts, lock_with_originals
from worker.outbox.control.withdrawals import follow_up_key, recalled_jobs
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import batches_by_bytes, recall_targets
from worker.producer.correction import Corrections, check_correction
from worker.producer.insert import insert
from worker.producer.plan import PlannedJob, document_of, dump

RATE = 20.0
"""Corrections that become due per second, by default. 20,000 then take a quarter of an hour, in which a person can look
at the first ones and cancel the rest."""
BATCH_SIZE = 100
"""Jobs that are corrected in one transaction."""

NewMessage = Message | str | Mapping[str, Any]
"""A message, a plain text, or a body as the vendor's page shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectableJobs(JobSelection):
    """The jobs of a filter whose messages a person got, may have got or would have got."""

    message: Message | None = field(repr=False)
    """The new message, or None if there are no jobs or no message was given."""


def find_correctable(
    filter: JobFilter,
    message: NewMessage | None = None,
    *,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
) -> CorrectableJobs:
    """Finds the sends of a filter that a person got, may have got, or would have got had they not been cancelled.

    `message` is the new message. `breakdown` counts the jobs that are left out because they are `corrected` already, or
    because their text is the new one (`equal`), as in corrections of an earlier run. Raises CheckFailed for a filter
    with neither `created_from` nor a selective field, for a filter of single parts or of calls, for jobs of several
    channels, for a message that an account cannot send, and for a message with a file, which has to be sent by its
    media_id.
    """
    filter.require_ended_jobs("a correction")
    jobs, breakdown, new = list[MatchingJob](), Counter[str](), _NewMessage(message)
    with open_outbox(database, settings) as (outbox, settings_in_use), outbox.reading() as connection:
        sends = (job for job in addressed_jobs(connection, filter, read_now(connection, outbox.now)) if is_send(job[0]))
        for batch in batched(sends, PAGE):
            new.parse_for(job.channel for job, _ in batch)
            uncorrected = [job for job, is_corrected in batch if not is_corrected]
            equal_ids = (
                equal_texts(connection, [job.id for job in uncorrected], new.hash) if new.hash else frozenset[str]()
            )
            jobs += [job for job in uncorrected if job.id not in equal_ids]
            breakdown += Counter(corrected=len(batch) - len(uncorrected), equal=len(equal_ids))
        missing = missing_jobs(connection, filter.part_or_job_ids())
        if new.message is not None:
            _check_sendable(connection, jobs, new.message, accounts or accounts_of(settings_in_use))
    counts = Counter((job.account, job.kind) for job in jobs)
    ids = tuple(sorted(job.id for job in jobs))
    return CorrectableJobs(filter, ids, counts, breakdown, tuple(missing), message=new.message)


def _check_sendable(
    connection: Connection, jobs: Sequence[MatchingJob], message: Message, accounts: AccountSource
) -> None:
    """Raises CheckFailed if the message cannot be sent to the recipients of these jobs, before anything is stopped.

    Checks a job of each account and sort of recipients: a message that members can get may be none for a group chat.
    """
    account_names, checked = set(accounts.names()), set[tuple[object, ...]]()
    account_of = {job.id: job.account for job in jobs if job.account in account_names}
    for id, recipients in asked_recipients(connection, account_of):
        to = stored_recipients(recipients)
        if to is None:  # refused when its turn comes
            continue
        sort = account_of[id], *_sort_of(to)
        if sort not in checked and check_correction(connection, id, message, accounts):
            checked.add(sort)


def _sort_of(to: Recipients) -> tuple[object, ...]:
    """Returns what decides which messages recipients can get: the lists that they fill, each with one or with more."""
    sizes = [min(len(getattr(to, name)), 2) for name in LISTS.values()]
    return *sizes, to.everyone, to.audience, bool(to.by_sender)


class _NewMessage:
    """The new message, parsed once the channel of the jobs is known."""

    def __init__(self, content: NewMessage | None):
        self._content = content
        self._channel: str | None = None
        self.message: Message | None = None
        self.hash: str | None = None

    def parse_for(self, channels: Iterable[str]) -> None:
        """Parses the message for these jobs. Raises CheckFailed if their channels differ, or it is no such message."""
        for name in channels:
            if self._channel not in (None, name):
                remedy = "name an account or a channel: each needs a message of its own"
                raise CheckFailed([Problem("filter", "is of jobs of several channels", remedy)])
            if self._channel is None:
                self._channel = name
                self._parse(channel(name))

    def _parse(self, own_channel: Channel) -> None:
        match self._content:
            case None:
                return
            case str():
                self.message = own_channel.plain_text(self._content)
            case Mapping():
                self.message = own_channel.reader().message_from_json(self._content)
            case _:
                self.message = self._content
        if self.message.files():
            remedy = "upload the file first, and give its media_id"
            raise CheckFailed([Problem("message", "has a file, which a correction cannot have", remedy)])
        self.hash = text_hash(dump(document_of(self.message)))


def correct_jobs(
    selection: CorrectableJobs,
    *,
    person: str,
    why: str = "",
    rate: float = RATE,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
    progress: Callable[[int], object] = lambda done: None,
    on_begin: Callable[[str], object] = lambda audit: None,
) -> CommandResult:
    """Cancels what waits, recalls what was sent, and enqueues the new message in place of the old one.

    Each new message is a job that is linked to the old one and has its tags. It goes to all persons who got the old
    message, may have got it or would have got it. Recipients whom the vendor refused get it only if the filter has ids,
    and the vendor refused the message and not the recipients. `rate` is how many become due per second. `person` is who
    corrects and `why` the reason; the audit keeps both, but not the text.

    The result counts `corrections`, whose ids are its `jobs`, jobs that were `cancelled`, `recalls`, jobs that are
    `not_recallable` because their channel has no recall, and `refused` jobs, at most 1,000 of them with a note. The
    command commits by itself, 100 jobs at a time, and may be called again.
    """
    require_rate(rate)
    if selection.message is None:
        raise CheckFailed([Problem("message", "is missing", "give the new message")])
    message, corrections, reasons = selection.message, list[str](), dict[str, str]()
    arguments = audit_arguments(selection) | {"rate": rate, "text_hash": text_hash(dump(document_of(message)))}
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
            may_get_it = selection.filter.ids is not None
            correction = _Batch(
                stopped, message, begins_at, len(corrections), rate, account_source, may_get_it, command.id
            )
            result = outbox.run(correction.correct)
            corrections += result.corrections
            add_reasons(reasons, result.refused)
            command.counts += Counter(corrections=len(result.corrections), recalls=result.recalls)
            command.counts += Counter(not_recallable=result.not_recallable, refused=len(result.refused))
    return CommandResult(command.id, command.counts, tuple(corrections), reasons)


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

    stopped: Sequence[StoppedJob]
    message: Message
    begins_at: int
    enqueued_before: int
    """Number of corrections that earlier batches of this run enqueued."""
    rate: float
    accounts: AccountSource
    includes_refused: bool
    """Whether people get a correction for whom the vendor refused the message."""
    audit: str
    """Id of the command's audit entry, which follows the corrections and the recalls."""

    def correct(self, connection: Connection) -> _BatchResult:
        """Enqueues the corrections and the recalls."""
        enqueued, refused = list[str](), dict[str, str]()
        # In batches by size, because each job may have a large message and many recipients.
        for ids in batches_by_bytes(
            connection, lock_with_originals(connection, [stopped_job.id for stopped_job in self.stopped]), BYTES
        ):
            composer = Corrections(connection, ids, self.message, self.accounts, includes_refused=self.includes_refused)
            planned = list[PlannedJob]()
            for id in ids:
                due_at = self.begins_at + int(
                    (self.enqueued_before + len(enqueued) + len(planned)) / self.rate * SECOND
                )
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
