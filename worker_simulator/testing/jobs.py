"""The jobs that a test finds in the outbox, and what is told where the expected one is not among them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.domain.content.message import Message
from worker.domain.content.recipient import LISTS, Recipients
from worker.domain.job import Priority
from worker.domain.state import JobState
from worker.language import Lang, term
from worker.outbox.engine.clock import instant
from worker.producer.plan import Recipient, parse_recipients

MOST_SHOWN = 10
"""Jobs that a failed assertion shows, the nearest first."""
WIDTH = 70
"""Characters of one value in a failed assertion."""
_BESIDE = frozenset({"type", "files"})
"""Keys of a stored message that are no content of it: its type has a field, and its files have names of their own."""


@dataclass(frozen=True, slots=True)
class EnqueuedJob:
    """One job of the outbox."""

    id: str
    """32 hexadecimal digits, a UUIDv7."""
    kind: str
    """`send`, `recall`, `update_card`, `upload`, ..."""
    account: str
    """The account's name in the settings."""
    channel: str
    """The name of its channel, as the settings have it."""
    type: str
    """Of its message: `text`, `markdown`, of a card `button_interaction`, ...; empty by a recall."""
    message: Mapping[str, Any] = field(repr=False)
    """As the vendor's pages show it, without recipients."""
    to: Recipients
    """Its recipients."""
    state: str
    """`open` until it has been delivered; then `accepted`, `partial`, `rejected`, ..."""
    priority: str
    """`urgent`, `normal` or `bulk`."""
    due_at: datetime
    """When it is sent at the earliest."""
    expires_at: datetime | None
    """From when on it is not sent any more; None: it never expires."""
    dedupe_key: str | None
    """The key the job was enqueued with; None: it was enqueued without one."""
    order_key: str | None
    """The order key the job was enqueued with; None: it was enqueued without one."""
    tags: tuple[str, ...]
    """The tags of the job. A replay has its original's."""
    tenant: str | None
    """The team that shares the account's limits with others; None: none."""
    about: str | None
    """The job that a recall or a card update is about."""

    @property
    def text(self) -> str:
        """All texts of its message, one after the other."""
        return "\n".join(_texts(self.message))

    def __str__(self) -> str:
        return _line_of(self, "en")


def job_of_row(row: Mapping[str, Any]) -> EnqueuedJob:
    """The job of a row."""
    document = json.loads(row["message"])
    expires_at = row["expires_at"]
    return EnqueuedJob(
        id=row["id"],
        kind=row["kind"],
        account=row["account"],
        channel=row["channel"],
        type=_type_in(document),
        message=_body(document),
        to=Recipients.from_json(json.loads(row["recipients"])),
        state=JobState(row["state"]).label,
        priority=Priority(row["priority"]).name.lower(),
        due_at=instant(row["due_at"]),
        expires_at=None if expires_at is None else instant(expires_at),
        dedupe_key=row["dedupe_key"],
        order_key=row["order_key"],
        tags=tuple(json.loads(row["tags"] or "[]")),
        tenant=row["tenant"],
        about=row["target_job_id"],
    )


def _type_in(document: Mapping[str, Any]) -> str:
    card = (document.get("body") or {}).get("template_card") or {}
    return str(card.get("card_type") or document.get("type", ""))


