"""The producer's door: a job is checked, split and inserted in the caller's own transaction; nothing else happens.

Nothing is committed here, no broker is touched, no vendor is called. Commit means sent, rollback means never.
Every function takes a Session, a Connection, an AsyncSession or an AsyncConnection; with the last two it returns an
awaitable. `bind=` picks one of a session's several binds, `accounts=` replaces the process's accounts, `clock=` is for
tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from worker.config.accounts import AccountSource
from worker.config.current import current_accounts
from worker.delivery.draft import Asked, Instant, Options, Planned, kind_of, plan
from worker.delivery.insert import JobRef, insert
from worker.domain.errors import CheckFailed, JobNotFound, NotReplayable, Problem
from worker.domain.job import Kind, Priority
from worker.domain.message import File, Message
from worker.domain.recipient import Recipients, To
from worker.outbox import jobs as outbox
from worker.outbox.blobs import stored_blobs
from worker.outbox.caller import Bind, in_callers_transaction
from worker.outbox.clock import DatabaseClock, SqlClock
from worker.outbox.site import lane_key

Recipient = Recipients | str | Sequence[str]
"""`To(...)`, `Everyone()`, or users as a list or the vendor's `"a | b"`."""

_CLOCK = DatabaseClock()


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
    tags: Sequence[str] = (),
    on_unknown: str | None = None,
    bind: Bind | None = None,
    accounts: AccountSource | None = None,
    clock: SqlClock = _CLOCK,
) -> JobRef:
    """Asks for one message to be sent, or one file to be uploaded, once the caller's transaction commits.

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
        tags=tags,
        on_unknown=on_unknown,
    )
    return _one(connection, _asked(job, accounts), clock)


@in_callers_transaction
def enqueue_many(
    connection: Connection,
    jobs: Iterable[NewJob],
    *,
    bind: Bind | None = None,
    accounts: AccountSource | None = None,
    clock: SqlClock = _CLOCK,
) -> list[JobRef]:
    """Asks for many messages in few statements: all of them or, on an error, none. References in the order given."""
    key = lane_key(connection)
    planned: list[Planned] = []
    problems: list[Problem] = []
    for place, job in enumerate(jobs):
        try:
            planned.append(plan(_asked(job, accounts), key))
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
    """Asks for a file to be uploaded; the job's receipt is its media_id. A send uploads its own files by itself."""
    options = Options(priority=priority, due_at=due_at, expires_at=expires_at, dedupe_key=dedupe_key, tags=tags)
    found = (accounts or current_accounts()).get(account)
    files = {"media": (upload_type, file)}
    asked = Asked(Kind.UPLOAD, found, {"type": "upload"}, files, Recipients(), options)
    return _one(connection, asked, clock)


