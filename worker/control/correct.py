"""Corrects a wrong message: stops and recalls the old one, and sends a new one to the same persons.

Each correction is a job of its own, linked to the first. A batch of corrections is one transaction with their recalls,
and the links tell who has a correction already: so a run that was cut short can be repeated, and no person gets two.
The rate is kept by due times, not by waiting: the command ends soon, and corrections that are not due yet can be
cancelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.channels.base import Channel
from worker.channels.registry import channel, names
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import Done, audited
from worker.control.cancel import StoppedJob, make_committer, mark_jobs, stop_jobs
from worker.control.opening import open_outbox
from worker.control.recall import recall_all
from worker.control.refusals import add_reasons, collect_refusal, require_rate
from worker.control.selection import FoundJobs
from worker.domain.content.message import Message
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.domain.job_terms import text_hash
from worker.domain.state import PartState
from worker.outbox.control.matching import BYTES, MatchingJob, missing_jobs
from worker.outbox.control.sent import PAGE, addressed_jobs, equal_texts, lock_with_originals
from worker.outbox.control.withdrawals import RECALLED, withdrawn_jobs
from worker.outbox.engine.bulk import in_lots
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import batches_by_bytes, recall_targets
from worker.producer.correction import Corrections, check_correction
from worker.producer.insert import insert
from worker.producer.plan import PlannedJob, document_of, dump

RATE = 20.0
"""Corrections that become due in a second, by default. 20,000 then take a quarter of an hour, in which a person can
look at the first ones and stop the rest."""
BATCH_SIZE = 100
"""Jobs that are corrected in one transaction."""
_MAY_BE_SENT_STATES = (PartState.ACCEPTED, PartState.PARTIAL, PartState.SENDING, PartState.UNKNOWN)
_MAY_BE_SENT = (*(state.label for state in _MAY_BE_SENT_STATES), "searched")

NewMessage = Message | str | Mapping[str, Any]
"""A message, a plain text, or a body as the vendor's page shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectableJobs(FoundJobs):
    """The jobs of a filter whose messages a person got, may have got or would have got."""

    message: Message | None = field(repr=False)
    """The message to send in their place, or None if there is no such job, or no message was given yet."""


def find_correctable(
    wanted: JobFilter,
    message: NewMessage | None = None,
    *,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
) -> CorrectableJobs:
    """Finds the sends of a filter that a person got, may have got, or would have got had they not been cancelled.

    `message` is sent in their place. `among` counts the jobs that are left out because they are `corrected` already, or
    have the new text, as corrections of an earlier run do (`equal`). Raises CheckFailed for a filter with neither
    `created_from` nor a selective field, for one of single parts or of calls, for jobs of several channels, for a
    message that an account cannot send, and for a message with a file, which has to be sent by its media_id.
    """
    wanted.require_ended_jobs("a correction")
    jobs, breakdown, new = list[MatchingJob](), Counter[str](), _NewMessage(message)
    with open_outbox(database, settings) as (outbox, settings_in_use), outbox.reading() as connection:
        sends = (
            job for job in addressed_jobs(connection, wanted, read_now(connection, outbox.now)) if _is_send(job[0])
        )
        for batch in in_lots(sends, PAGE):
            new.is_for(job.channel for job, _ in batch)
            open_to_correct = [job for job, is_corrected in batch if not is_corrected]
            equal = (
                equal_texts(connection, [job.id for job in open_to_correct], new.hash) if new.hash else frozenset[str]()
            )
            jobs += [job for job in open_to_correct if job.id not in equal]
            breakdown += Counter(corrected=len(batch) - len(open_to_correct), equal=len(equal))
        missing = missing_jobs(connection, wanted.part_or_job_ids())
        if new.message is not None:
            account_source = accounts or accounts_of(settings_in_use)
            # Checked before anything is stopped.
            for job in {job.account: job for job in jobs if job.account in account_source.names()}.values():
                check_correction(connection, job.id, new.message, account_source)
    counts = Counter((job.account, job.kind) for job in jobs)
    ids = tuple(sorted(job.id for job in jobs))
    return CorrectableJobs(wanted, ids, counts, breakdown, tuple(missing), message=new.message)


def _is_send(job: MatchingJob) -> bool:
    return job.channel in names() and job.kind in channel(job.channel).sends


class _NewMessage:
    """The new message, parsed once the channel of the jobs is known."""

    def __init__(self, content: NewMessage | None):
        self._content = content
        self._channel: str | None = None
        self.message: Message | None = None
        self.hash: str | None = None

    def is_for(self, channels: Iterable[str]) -> None:
        """Raises CheckFailed if the jobs have several channels, or the message does not fit their channel."""
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
                self.message = own_channel.parsed(self._content)[0]
            case _:
                self.message = self._content
        if self.message.files():
            remedy = "upload the file first, and give its media_id"
            raise CheckFailed([Problem("message", "has a file, which a correction cannot have", remedy)])
        self.hash = text_hash(dump(document_of(self.message)))


