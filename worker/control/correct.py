"""Corrects a message that went out wrong: the old one is stopped and taken back, a new one goes to the same persons.

Each correction is a job of its own, linked to the first. Each lot of them is one transaction with the recalls, and who
has a correction already is found by the links: so a run that was cut short can be given again, and no person gets two.
A rate is kept by the due times, and not by waiting: the command ends soon, and what is still to come can be cancelled.
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
from worker.control.cancel import StoppedJob, committing, mark, stop_jobs
from worker.control.found import FoundJobs
from worker.control.opening import at_hand
from worker.control.recall import recall_all
from worker.control.refusals import add_reasons, refusal_noted, require_rate
from worker.domain.content.message import Message
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.domain.job_terms import text_hash
from worker.domain.state import PartState
from worker.outbox.control.matching import BYTES, FoundJob, missing_jobs
from worker.outbox.control.sent import PAGE, equal_texts, lock_chains, meant_jobs
from worker.outbox.control.withdrawals import RECALLED, withdrawn_jobs
from worker.outbox.engine.bulk import in_lots
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import lots_by_bytes, targets
from worker.producer.correction import Corrections, check_correction
from worker.producer.insert import insert
from worker.producer.plan import PlannedJob, document_of, dump

RATE = 20.0
"""Corrections that become due in a second, unless it is said otherwise: 20,000 take a quarter of an hour, in which one
can look at the first, and stop the rest."""
TOGETHER = 100
"""Jobs that are corrected in one transaction."""
_TAKEN = (PartState.ACCEPTED, PartState.PARTIAL, PartState.SENDING, PartState.UNKNOWN)
_MAY_HAVE_LEFT = (*(state.label for state in _TAKEN), "searched")

NewMessage = Message | str | Mapping[str, Any]
"""A message; a plain text; or a body as the vendor's page shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectableJobs(FoundJobs):
    """The jobs of a filter whose messages a person got, may have got or would have got."""

    message: Message | None = field(repr=False)
    """What is sent in their place; None: there is no such job, or it was not said yet."""


def find_correctable(
    wanted: JobFilter,
    message: NewMessage | None = None,
    *,
    settings: Settings | None = None,
    database: Database | None = None,
    accounts: AccountSource | None = None,
) -> CorrectableJobs:
    """The sends of a filter that a person got, may have got, or would have got had they not been cancelled.

    `message` is what is sent in their place. `among`: how many are left out because they are `corrected` already, or
    because they say the new text, as corrections of an earlier run do (`equal`). CheckFailed for a filter with neither
    `created_from` nor a field that names few, for one of single parts or of calls, for jobs of several channels, for a
    message that an account cannot send, and for one with a file, which has to be sent by its media_id.
    """
    wanted.require_ended_jobs("a correction")
    jobs, among, new = list[FoundJob](), Counter[str](), _NewText(message)
    with at_hand(database, settings) as (outbox, in_force), outbox.reading() as connection:
        sends = (job for job in meant_jobs(connection, wanted, read_now(connection, outbox.now)) if _is_send(job[0]))
        for lot in in_lots(sends, PAGE):
            new.is_for(job.channel for job, _ in lot)
            left = [job for job, is_corrected in lot if not is_corrected]
            equal = equal_texts(connection, [job.id for job in left], new.hash) if new.hash else frozenset[str]()
            jobs += [job for job in left if job.id not in equal]
            among += Counter(corrected=len(lot) - len(left), equal=len(equal))
        missing = missing_jobs(connection, wanted.part_or_job_ids())
        if new.message is not None:
            known = accounts or accounts_of(in_force)
            # Before anything is stopped.
            for job in {job.account: job for job in jobs if job.account in known.names()}.values():
                check_correction(connection, job.id, new.message, known)
    counts = Counter((job.account, job.kind) for job in jobs)
    ids = tuple(sorted(job.id for job in jobs))
    return CorrectableJobs(wanted, ids, counts, among, tuple(missing), message=new.message)


def _is_send(job: FoundJob) -> bool:
    return job.channel in names() and job.kind in channel(job.channel).sends