@in_callers_transaction
def recall(
    connection: Connection,
    job_id: str,
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
    """Asks for everything a send brought out to be taken back; whether it has gone out yet is found out later."""
    options = Options(priority=priority, due_at=due_at, expires_at=expires_at, dedupe_key=dedupe_key, tags=tags)
    return _follow_up(connection, Kind.RECALL, job_id, {}, Recipients(), options, accounts, clock)


@in_callers_transaction
def update_card(
    connection: Connection,
    job_id: str,
    update: Message,
    to: Recipient | None = None,
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
    """Asks for the card a send brought out to be replaced, for some or (without `to`) for everyone who has it."""
    options = Options(priority=priority, due_at=due_at, expires_at=expires_at, dedupe_key=dedupe_key, tags=tags)
    document = _document(update)
    if kind_of(document) != Kind.UPDATE_CARD:
        raise CheckFailed([Problem("update", "is not a card update", "use CardUpdate(...)")])
    return _follow_up(connection, Kind.UPDATE_CARD, job_id, document, _recipients(to), options, accounts, clock)


@in_callers_transaction
def replay(
    connection: Connection,
    job_id: str,
    *,
    priority: str | Priority | None = None,
    bind: Bind | None = None,
    accounts: AccountSource | None = None,
    clock: SqlClock = _CLOCK,
) -> JobRef:
    """Asks for a whole job once more, as a new job linked to the first; who got it the first time gets it again."""
    old = _existing(connection, job_id)
    document = json.loads(old["message"])
    _refuse_replay(connection, old, document)
    original = old["replay_of"] or old["id"]
    asked = Asked(
        old["kind"],
        (accounts or current_accounts()).get(old["account"]),
        document,
        {},
        Recipients.from_json(json.loads(old["recipients"])),
        Options(
            priority=Priority(old["priority"]) if priority is None else priority,
            order_key=old["order_key"],
            tags=json.loads(old["tags"] or "[]"),
            on_unknown=old["on_unknown"],
        ),
        target=old["target_job_id"],
        replay_of=original,
        replay=1 + outbox.number_of_replays(connection, original),
    )
    return _one(connection, asked, clock)


def _one(connection: Connection, asked: Asked, clock: SqlClock) -> JobRef:
    return insert(connection, [plan(asked, lane_key(connection))], clock)[0]


def _asked(job: NewJob, accounts: AccountSource | None) -> Asked:
    document = _document(job.message)
    kind = kind_of(document)
    if kind == Kind.UPDATE_CARD:
        raise CheckFailed([Problem("message", "a card update needs the job it is about", "use update_card(...)")])
    account = (accounts or current_accounts()).get(job.account)
    return Asked(kind, account, document, job.message.files(), _recipients(job.to), job)


def _document(message: Message) -> dict[str, Any]:
    if not isinstance(message, Message):
        raise CheckFailed([Problem("message", f"is a {type(message).__name__}", "use Text(...), Image(...), Raw(...)")])
    return message.document()


def _recipients(to: Recipient | None) -> Recipients:
    match to:
        case None:
            return Recipients()
        case Recipients():
            return to
        case str() | list() | tuple():
            return To(to)
    raise CheckFailed([Problem("to", f"is a {type(to).__name__}", "use To(users=..., parties=..., tags=...)")])


def _follow_up(
    connection: Connection,
    kind: Kind,
    job_id: str,
    document: Mapping[str, Any],
    recipients: Recipients,
    options: Options,
    accounts: AccountSource | None,
    clock: SqlClock,
) -> JobRef:
    """A job about another one: on its account, as one part; resolve finds out what there is to do."""
    target = _existing(connection, job_id)
    if target["kind"] != Kind.SEND:
        text = f"job {job_id} is not a send but {target['kind']}"
        raise CheckFailed([Problem("job_id", text, "name the job that sent the message")], channel=target["channel"])
    account = (accounts or current_accounts()).get(target["account"])
    asked = Asked(kind, account, document, {}, recipients, options, target=target["id"])
    return _one(connection, asked, clock)


def _existing(connection: Connection, job_id: str) -> Mapping[str, Any]:
    found = outbox.read_job(connection, job_id)
    if found is None:
        raise JobNotFound(f"no job {job_id!r}; was its transaction committed?", job=job_id)
    return found


def _refuse_replay(connection: Connection, old: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    job_id = str(old["id"])
    if old["n_open"]:
        raise NotReplayable(f"job {job_id} is still open; wait for its end or cancel it", job=job_id)
    if not document and old["kind"] != Kind.RECALL:
        raise NotReplayable(f"the message of job {job_id} is no longer kept; enqueue it anew", job=job_id)
    blobs = {str(entry["blob"]) for entry in document.get("files", {}).values()}
    if blobs and blobs - stored_blobs(connection, sorted(blobs)):
        raise NotReplayable(f"a file of job {job_id} is no longer kept; enqueue it anew", job=job_id)


def _at_place(place: int, error: CheckFailed) -> list[Problem]:
    return [
        Problem(f"jobs[{place}].{one.field}", one.text, one.remedy, one.limit, one.unit, one.size)
        for one in error.problems
    ]
