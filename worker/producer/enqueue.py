"""Enqueue: a job is checked, split and inserted in the caller's own transaction.

Nothing is committed here, no broker is touched, no vendor is called. After a commit the job is sent, after a rollback
it never is.
Every function takes a Session, a Connection, an AsyncSession or an AsyncConnection; with the last two it returns an
awaitable. `bind=` picks one of a session's several binds, `accounts=` replaces the process's accounts, `clock=` is for
tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.channels import channel
from worker.config.accounts import AccountSource
from worker.config.current import current_accounts
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import Kind, Priority
from worker.outbox.engine.caller import Bind, in_callers_transaction
from worker.outbox.engine.clock import DatabaseClock, SqlClock
from worker.outbox.engine.site_keys import lane_key
from worker.producer.insert import JobRef, ask, insert, planned_here
from worker.producer.options import Instant, Options
from worker.producer.plan import Asked, Planned, Recipient, document_of, recipients_of

_CLOCK = DatabaseClock()
REMEDY = "use update_card(...), or update_card_by_code(...) for a card that something else sent"


@dataclass(slots=True)
class NewJob(Options):
    """One job for `enqueue_many`; the fields are the arguments of `enqueue`."""

    account: str
    message: Message
    to: Recipient | None = None


@in_callers_transaction
def enqueue(
    connection: Connection,
    account: str,
    message: Message,
    to: Recipient | None = None,
    *,
    priority: str | Priority = "normal",
    due_at: Instant | None = None,
    expires_at: Instant | None = None,
    dedupe_key: str | None = None,
    order_key: str | None = None,
    on_gap: str = "hold",
    tags: Sequence[str] = (),
    on_unknown: str | None = None,
    overflow: str = "refuse",
    bind: Bind | None = None,
    accounts: AccountSource | None = None,
    clock: SqlClock = _CLOCK,
) -> JobRef:
    """Enqueues one message to be sent, or one file to be uploaded, once the caller's transaction commits.

    `overflow` decides about a text that is too long: "refuse" it, "truncate" it, or "split" a text or markdown into
    several messages. Those are parts of the one job, numbered and offered in reading order; when a part is retried, or
    two workers send at once, a later one can arrive first. No cut is made inside a character, a link, a tag or code,
    and the job's warnings say what was done.

    Parts of an account's jobs with the same `order_key` are sent one at a time, in order of due_at, job and part; each
    waits until the one before it has ended. A part that is held in doubt, exhausted or parked keeps the others waiting
    (`worker skip JOB` lets them go on), unless its job says `on_gap="skip"`.

    Raises CheckFailed with every wrong field, DedupeConflict, or RetryTransaction; the first two leave the caller's
    transaction usable and nothing in it.
    """
    job = NewJob(
        account,
        message,
        to,
        priority=priority,
        due_at=due_at,
        expires_at=expires_at,
        dedupe_key=dedupe_key,
        order_key=order_key,
        on_gap=on_gap,
        tags=tags,
        on_unknown=on_unknown,
        overflow=overflow,
    )
    return ask(connection, _asked(job, accounts), clock)


@in_callers_transaction
def enqueue_many(
    connection: Connection,
    jobs: Iterable[NewJob],
    *,
    bind: Bind | None = None,
    accounts: AccountSource | None = None,
    clock: SqlClock = _CLOCK,
) -> list[JobRef]:
    """Enqueues many messages in few statements: all of them or, on an error, none. References in the order given."""
    key = lane_key(connection)
    planned: list[Planned] = []
    problems: list[Problem] = []
    for place, job in enumerate(jobs):
        try:
            planned.append(planned_here(connection, _asked(job, accounts), key))
        except CheckFailed as error:
            problems += _at_place(place, error)
    if problems:
        raise CheckFailed(problems)
    return insert(connection, planned, clock)


@in_callers_transaction
def upload(
    connection: Connection,
    account: str,
    file: File,
    upload_type: str = "file",
    *,
    priority: str | Priority = "normal",
    due_at: Instant | None = None,
    expires_at: Instant | None = None,
    dedupe_key: str | None = None,
    tags: Sequence[str] = (),
    bind: Bind | None = None,
    accounts: AccountSource | None = None,
    clock: SqlClock = _CLOCK,
) -> JobRef:
    """Enqueues the upload of a file; the job's receipt is its media_id. A send uploads its own files by itself."""
    options = Options(priority=priority, due_at=due_at, expires_at=expires_at, dedupe_key=dedupe_key, tags=tags)
    found = (accounts or current_accounts()).get(account)
    files = {"media": (upload_type, file)}
    asked = Asked(Kind.UPLOAD, found, {"type": "upload"}, files, Recipients(), options)
    return ask(connection, asked, clock)


def _asked(job: NewJob, accounts: AccountSource | None) -> Asked:
    document = document_of(job.message)
    recipients = recipients_of(job.to)
    account = (accounts or current_accounts()).get(job.account)
    kind = channel(account.channel).kind_of(document, recipients)
    if kind == Kind.UPDATE_CARD:
        raise CheckFailed([Problem("message", "a card update needs the job it is about", REMEDY)])
    return Asked(kind, account, document, job.message.files(), recipients, job)


def _at_place(place: int, error: CheckFailed) -> list[Problem]:
    return [
        Problem(f"jobs[{place}].{one.field}", one.text, one.remedy, one.limit, one.unit, one.size)
        for one in error.problems
    ]
