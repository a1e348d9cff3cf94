"""Enqueue: a job is checked, split and inserted in the caller's own transaction.

Nothing is committed here, no broker is touched, no vendor is called. After a commit the job is sent, after a rollback
it never is.
Every function takes a Session, a Connection, an AsyncSession or an AsyncConnection; with the last two it has to be
awaited.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from sqlalchemy import Connection

from worker.channels.foreign import class_problems, home_of
from worker.channels.registry import channel
from worker.domain.content.message import File, Message
from worker.domain.errors import CheckFailed, Problem, refused_type
from worker.domain.job import JobKind
from worker.outbox.engine.caller import in_callers_transaction
from worker.outbox.engine.site_keys import lane_key
from worker.producer.insert import JobRef, insert, insert_one
from worker.producer.options import JobOptions, MessageOptions, enqueues, require_known_keywords
from worker.producer.plan import JobRequest, PlannedJob, Recipient, document_of, find_account, parse_recipients, plan

if TYPE_CHECKING:
    from worker.config.accounts import AccountSource


class NewJob:
    """One job for `enqueue_many`; it takes the arguments of `enqueue`, but for `accounts`."""

    def __init__(
        self, account: str, message: Message, to: Recipient | None = None, **options: Unpack[MessageOptions]
    ) -> None:
        require_known_keywords("NewJob", options, MessageOptions.__annotations__.keys())
        self.account, self.message, self.to, self.options = account, message, to, options


@enqueues(MessageOptions)
def enqueue(
    connection: Connection,
    account: str,
    message: Message,
    to: Recipient | None = None,
    *,
    accounts: AccountSource | None = None,
    **options: Unpack[MessageOptions],
) -> JobRef:
    """Enqueues one message to be sent, or one file to be uploaded, once the caller's transaction commits.

    Raises CheckFailed with every wrong field, DedupeConflict, or RetryTransaction; the first two leave the caller's
    transaction usable and nothing in it.
    """
    return insert_one(connection, build_request(account, message, to, options, accounts))


@in_callers_transaction
def enqueue_many(
    connection: Connection, jobs: Iterable[NewJob], *, accounts: AccountSource | None = None
) -> list[JobRef]:
    """Enqueues many messages in few statements: all of them or, on an error, none. References in the order given."""
    key = lane_key(connection)
    planned: list[PlannedJob] = []
    problems: list[Problem] = []
    if isinstance(jobs, NewJob) or not isinstance(jobs, Iterable):
        raise refused_type("jobs", jobs, "give a list: [NewJob(...), ...]")
    for index, job in enumerate(jobs):
        if not isinstance(job, NewJob):
            remedy = 'use NewJob("hr", Text("..."), To(users=["zhangsan"]))'
            problems += refused_type(f"jobs[{index}]", job, remedy).problems
            continue
        try:
            request = build_request(job.account, job.message, job.to, job.options, accounts)
            planned.append(plan(request, key))
        except CheckFailed as error:
            problems += [replace(one, field=f"jobs[{index}].{one.field}") for one in error.problems]
    if problems:
        raise CheckFailed(problems)
    return insert(connection, planned)


@enqueues(JobOptions)
def upload(
    connection: Connection,
    account: str,
    file: File,
    upload_type: str = "file",
    *,
    accounts: AccountSource | None = None,
    **options: Unpack[JobOptions],
) -> JobRef:
    """Enqueues the upload of a file; the job's receipt is its media_id. A send uploads its own files by itself."""
    if not isinstance(file, File):
        raise refused_type("file", file, 'use File.at("a.pdf") or File(b"...", "a.pdf")')
    request = JobRequest(JobKind.UPLOAD, find_account(account, accounts), {"type": "upload"})
    request.files, request.options = {"media": (upload_type, file)}, options
    return insert_one(connection, request)


def build_request(
    name: str, message: Message, to: Recipient | None, options: MessageOptions, accounts: AccountSource | None
) -> JobRequest:
    """Returns the request for one message. Raises CheckFailed for what is no message or no recipients at all."""
    document = document_of(message)
    recipients = parse_recipients(to)
    account = find_account(name, accounts)
    vendor = channel(account.channel)
    kind = vendor.kind_of(document, recipients)
    if kind == JobKind.UPDATE_CARD:
        remedy = "use update_card(...), or update_card_by_code(...) for a card that something else sent"
        raise CheckFailed([Problem("message", "a card update needs the job it is about", remedy)])
    request = JobRequest(kind, account, document, recipients, files=message.files(), options=options)
    if home_of(type(message)) != vendor.name or kind in vendor.unused_options:
        request.problems = list(class_problems(vendor, message, kind))
    return request