def correct_found(
    found: CorrectableJobs,
    *,
    person: str,
    why: str = "",
    rate: float = RATE,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
    progress: Callable[[int], object] = lambda done: None,
    began: Callable[[str], object] = lambda audit: None,
) -> Done:
    """Cancels what waits of these jobs, recalls what was sent, and enqueues the new message in their place.

    The new message goes, as a job linked to the old one and with its tags, to the persons who got the old message, may
    have got it or would have got it. Persons whom the vendor refused get it only where ids named the job, and the
    vendor refused the message and not the persons. `rate` is how many become due in a second. `person` is who corrects
    and `why` the reason; the audit keeps both, but not the text. The result counts `corrections`, whose ids are its
    `jobs`, jobs that were `cancelled`, `recalls`, jobs that are `kept` because their channel takes nothing back, and
    `refused`, 1,000 of them with a note. It commits by itself, 100 at a time, and may be called again.
    """
    require_rate(rate)
    if found.message is None:
        raise CheckFailed([Problem("message", "is missing", "give what is sent in its place")])
    message, corrections, reasons = found.message, list[str](), dict[str, str]()
    asked = {"filter": found.wanted.asked(), "jobs": len(found.ids), "rate": rate}
    asked |= {"text_hash": text_hash(dump(document_of(message)))}
    with audited("correct", person=person, why=why, asked=asked, database=database, settings=settings) as command:
        outbox, account_source = command.database, accounts or accounts_of(command.settings)
        began(command.id)
        begins_at, end_parts = outbox.read_now(), make_committer(outbox, command.settings)
        for batch in command.batches(found.ids, BATCH_SIZE, progress):
            command.counts["cancelled"] += mark_jobs(outbox, batch)
            stopped = stop_jobs(outbox, batch, end_parts)
            corrections_batch = _Batch(
                stopped, message, begins_at, len(corrections), rate, account_source, found.wanted.ids is not None
            )
            done = outbox.run(corrections_batch.correct)
            corrections += done.corrections
            add_reasons(reasons, done.refused)
            counts = {"corrections": len(done.corrections), "recalls": done.recalls, "kept": done.kept}
            command.counts += Counter(counts | {"refused": len(done.refused)})
    return Done(command.id, command.counts, tuple(corrections), reasons)


@dataclass(frozen=True, slots=True)
class _BatchResult:
    """What one transaction did."""

    corrections: Sequence[str]
    refused: dict[str, str]
    recalls: int
    kept: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some stopped jobs that are corrected in one transaction."""

    stopped: Sequence[StoppedJob]
    message: Message
    begins_at: int
    before: int
    """Corrections of this run in earlier batches."""
    rate: float
    accounts: AccountSource
    refused_too: bool
    """Whether persons get a correction for whom the message was refused."""

    def correct(self, connection: Connection) -> _BatchResult:
        """Enqueues the corrections and the recalls."""
        enqueued, refused = list[str](), dict[str, str]()
        # In batches by size, because each job may have a large message and many recipients.
        for ids in batches_by_bytes(
            connection, lock_with_originals(connection, [stopped_job.id for stopped_job in self.stopped]), BYTES
        ):
            composer = Corrections(connection, ids, self.message, self.accounts, refused_too=self.refused_too)
            planned = list[PlannedJob]()
            for id in ids:
                due_at = self.begins_at + int((self.before + len(enqueued) + len(planned)) / self.rate * SECOND)
                with collect_refusal(refused, id):
                    planned.append(composer.plan(id, due_at))
            enqueued += [job.id for job in insert(connection, planned)]
        may_be_sent = [
            stopped_job for stopped_job in self.stopped if any(stopped_job.parts[state] for state in _MAY_BE_SENT)
        ]
        to_recall = self._to_recall(
            connection, [stopped_job.id for stopped_job in may_be_sent if stopped_job.takes_back]
        )
        recalls, cannot = recall_all(connection, to_recall, self.accounts)
        kept = sum(not stopped_job.takes_back for stopped_job in may_be_sent)
        return _BatchResult(enqueued, refused | cannot, len(recalls), kept)

    def _to_recall(self, connection: Connection, ids: Sequence[str]) -> list[str]:
        """Returns the jobs that are not recalled yet. The recall of an original takes back its replays, too."""
        withdrawn = withdrawn_jobs(connection, ids)
        targets_by_id = recall_targets(
            connection, [id for id in ids if id not in withdrawn or withdrawn[id].how != RECALLED]
        )
        return sorted(id for id, row in targets_by_id.items() if row["replay_of"] not in targets_by_id)
