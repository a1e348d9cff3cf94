"""Checks a producer's job and makes its rows. Reads files, but no table and no clock.

Every problem is found before anything is inserted, and all are named at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uuid_utils
from pydantic_core import to_json

from worker.accounts.current import current_accounts
from worker.channels import registry
from worker.channels.foreign import beside_problems
from worker.channels.registry import require_usable
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import Recipients, To
from worker.domain.errors import CheckFailed, Problem, UnknownKeyword, refused_type
from worker.domain.job import Draft, part_id
from worker.outbox.engine.site_keys import lane_name, order_id
from worker.outbox.jobs.jobs import JobRow, PartRow
from worker.producer.options import (
    MAX_CHARACTERS,
    JobOptions,
    MessageOptions,
    instant_of,
    option_problems,
    past_warnings,
    priority_of,
)

Recipient = Recipients | str | Sequence[str]
"""`To(...)`, `Everyone()`, or users as a list or the vendor's `"a | b"`."""

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Most bytes of a message document: above the vendors' largest (eight mpnews articles of 666 KB), and still small for
a database."""
MAX_RECIPIENTS_BYTES = 4 * 1024 * 1024

if TYPE_CHECKING:
    # Imported by the first job, so that an application starts without loading the settings.
    from worker.config.accounts import AccountSource
    from worker.domain.account import Account


COLUMN_OPTIONS = MessageOptions.__annotations__.keys() - {
    "priority",
    "due_at",
    "expires_at",
    "on_gap",
    "tags",
    "overflow",
}
"""The keywords that are stored unchanged in the job's column of the same name."""


_sources: set[type] = set()
"""Classes whose instances are known to be sources of accounts: looking at them anew costs a job a fortieth."""


def find_account(name: str, accounts: AccountSource | None) -> Account:
    """Returns the account of this name among `accounts`, or among this process's if it is None.

    Raises ConfigurationError if it does not exist or `accounts` is no source, and CheckFailed if the name is no text.
    """
    if not isinstance(name, str):
        raise refused_type("account", name, 'give the name of an account, such as "hr"')
    if accounts is None:
        accounts = current_accounts()
    elif type(accounts) not in _sources:
        from worker.config.accounts import require_source

        _sources.add(type(require_source(accounts)))
    return accounts.get(name)


@dataclass(slots=True)
class JobRequest(Draft):
    """One job as the application enqueues it: what its channel checks and splits, and what its rows have beside."""

    files: Mapping[str, tuple[str, File]] = field(default_factory=dict, repr=False)
    options: JobOptions = field(default_factory=JobOptions, repr=False)
    """The keywords, checked in `plan`; of a message also those of MessageOptions."""
    target: str | None = None
    """The job that it is about; None: about none."""
    replay_of: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Keys that every part's spec gets beside its share."""
    problems: Sequence[Problem] = ()
    """What the message has that only another channel has."""
    sent_by: str | None = None
    """The account whose lanes its parts are in; None: its own."""
    payload: int = 0
    """The version of its documents, see `NEWEST_PAYLOAD`; of a follow-up its target's, as both are read together."""


@dataclass(slots=True)
class PlannedJob:
    """One job ready to be inserted; its content is already JSON text, which keeps thousands of them small in memory."""

    job: JobRow = field(repr=False)
    parts: Sequence[PartRow] = field(repr=False)
    """Empty for a job that is one part with all its recipients."""
    warnings: tuple[str, ...]
    key: tuple[str, str] | None
    """Account and dedupe key; None: the job has no dedupe key."""
    document: Mapping[str, Any] | None = field(default=None, repr=False)
    """Set only when the message has files: the insert writes their blobs' ids into it."""
    files: Sequence[tuple[File, dict[str, Any]]] = field(default=(), repr=False)
    """Each file with its entry in the document."""
    customers: Sequence[str] = field(default=(), repr=False)
    """Customers whose messages of this month are counted; empty where the channel counts none."""
    task_ids: Sequence[dict[str, str]] = field(default=(), repr=False)
    """Rows of account, task_id and the part that sends it, where the caller chose the task_id of a card."""