class _NewText:
    """The new message, made for the channel of the jobs when that is known."""

    def __init__(self, given: NewMessage | None):
        self._given = given
        self._channel: str | None = None
        self.message: Message | None = None
        self.hash: str | None = None

    def is_for(self, channels: Iterable[str]) -> None:
        """CheckFailed where the jobs have several channels, or the message cannot be one of theirs."""
        for name in channels:
            if self._channel not in (None, name):
                remedy = "name an account or a channel: each needs a message of its own"
                raise CheckFailed([Problem("filter", "is of jobs of several channels", remedy)])
            if self._channel is None:
                self._channel = name
                self._make(channel(name))

    def _make(self, own: Channel) -> None:
        match self._given:
            case None:
                return
            case str():
                self.message = own.plain_text(self._given)
            case Mapping():
                self.message = own.parsed(self._given)[0]
            case _:
                self.message = self._given
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

    It goes, as a job linked to the old one and with its tags, to those who got the old message, may have got it or
    would have got it; to those whom the vendor refused only where ids named the job, and the message was refused and
    not they. `rate`: so many become due in a second. `person` says who corrects, `why` for which reason; both are kept
    in the audit, the text is not. It counts `corrections`, whose ids are its `jobs`, jobs that were `cancelled`,
    `recalls`, jobs that are `kept` because their channel takes nothing back, and `refused`, 1,000 of them with a note.
    It commits by itself, 100 at a time, and may be given again.
    """
    require_rate(rate)
    if found.message is None:
        raise CheckFailed([Problem("message", "is missing", "say what is sent in its place")])
    message, made, reasons = found.message, list[str](), dict[str, str]()
    asked = {"filter": found.wanted.asked(), "jobs": len(found.ids), "rate": rate}
    asked |= {"text_hash": text_hash(dump(document_of(message)))}
    with audited("correct", person=person, why=why, asked=asked, database=database, settings=settings) as running:
        outbox, known = running.database, accounts or accounts_of(running.settings)
        began(running.id)
        begins_at, end_parts = outbox.read_now(), committing(outbox, running.settings)
        for few in running.lots(found.ids, TOGETHER, progress):
            running.counts["cancelled"] += mark(outbox, few)
            stopped = stop_jobs(outbox, few, end_parts)
            lot = _Lot(stopped, message, begins_at, len(made), rate, known, found.wanted.ids is not None)
            done = outbox.run(lot.correct)
            made += done.corrections
            add_reasons(reasons, done.refused)
            counts = {"corrections": len(done.corrections), "recalls": done.recalls, "kept": done.kept}
            running.counts += Counter(counts | {"refused": len(done.refused)})
    return Done(running.id, running.counts, tuple(made), reasons)


@dataclass(frozen=True, slots=True)
class _Corrected:
    """What one transaction did."""

    corrections: Sequence[str]
    refused: dict[str, str]
    recalls: int
    kept: int


@dataclass(frozen=True, slots=True)
class _Lot:
    """Some jobs that were stopped, to be corrected in one transaction."""

    stopped: Sequence[StoppedJob]
    message: Message
    begins_at: int
    before: int
    """Corrections of the run before these."""
    rate: float
    accounts: AccountSource
    refused_too: bool
    """Also for whom the message was refused."""

    def correct(self, connection: Connection) -> _Corrected:
        """Enqueues the corrections and the recalls."""
        made, refused = list[str](), dict[str, str]()
        # In lots, because each job may have a large message and many recipients.
        for ids in lots_by_bytes(connection, lock_chains(connection, [one.id for one in self.stopped]), BYTES):
            corrections = Corrections(connection, ids, self.message, self.accounts, refused_too=self.refused_too)
            planned = list[PlannedJob]()
            for id in ids:
                due_at = self.begins_at + int((self.before + len(made) + len(planned)) / self.rate * SECOND)
                with refusal_noted(refused, id):
                    planned.append(corrections.plan(id, due_at))
            made += [job.id for job in insert(connection, planned)]
        may_have_left = [one for one in self.stopped if any(one.parts[state] for state in _MAY_HAVE_LEFT)]
        to_recall = self._to_recall(connection, [one.id for one in may_have_left if one.takes_back])
        recalls, cannot = recall_all(connection, to_recall, self.accounts)
        kept = sum(not one.takes_back for one in may_have_left)
        return _Corrected(made, refused | cannot, len(recalls), kept)

    def _to_recall(self, connection: Connection, ids: Sequence[str]) -> list[str]:
        """Jobs that are not recalled yet; the recall of an original takes back its replays too."""
        withdrawn = withdrawn_jobs(connection, ids)
        left = targets(connection, [id for id in ids if id not in withdrawn or withdrawn[id].how != RECALLED])
        return sorted(id for id, row in left.items() if row["replay_of"] not in left)