def _body(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is said, without how it is sent."""
    said = {key: value for key, value in document.items() if key not in _BESIDE}
    body = said.pop("body", None)
    return {**body, **said} if isinstance(body, Mapping) else said


@dataclass(frozen=True, slots=True)
class WantedJob:
    """What a test expects of a job; None: anything."""

    account: str | None = None
    message: Message | type[Message] | None = None
    to: Recipient | None = None
    containing: str | None = None
    """A text that stands somewhere in the message."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of `EnqueuedJob` by name."""

    def differences(self, job: EnqueuedJob, lang: Lang = "en") -> dict[str, tuple[Any, Any]]:
        """Field -> what is wanted and what the job has, where they are not the same."""
        pairs = {name: pair for name, pair in self._pairs(job, lang) if pair[0] != pair[1]}
        if self.containing is not None and self.containing not in job.text:
            pairs["text"] = (_said("something with {text}", lang).format(text=repr(self.containing)), job.text)
        return pairs

    def _pairs(self, job: EnqueuedJob, lang: Lang) -> Iterator[tuple[str, tuple[Any, Any]]]:
        if self.account is not None:
            yield "account", (self.account, job.account)
        if isinstance(self.message, Message):
            wanted, found = _flat("", _plain(self.message)), _flat("", job.message)
            nothing = _said("(nothing)", lang)
            for name in dict.fromkeys((*wanted, *found)):
                yield f"message.{name}", (wanted.get(name, nothing), found.get(name, nothing))
        elif self.message is not None:
            yield "type", (_type_of(self.message), job.type)
        if self.to is not None:
            yield "to", (_people(parse_recipients(self.to), lang), _people(job.to, lang))
        for name, value in self.options.items():
            found = getattr(job, name)
            yield name, (tuple(value) if isinstance(found, tuple) else value, found)

    def told(self, lang: Lang) -> str:
        """What is expected, in one line."""
        words = [_said("on {account}", lang).format(account=self.account or _said("any account", lang))]
        if self.to is not None:
            words.append(_said("to {to}", lang).format(to=_people(parse_recipients(self.to), lang)))
        if isinstance(self.message, Message):
            text = _short(" ".join(_texts(_plain(self.message))))
            words.append(_said("with {text}", lang).format(text=text))
        elif self.message is not None:
            words.append(_said("with a {type}", lang).format(type=self.message.__name__))
        if self.containing is not None:
            words.append(_said("containing {text}", lang).format(text=repr(self.containing)))
        return " ".join([*words, *(f"{name}={value!r}" for name, value in self.options.items())])


def told(wanted: WantedJob, times: int | None, matching: int, jobs: list[EnqueuedJob], lang: Lang) -> str:
    """What a failed assertion says: what was wanted, and every job that there is, the nearest first."""
    found = _said("{count} such jobs were enqueued" if matching else "no such job was enqueued", lang)
    want = _said("wanted: {wanted}" if times is None else "wanted {times}: {wanted}", lang)
    asked = want.format(times=times, wanted=wanted.told(lang))
    lines = [f"{found.format(count=matching)}{'；' if lang == 'zh' else '; '}{asked}"]
    if not jobs:
        empty = "the outbox is empty: nothing was enqueued, or its transaction is not committed yet"
        return "\n".join([*lines, _said(empty, lang)])
    nearest = sorted(jobs, key=lambda job: len(wanted.differences(job)))
    instead = "enqueued was:" if len(jobs) == 1 else "enqueued were instead:"
    lines.append(_said("enqueued were:" if matching else instead, lang))
    for number, job in enumerate(nearest[:MOST_SHOWN], 1):
        lines.append(f"  {number}. {_line_of(job, lang)}")
        for name, (value, has) in wanted.differences(job, lang).items():
            pair = (("wanted   ", value), ("enqueued ", has))
            lines += [f"       {name}", *(f"         {_said(which, lang)}{_short(one)}" for which, one in pair)]
    if len(jobs) > MOST_SHOWN:
        lines.append(_said("  and {count} more", lang).format(count=len(jobs) - MOST_SHOWN))
    return "\n".join(lines)


def _line_of(job: EnqueuedJob, lang: Lang) -> str:
    """What a job sends to whom."""
    line = _said("{kind} on {account} to {to}: {type}", lang)
    shown = line.format(kind=job.kind, account=job.account, to=_people(job.to, lang), type=job.type or "-")
    return f"{shown} {_short(job.text)}".rstrip()


def _said(english: str, lang: Lang) -> str:
    """A text of the kit with its places: the values stand in it as they are, and are no text of ours."""
    return term("kit", english, lang)


def _plain(message: Message) -> dict[str, Any]:
    return _body(json.loads(json.dumps(message.document())))


def _type_of(message: type[Message]) -> str:
    """The type of a class of messages: of a card its own, and without any the class's name."""
    said = getattr(message, "card_type", None) or getattr(message, "msgtype", None)
    return str(said or message.__name__.lower())


def _flat(at: str, value: Any) -> dict[str, Any]:
    """Path -> value of everything in a nested document."""
    if isinstance(value, Mapping):
        return {path: inner for key, one in value.items() for path, inner in _flat(f"{at}.{key}", one).items()}
    if isinstance(value, list):
        return {path: inner for n, one in enumerate(value) for path, inner in _flat(f"{at}[{n}]", one).items()}
    return {at.removeprefix("."): value}


def _texts(document: Mapping[str, Any]) -> list[str]:
    flat = _flat("", document).items()
    return [value for path, value in flat if isinstance(value, str) and not path.endswith(".card_type")]


def _people(to: Recipients, lang: Lang) -> str:
    named = [f"{name} {', '.join(ids)}" for name in LISTS.values() if (ids := sorted(getattr(to, name)))]
    senders = [f"{who}'s {', '.join(ids) or 'all'}" for who, ids in to.by_sender]
    everyone = [f"everyone {to.audience}".strip()] if to.everyone else []
    return "; ".join([*named, *senders, *everyone]) or _said("the recipients of the job that it is about", lang)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = text.replace("\n", " ")
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
