"""The search terms of a job: short keyed hashes of its fields, under which an index lists it.

A term is a hash, so that the index holds no recipient. It is keyed, so that no value can be tried without the database.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from worker.domain.content.recipient import LISTS, same_person
from worker.domain.job import JobKind
from worker.domain.state import JobState
from worker.domain.stored import object_or_empty, texts_of

MAX_HOURS = 31 * 24
"""The longest span in which ended jobs are searched hour by hour."""
_MENTIONS = ("mentioned_list", "mentioned_mobile_list", "userlist", "add_user_list", "del_user_list")
_MENTION = re.compile(r"<@([^<>\s]{1,64})>")
_GROUPS = ("party", "tag")
FACTS = ("account", "kind", "finished_at", "order_key", "tags", "message", "recipients")
"""The columns of a job, in the order of `IndexedJob`."""
REQUEST_ID = "request_id:"
"""The prefix of a tag that holds the id of the request behind the job."""
MAX_LOGGED = 300
"""The largest number of characters of a job's tags, or of its request id, in a log line."""
HASH = 16
"""Characters of a text's hash."""


def term(key: bytes, name: str, value: str) -> str:
    """Returns the term of a field's value: 72 bits in 12 characters."""
    digest = hashlib.blake2b(f"{name}\n{value}".encode(), key=key[:64], digest_size=9).digest()
    return base64.urlsafe_b64encode(digest).decode()


def text_hash(message: str) -> str:
    """Returns the hash of a message (JSON, as it is stored). Equal messages have equal hashes."""
    return hashlib.sha256(message.encode()).hexdigest()[:HASH]


def hour_of(micros: int) -> str:
    """Returns the hour in UTC of an instant."""
    return f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%dT%H}"


def hours_between(begin: datetime, end: datetime) -> list[str]:
    """Returns the hours in UTC from one instant to another. Stops one after `MAX_HOURS`, which shows it is too many."""
    at, hours = begin.astimezone(UTC).replace(minute=0, second=0, microsecond=0), list[str]()
    while at <= end and len(hours) <= MAX_HOURS:
        hours.append(f"{at:%Y-%m-%dT%H}")
        at += timedelta(hours=1)
    return hours


def persons(recipients: str, message: str) -> set[str]:
    """Returns the persons that a job names, from JSON: recipients, members who send to them, and mentioned persons.

    A department is `party:7`, a tag of the vendor's `tag:7`, because their ids are not those of members.
    """
    asked = object_or_empty(recipients)
    named = {
        same_person(f"{kind}:{entry}" if kind in _GROUPS else entry)
        for kind, name in LISTS.items()
        for entry in _texts(asked.get(name))
    }
    named |= {same_person(entry) for sender in _list(asked.get("by_sender")) for entry in _texts(_list(sender)[:1])}
    # A message may have megabytes, and few mention a person.
    if any(name in message for name in _MENTIONS):
        named |= {same_person(entry) for entry in _mentioned(object_or_empty(message))}
    return named | {same_person(entry) for entry in _MENTION.findall(message)}


def tags_of(tags: str | None) -> list[str]:
    """Returns the tags of a job from its column."""
    return texts_of(tags)


def tag_fields(tags: str | None) -> dict[str, Any]:
    """Returns the log fields for a job's tags, from its column: `request_id`, and the other tags as `tags`."""
    all_tags = tags_of(tags)
    other_tags = [tag for tag in all_tags if not tag.startswith(REQUEST_ID)]
    short = [tag for tag, end in zip(other_tags, accumulate(map(len, other_tags)), strict=True) if end <= MAX_LOGGED]
    ids = [tag.removeprefix(REQUEST_ID)[:MAX_LOGGED] for tag in all_tags if tag.startswith(REQUEST_ID)]
    fields: dict[str, Any] = {"request_id": ids[0]} if ids else {}
    if other_tags:
        fields["tags"] = short if len(short) == len(other_tags) else [*short, "..."]
    return fields


# Values that no release of ours wrote count as empty, so that one faulty row hides no other.


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> Iterator[str]:
    return (entry for entry in _list(value) if isinstance(entry, str))


def _mentioned(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner) if name in _MENTIONS else _mentioned(inner)


@dataclass(frozen=True, slots=True)
class IndexedJob:
    """A job that has ended, with the fields from which its terms are made."""

    id: str
    account: str
    kind: str
    finished_at: int | None
    order_key: str | None
    tags: str | None
    """A JSON list, or None without tags."""
    message: str = field(repr=False)
    recipients: str = field(repr=False)
    state: JobState
    msgids: Iterable[str]
    errcodes: Iterable[int]

    def terms(self, key: bytes) -> set[str]:
        """Returns the terms. A property of most jobs, such as acceptance, has none: it would not narrow a search."""
        return {term(key, name, value) for name, value in self._values()}

    def _values(self) -> Iterator[tuple[str, str]]:
        yield "account", self.account
        yield "text_hash", text_hash(self.message)
        if self.kind != JobKind.SEND:
            yield "kind", self.kind
        if self.state not in (JobState.ACCEPTED, JobState.OPEN):
            yield "state", self.state.label
        if self.finished_at is not None:
            yield "ended", hour_of(self.finished_at)
        if self.order_key is not None:
            yield "order_key", self.order_key
        yield from (("tag", tag) for tag in tags_of(self.tags))
        yield from (("recipient", entry) for entry in persons(self.recipients, self.message))
        yield from (("msgid", msgid) for msgid in self.msgids)
        yield from (("errcode", str(code)) for code in self.errcodes if code)