def plan(request: JobRequest, site_key: bytes) -> PlannedJob:
    """Checks one job, splits it and makes its rows. Raises CheckFailed with every problem."""
    require_usable(request.account)
    options, channel = cast(MessageOptions, request.options), registry.channel(request.account.channel)
    unusable = list(request.problems) if request.problems else []
    files = _add_files(request, unusable) if request.files else []
    problems = [*unusable, *option_problems(options)] if options else list(unusable)
    notes: Sequence[str] = ()
    if not problems and (overflow := options.get("overflow") or "refuse") != "refuse":
        request.message, notes = channel.fit(request.kind, request.message, request.account, overflow)
    is_simple = channel.is_plain(request)
    if not is_simple and not unusable:
        problems += [*beside_problems(channel, request), *channel.check(request)]
    if not problems and options:
        problems = _option_text_problems(options)
    message, recipients, to = "", "", request.recipients.to_json()
    if not problems:
        message = _text("message", request.message, MAX_MESSAGE_BYTES, problems)
        recipients = _text("recipients", to, MAX_RECIPIENTS_BYTES, problems)
    if problems:
        failed = UnknownKeyword if options.keys() - MessageOptions.__annotations__.keys() else CheckFailed
        raise failed(problems, channel=request.account.channel)
    split = [to] if is_simple else channel.split(request)
    if request.spec:
        split = [{**spec, **request.spec} for spec in split]
    job_id = uuid_utils.uuid7().hex
    warnings = (*notes, *(() if is_simple else channel.warnings(request)))
    if options:
        warnings += tuple(past_warnings(options, int(job_id[:12], 16) * 1000))
    job = _job_row(job_id, request, message, recipients, warnings, len(split))
    planned = PlannedJob(job, (), warnings, (job["account"], job["dedupe_key"]) if "dedupe_key" in job else None)
    if channel.customer_month is not None:
        planned.customers = request.recipients.customers
    if "files" in request.message:
        planned.document, planned.files = request.message, files
    labels = [channel.lane(request.kind, request.message, spec) for spec in split]
    sender = request.sent_by or job["account"]
    lanes = [lane_name(site_key, sender, label, options.get("tenant")) for label in labels]
    order = order_id(site_key, job["account"], job["order_key"]) if "order_key" in job else None
    if split == [to]:
        job["lane"] = lanes[0]
        if order:
            job["order_id"] = order
    else:
        _lay_out_parts(planned, split, lanes, order)
    return planned


def _lay_out_parts(
    planned: PlannedJob, split: Sequence[Mapping[str, Any]], lanes: Sequence[str], order: str | None
) -> None:
    job, parts, task_ids = planned.job, list[PartRow](), list[dict[str, str]]()
    for n, (spec, lane) in enumerate(zip(split, lanes, strict=True)):
        part: PartRow = {"id": part_id(job["id"], n), "job_id": job["id"], "n": n, "lane": lane, "spec": dump(spec)}
        if order:
            part["order_id"] = order
        parts.append(part)
        if "task_id" in spec:
            task_ids.append({"account": job["account"], "task_id": spec["task_id"], "part_id": part["id"]})
    planned.parts, planned.task_ids = parts, task_ids


def _job_row(
    job_id: str, request: JobRequest, message: str, recipients: str, warnings: tuple[str, ...], n_open: int
) -> JobRow:
    row: JobRow = {
        "id": job_id,
        "kind": request.kind,
        "channel": request.account.channel,
        "account": request.account.name,
        "message": message,
        "recipients": recipients,
        "asked": request.recipients.count(),
        "priority": priority_of(request.options.get("priority")),
        "on_unknown": "default",
        "payload": request.payload,
        "n_open": n_open,
    }
    if request.options:
        _add_options(row, request, cast(MessageOptions, request.options))
    if request.target is not None:
        row["target_job_id"] = request.target
    if request.replay_of is not None:
        row["replay_of"] = request.replay_of
    if warnings:
        row["warnings"] = dump(warnings)
    return row


def _add_options(row: JobRow, request: JobRequest, options: MessageOptions) -> None:
    row |= {name: value for name, value in options.items() if name in COLUMN_OPTIONS and value is not None}
    if (due_at := options.get("due_at")) is not None:
        instant, absolute = instant_of(due_at)
        row["due_at" if absolute else "due_in"] = instant
    if (expires_at := options.get("expires_at")) is not None:
        instant, absolute = instant_of(expires_at)
        row["expires_at" if absolute else "expires_in"] = instant
    if "dedupe_key" in row:
        row["content_hash"] = content_hash(request)
    if "order_key" in row:
        row["on_gap"] = options.get("on_gap") or "wait"
    if tags := options.get("tags"):
        row["tags"] = dump(list(tags))


