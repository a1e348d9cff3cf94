"""What a job is found by besides its id: its terms, short keyed hashes under which an index names it. Pure.

A term is a hash, so that the index holds no recipient; it is keyed, so that none can be tried out without the database.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from worker.domain.content.recipient import LISTS, same_person
from worker.domain.job import Kind
from worker.domain.state import JobState

MAX_HOURS = 31 * 24
"""The longest span of ended jobs that is looked up hour by hour."""
_MENTIONS = ("mentioned_list", "mentioned_mobile_list", "userlist", "add_user_list", "del_user_list")
_MENTION = re.compile(r"<@([^<>\s]{1,64})>")
_GROUPS = ("party", "tag")
FACTS = ("account", "kind", "finished_at", "order_key", "tags", "message", "recipients")
"""The columns of a job, in the order of `IndexedJob`."""
REQUEST_ID = "request_id:"
"""What a tag begins with that names the request which asked for the job."""
MAX_LOGGED = 300
"""Most characters of a job's tags, or of its request id, in a log line."""
HASH = 16
"""Characters of a text's hash."""


def term(key: bytes, name: str, value: str) -> str:
    """The term of a field's value: 72 bits in 12 characters."""
    digest = hashlib.blake2b(f"{name}\n{value}".encode(), key=key[:64], digest_size=9).digest()
    return base64.urlsafe_b64encode(digest).decode()


def text_hash(message: str) -> str:
    """The hash of a message (JSON, as it is stored): the same for each job that says the same."""
    return hashlib.sha256(message.encode()).hexdigest()[:HASH]


def hour_of(micros: int) -> str:
    """The hour in UTC in which an instant lies."""
    return f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%dT%H}"


def hours_between(begin: datetime, end: datetime) -> list[str]:
    """The hours in UTC from one instant to another; at most `MOST_HOURS` and one more, so that too many are seen."""
    at, hours = begin.astimezone(UTC).replace(minute=0, second=0, microsecond=0), list[str]()
    while at <= end and len(hours) <= MAX_HOURS:
        hours.append(f"{at:%Y-%m-%dT%H}")
        at += timedelta(hours=1)
    return hours


def persons(recipients: str, message: str) -> set[str]:
    """The persons that a job names (both JSON): recipients, the members who send to them, whom a text mentions.

    A department is `party:7`, a tag of the vendor's `tag:7`: their ids are not those of members.
    """
    asked = _document(recipients)
    named = {
        same_person(f"{kind}:{one}" if kind in _GROUPS else one)
        for kind, name in LISTS.items()
        for one in _texts(asked.get(name))
    }
    named |= {same_person(one) for sender in _list(asked.get("by_sender")) for one in _texts(_list(sender)[:1])}
    # A message may have megabytes, and few mention a person.
    if any(name in message for name in _MENTIONS):
        named |= {same_person(one) for one in _mentioned(_document(message))}
    return named | {same_person(one) for one in _MENTION.findall(message)}


def tags_of(tags: str | None) -> list[str]:
    """The tags of a job, out of its column."""
    try:
        return list(_texts(json.loads(tags or "[]")))
    except (ValueError, RecursionError):
        return []


def tag_fields(tags: str | None) -> dict[str, Any]:
    """The fields of a log line that tell of a job's tags, out of its column: `request_id`, and the others as `tags`."""
    words = tags_of(tags)
    others = [word for word in words if not word.startswith(REQUEST_ID)]
    short = [word for word, end in zip(others, accumulate(map(len, others)), strict=True) if end <= MAX_LOGGED]
    ids = [word.removeprefix(REQUEST_ID)[:MAX_LOGGED] for word in words if word.startswith(REQUEST_ID)]
    found: dict[str, Any] = {"request_id": ids[0]} if ids else {}
    if others:
        found["tags"] = short if len(short) == len(others) else [*short, "..."]
    return found


# What no release of ours wrote counts as nothing, so that one odd row keeps no other from being found.


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> Iterator[str]:
    return (one for one in _list(value) if isinstance(one, str))


def _mentioned(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner) if name in _MENTIONS else _mentioned(inner)


@dataclass(frozen=True, slots=True)
class IndexedJob:
    """What the terms of a job that has ended, or did once, are made of."""

    id: str
    account: str
    kind: str
    finished_at: int | None
    order_key: str | None
    tags: str | None
    """A JSON list; None: no tags."""
    message: str = field(repr=False)
    recipients: str = field(repr=False)
    state: JobState
    msgids: Iterable[str]
    errcodes: Iterable[int]

    def terms(self, key: bytes) -> set[str]:
        """Its terms. What most jobs have in common, as to have been accepted, is none: it would find nothing."""
        return {term(key, name, value) for name, value in self._values()}

    def _values(self) -> Iterator[tuple[str, str]]:
        yield "account", self.account
        yield "text_hash", text_hash(self.message)
        if self.kind != Kind.SEND:
            yield "kind", self.kind
        if self.state not in (JobState.ACCEPTED, JobState.OPEN):
            yield "state", self.state.label
        if self.finished_at is not None:
            yield "ended", hour_of(self.finished_at)
        if self.order_key is not None:
            yield "order_key", self.order_key
        yield from (("tag", tag) for tag in tags_of(self.tags))
        yield from (("recipient", one) for one in persons(self.recipients, self.message))
        yield from (("msgid", msgid) for msgid in self.msgids)
        yield from (("errcode", str(code)) for code in self.errcodes if code)
