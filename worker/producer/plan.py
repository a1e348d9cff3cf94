"""Checks a producer's job and makes its rows. Reads files, but no table and no clock.

Every problem is found before anything is inserted, and all are named at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import uuid_utils
from pydantic_core import to_json

from worker.channels import registry
from worker.channels.registry import require_usable
from worker.domain.account import Account
from worker.domain.content.message import LOOKED_AT, File, Message, looked_at
from worker.domain.content.recipient import Recipients, To
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import Draft, part_id
from worker.domain.pacing.lane import lane_within
from worker.outbox.engine.site_keys import lane_name, order_id
from worker.outbox.jobs.jobs import JobRow, PartRow
from worker.producer.options import Options, instant_of, option_problems, priority_of

Recipient = Recipients | str | Sequence[str]
"""`To(...)`, `Everyone()`, or users as a list or the vendor's `"a | b"`."""

MESSAGE_BYTES = 8 * 1024 * 1024
"""Most bytes of a message document: above the vendors' largest (eight mpnews articles of 666 KB), and still small for
a database."""
RECIPIENTS_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Asked:
    """One job as the application enqueued it, before any check."""

    kind: str
    account: Account
    document: Mapping[str, Any] = field(repr=False)
    files: Mapping[str, tuple[str, File]] = field(repr=False)
    recipients: Recipients
    options: Options = field(repr=False)
    target: str | None = None
    about: Mapping[str, Any] | None = field(default=None, repr=False)
    """The message of the target, where the channel has to know it."""
    replay_of: str | None = None
    replay: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Keys that every part's spec gets beside its share."""
    chat_types: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Chat id -> type, as callbacks reported it."""
    payload: int = 0
    """The version of its documents, see `PAYLOAD`; of a follow-up its target's, because both are read together."""


@dataclass(slots=True)
class Planned:
    """One job ready to be inserted; its content is already JSON text, which keeps thousands of them small in memory."""

    job: JobRow = field(repr=False)
    parts: list[PartRow] = field(repr=False)
    """Empty for a job that is one part with all its recipients."""
    warnings: tuple[str, ...]
    document: dict[str, Any] | None = field(repr=False)
    """Set only when the message has files: the insert writes their blobs' ids into it."""
    files: list[tuple[File, dict[str, Any]]] = field(repr=False)
    """Each file with its entry in the document."""

    key: tuple[str, str] | None
    """Account and dedupe key; None: the job has no dedupe key."""
    task_ids: list[dict[str, str]] = field(default_factory=list, repr=False)
    """Rows of account, task_id and the part that sends it, where the caller chose the task_id of a card."""


def plan(asked: Asked, site_key: bytes) -> Planned:
    """Checks one job, splits it and makes its rows; CheckFailed names everything that is wrong with it."""
    require_usable(asked.account)
    problems = list(option_problems(asked.options))
    document, files = _with_files(asked, problems)
    channel, notes = registry.channel(asked.account.channel), list[str]()
    if not problems and asked.options.overflow != "refuse":
        document, notes = channel.fit(asked.kind, document, asked.account, asked.options.overflow)
    draft = Draft(
        asked.kind,
        asked.account,
        document,
        asked.recipients,
        asked.replay,
        asked.about,
        asked.chat_types,
        ordered=asked.options.order_key is not None,
    )
    plain = not problems and channel.is_plain(draft)
    if not problems:
        problems = ([] if plain else channel.check(draft)) or _unfit_words(asked.options)
    message, recipients, who = "", "", asked.recipients.to_json()
    if not problems:
        message = _text("message", document, MESSAGE_BYTES, problems)
        recipients = _text("recipients", who, RECIPIENTS_BYTES, problems)
    if problems:
        raise CheckFailed(problems, channel=asked.account.channel)
    split = [{**spec, **asked.spec} for spec in channel.split(draft)] if asked.spec else channel.split(draft)
    warnings = (*notes, *(() if plain else channel.warnings(draft)))
    job = _job_row(asked, draft, message, recipients, warnings, len(split))
    key = None if asked.options.dedupe_key is None else (asked.account.name, asked.options.dedupe_key)
    planned = Planned(job, [], warnings, document if "files" in document else None, files, key)
    lanes = [channel.lane(asked.kind, document, spec) for spec in split]
    names = {lane: lane_name(site_key, asked.account.name, lane) for lane in dict.fromkeys(lanes)}
    if (tenant := asked.options.tenant) is not None:
        names = {lane: lane_within(name, tenant) for lane, name in names.items()}
    order = asked.options.order_key and order_id(site_key, asked.account.name, asked.options.order_key)
    if split == [who]:
        job["lane"] = names[lanes[0]]
        if order:
            job["order_id"] = order
    else:
        _lay_out_parts(planned, split, [names[lane] for lane in lanes], order)
    return planned


def _lay_out_parts(
    planned: Planned, split: Sequence[Mapping[str, Any]], lanes: Sequence[str], order: str | None
) -> None:
    job = planned.job
    for n, (spec, lane) in enumerate(zip(split, lanes, strict=True)):
        part: PartRow = {"id": part_id(job["id"], n), "job_id": job["id"], "n": n, "lane": lane, "spec": dump(spec)}
        if order:
            part["order_id"] = order
        planned.parts.append(part)
        if "task_id" in spec:
            named = {"account": job["account"], "task_id": spec["task_id"], "part_id": part["id"]}
            planned.task_ids.append(named)