def content_hash(request: JobRequest) -> str:
    """SHA-256 of kind, message, recipients and target; equal for equal content, whichever job stored its files."""
    document = dict(request.message)
    if "files" in document:
        document["files"] = {
            path: {name: value for name, value in entry.items() if name != "blob"}
            for path, entry in document["files"].items()
        }
    to = request.recipients
    who = [sorted(one.lower() for one in ids) for ids in (to.users, to.parties, to.tags)]
    others = [sorted(to.chats), sorted(to.customers), sorted(one.lower() for one in to.emails), list(to.by_sender)]
    content = [request.kind, document, who, to.everyone, to.audience, others, request.target]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def dump(value: object) -> str:
    """JSON as it is stored, with UTF-8 instead of escapes. Twice as fast as the standard library."""
    return to_json(value).decode()


def _add_files(request: JobRequest, problems: list[Problem]) -> list[tuple[File, dict[str, Any]]]:
    """Gives the document an entry for every attached file; returns the files that are to be stored, with theirs."""
    entries = {path: _file_entry(path, kind, file, problems) for path, (kind, file) in request.files.items()}
    request.message = {**request.message, "files": entries}
    return [(file, entries[path]) for path, (_, file) in request.files.items() if file.url is None]


def _file_entry(path: str, upload_type: str, file: File, problems: list[Problem]) -> dict[str, Any]:
    """The document's entry of a file, which is read once through here and again when it is stored.

    A file behind a URL is not read; its entry holds the URL.
    """
    entry: dict[str, Any] = {"upload_type": upload_type, "name": file.name, "blob": None}
    if file.url is not None:
        return entry | {"url": file.url}
    try:
        if isinstance(file.source, Path) and file.source.exists() and not file.source.is_file():
            # A folder; or a device or a pipe, which may never end, and is not read twice.
            problems.append(Problem(path, f"{file.source} is no regular file", "give one, or File(content, name)"))
            return entry
        size, sha256 = file.measure()
    except (OSError, ValueError, AttributeError) as error:
        kind = type(error).__name__
        text = f"cannot be read ({kind})"
        if isinstance(file.source, Path):
            text = f"{file.source} cannot be read ({kind})"
        problems.append(Problem(path, text, "give a readable path, bytes or a binary file that is open"))
        return entry
    return entry | {"size": size, "sha256": sha256}


def _option_text_problems(options: MessageOptions) -> list[Problem]:
    problems: list[Problem] = []
    for name in MAX_CHARACTERS:
        _text(name, options.get(name), MAX_MESSAGE_BYTES, problems)
    _text("tags", list(options.get("tags") or ()), MAX_MESSAGE_BYTES, problems)
    return problems


def _text(name: str, value: object, limit: int, problems: list[Problem]) -> str:
    """Returns the value as JSON. Adds a problem if it is too large or cannot be stored as text."""
    try:
        written = to_json(value)
    except UnicodeEncodeError:
        problems.append(Problem(name, "holds half of a surrogate pair", "decode the text properly before it is sent"))
        return ""
    except (TypeError, ValueError):
        problems.append(Problem(name, "holds a value that is not JSON", "use texts, whole numbers, lists and dicts"))
        return ""
    if b"\\u0000" in written and _has_nul(value):
        problems.append(Problem(name, "holds a NUL character", "take it out: PostgreSQL cannot store it"))
    if len(written) > limit:
        problems.append(Problem(name, "is too large", "split it into several jobs", limit, "bytes", len(written)))
    return written.decode()


def _has_nul(value: object) -> bool:
    match value:
        case str():
            return "\x00" in value
        case Mapping():
            return any(_has_nul(key) or _has_nul(inner) for key, inner in value.items())
        case list() | tuple():
            return any(map(_has_nul, value))
    return False


def parse_recipients(to: Recipient | None) -> Recipients:
    """Returns the Recipients for each form that a producer may write. Raises CheckFailed for any other."""
    match to:
        case None:
            return Recipients()
        case Recipients():
            return to
        case str() | list() | tuple():
            return To(to)
    raise refused_type("to", to, "use To(users=..., parties=..., tags=...)")


def document_of(message: Message, *, use: str = "use Text(...), Image(...), Raw(...)") -> dict[str, Any]:
    """Returns the message as it is stored. Raises CheckFailed with `use` as the remedy for what is no message."""
    if isinstance(message, Message):
        return message.document()
    if isinstance(message, type) and issubclass(message, Message):
        class_name = message.__name__
        raise CheckFailed([Problem("message", f"is the class {class_name}", f"write {class_name}(...)")])
    raise refused_type("message", message, use)
