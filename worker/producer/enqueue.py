"""Enqueue: a job is checked, split and inserted in the caller's own transaction.

Nothing is committed here, no broker is touched, no vendor is called. After a commit the job is sent, after a rollback
it never is.
Every function takes a Session, a Connection, an AsyncSession or an AsyncConnection; with the last two it returns an
awaitable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Unpack

from sqlalchemy import Connection

from worker.accounts.current import current_accounts
from worker.channels.registry import channel
from worker.config.accounts import AccountSource
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import Kind
from worker.outbox.engine.caller import Bind, in_callers_transaction
from worker.outbox.engine.clock import SqlClock
from worker.outbox.engine.site_keys import lane_key
from worker.producer.insert import JobRef, ask, insert, planned_here
from worker.producer.options import CLOCK, JobOptions, OnGap, OnUnknown, Options, Overflow, enqueues
from worker.producer.plan import Asked, Planned, Recipient, document_of, recipients_of


@dataclass(slots=True)
class NewJob(Options):
    """One job for `enqueue_many`; the fields are the arguments of `enqueue`."""

    account: str
    """The account's name in the settings."""
    message: Message
    """The message, or the file to upload."""
    to: Recipient | None = None
    """The recipients; None for an upload, and for a group robot, which posts to its own chat."""


@enqueues
def enqueue(
    connection: Connection,
    account: str,
    message: Message,
    to: Recipient | None = None,
    *,
    order_key: str | None = None,
    on_gap: OnGap = "hold",
    on_unknown: OnUnknown | None = None,
    quiet_hours: str | None = None,
    overflow: Overflow = "refuse",
    **keywords: Unpack[JobOptions],
) -> JobRef:
    """Enqueues one message to be sent, or one file to be uploaded, once the caller's transaction commits.

    Its own keywords come first, those of JobOptions after them.

    order_key: Up to 200 characters. Parts of an account's jobs with the same key are sent one at a time, in order of
        due_at, job and part; each waits until the one before it has ended. None by default.
    on_gap: What the parts behind do when one is held in doubt, exhausted or parked: "hold", they wait, until
        `worker skip JOB` lets them go on; or "skip", they go on. "hold" by default; needs an order_key.
    on_unknown: What is done when the message may have been sent, no answer came and nothing makes a repeat safe: "hold"
        it for a person, or "resend" it, so that it may arrive twice. "default", like None, is what the account says.
    quiet_hours: When it waits and is not put before people: "22:00-07:00 Asia/Shanghai", a span of local time, with
        ", urgent passes" behind it where urgent jobs do not wait; or "none". By default what the account says.
    overflow: What is done with a text that is too long: "refuse" it, the default; "truncate" it; or "split" a text or
        markdown into several messages. Those are parts of the one job, numbered and offered in reading order; when a
        part is retried, or two workers send at once, a later one can arrive first. No cut is made inside a character,
        a link, a tag or code, and the job's warnings say what was done.

    Raises CheckFailed with every wrong field, DedupeConflict, or RetryTransaction; the first two leave the caller's
    transaction usable and nothing in it.
    """
    options = Options(
        order_key=order_key,
        on_gap=on_gap,
        on_unknown=on_unknown,
        quiet_hours=quiet_hours,
        overflow=overflow,
    ).given(keywords)
    asked = _asked(account, message, to, options, keywords.get("accounts"))
    return ask(connection, asked, keywords.get("clock", CLOCK))


@in_callers_transaction
def enqueue_many(
    connection: Connection,
    jobs: Iterable[NewJob],
    *,
    bind: Bind | None = None,
    accounts: AccountSource | None = None,
    clock: SqlClock = CLOCK,
) -> list[JobRef]:
    """Enqueues many messages in few statements: all of them or, on an error, none. References in the order given."""
    key = lane_key(connection)
    planned: list[Planned] = []
    problems: list[Problem] = []
    for place, job in enumerate(jobs):
        try:
            planned.append(planned_here(connection, _asked(job.account, job.message, job.to, job, accounts), key))
        except CheckFailed as error:
            problems += [replace(one, field=f"jobs[{place}].{one.field}") for one in error.problems]
    if problems:
        raise CheckFailed(problems)
    return insert(connection, planned, clock)


@enqueues
def upload(
    connection: Connection,
    account: str,
    file: File,
    upload_type: str = "file",
    **keywords: Unpack[JobOptions],
) -> JobRef:
    """Enqueues the upload of a file; the job's receipt is its media_id. A send uploads its own files by itself."""
    found = (keywords.get("accounts") or current_accounts()).get(account)
    files = {"media": (upload_type, file)}
    asked = Asked(Kind.UPLOAD, found, {"type": "upload"}, files, Recipients(), Options().given(keywords))
    return ask(connection, asked, keywords.get("clock", CLOCK))


def _asked(
    name: str, message: Message, to: Recipient | None, options: Options, accounts: AccountSource | None
) -> Asked:
    document = document_of(message)
    recipients = recipients_of(to)
    account = (accounts or current_accounts()).get(name)
    kind = channel(account.channel).kind_of(document, recipients)
    if kind == Kind.UPDATE_CARD:
        remedy = "use update_card(...), or update_card_by_code(...) for a card that something else sent"
        raise CheckFailed([Problem("message", "a card update needs the job it is about", remedy)])
    return Asked(kind, account, document, message.files(), recipients, options)