def _job_row(
    asked: Asked, draft: Draft, message: str, recipients: str, warnings: tuple[str, ...], n_open: int
) -> JobRow:
    options = asked.options
    row: JobRow = {
        "id": uuid_utils.uuid7().hex,
        "kind": asked.kind,
        "channel": asked.account.channel,
        "account": asked.account.name,
        "message": message,
        "recipients": recipients,
        "asked": asked.recipients.count(),
        "priority": priority_of(options.priority),
        "on_unknown": options.on_unknown or "default",
        "payload": asked.payload,
        "n_open": n_open,
    }
    if options.due_at is not None:
        instant, absolute = instant_of(options.due_at)
        row["due_at" if absolute else "due_in"] = instant
    if options.expires_at is not None:
        instant, absolute = instant_of(options.expires_at)
        row["expires_at" if absolute else "expires_in"] = instant
    if options.dedupe_key is not None:
        row["dedupe_key"], row["content_hash"] = options.dedupe_key, content_hash(asked, draft)
    if options.quiet_hours is not None:
        row["quiet_hours"] = options.quiet_hours
    if options.order_key is not None:
        row["order_key"], row["on_gap"] = options.order_key, options.on_gap
    if options.tags:
        row["tags"] = dump(list(options.tags))
    if options.tenant is not None:
        row["tenant"] = options.tenant
    if asked.target is not None:
        row["target_job_id"] = asked.target
    if asked.replay_of is not None:
        row["replay_of"] = asked.replay_of
    if warnings:
        row["warnings"] = dump(warnings)
    return row


def content_hash(asked: Asked, draft: Draft) -> str:
    """SHA-256 of kind, message, recipients and target; equal for equal content, whichever job stored its files."""
    document = dict(draft.message)
    if "files" in document:
        document["files"] = {
            path: {name: value for name, value in entry.items() if name not in ("blob", *LOOKED_AT)}
            for path, entry in document["files"].items()
        }
    to = draft.recipients
    who = [sorted(one.lower() for one in ids) for ids in (to.users, to.parties, to.tags)]
    content: list[Any] = [draft.kind, document, who, to.everyone, asked.target, *sorted(to.chats)]
    # Added only where given, so that jobs which an earlier release hashed have the same hash today.
    further = [to.audience, *sorted(to.customers), *sorted(one.lower() for one in to.emails), *map(list, to.by_sender)]
    if any(further):
        content.append(further)
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def dump(value: object) -> str:
    """JSON as it is stored, with UTF-8 instead of escapes. Twice as fast as the standard library."""
    return to_json(value).decode()


def _with_files(asked: Asked, problems: list[Problem]) -> tuple[dict[str, Any], list[tuple[File, dict[str, Any]]]]:
    """The document with an entry for every attached file."""
    document = dict(asked.document)
    if not asked.files:
        return document, []
    entries = {path: _file_entry(path, kind, file, problems) for path, (kind, file) in asked.files.items()}
    document["files"] = entries
    return document, [(file, entries[path]) for path, (_, file) in asked.files.items() if file.url is None]


def _file_entry(path: str, upload_type: str, file: File, problems: list[Problem]) -> dict[str, Any]:
    """The document's entry of a file, which is read once through here and again when it is stored.

    A file behind a URL is not read; its entry holds the URL.
    """
    entry: dict[str, Any] = {"upload_type": upload_type, "name": file.name, "blob": None}
    if file.url is not None:
        return entry | {"url": file.url}
    try:
        size, sha256 = file.measure()
        details = looked_at(upload_type, file.head(), file.chunks())
    except (OSError, ValueError, AttributeError) as error:
        text = f"the file cannot be read ({type(error).__name__})"
        problems.append(Problem(path, text, "give a readable path, bytes or a stream"))
        return entry
    return entry | {"size": size, "sha256": sha256, **details}


def _unfit_words(options: Options) -> list[Problem]:
    problems: list[Problem] = []
    for name in ("dedupe_key", "order_key", "tags", "tenant"):
        if value := getattr(options, name):
            _text(name, value if isinstance(value, str) else list(value), MESSAGE_BYTES, problems)
    return problems


def _text(name: str, value: object, limit: int, problems: list[Problem]) -> str:
    """The value as JSON; adds a problem when it is too large, or has a NUL, half a surrogate pair, or is no JSON."""
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


def recipients_of(to: Recipient | None) -> Recipients:
    """The Recipients for each form that a producer may write; CheckFailed for any other."""
    match to:
        case None:
            return Recipients()
        case Recipients():
            return to
        case str() | list() | tuple():
            return To(to)
    raise CheckFailed([Problem("to", f"is a {type(to).__name__}", "use To(users=..., parties=..., tags=...)")])


def document_of(message: Message) -> dict[str, Any]:
    """The message as it is stored."""
    if not isinstance(message, Message):
        raise CheckFailed([Problem("message", f"is a {type(message).__name__}", "use Text(...), Image(...), Raw(...)")])
    return message.document()
