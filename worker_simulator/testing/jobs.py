"""The jobs in a test's outbox, and the text of an assertion that does not find the expected one."""

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

MAX_JOBS_SHOWN = 10
"""How many jobs a failed assertion lists, the nearest first."""
WIDTH = 70
"""How many characters of a value a failed assertion prints."""
_NO_CONTENT = frozenset({"type", "files"})
"""Keys of a stored message that are not its content: the type is a field of its own, and files have names."""


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
    """The type of its message: `text`, `markdown`, of a card `button_interaction`, ... Empty for a recall."""
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
    """The order key that the job was enqueued with, or None."""
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
        return _summary(self, "en")


def job_of_row(row: Mapping[str, Any]) -> EnqueuedJob:
    """Returns the job of a row."""
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
    """Returns the content of a message."""
    content = {key: value for key, value in document.items() if key not in _NO_CONTENT}
    body = content.pop("body", None)
    return {**body, **content} if isinstance(body, Mapping) else content


@dataclass(frozen=True, slots=True)
class ExpectedJob:
    """What a test expects of a job. None stands for anything."""

    account: str | None = None
    message: Message | type[Message] | None = None
    to: Recipient | None = None
    containing: str | None = None
    """A text somewhere in the message."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of `EnqueuedJob`, by name."""

    def differences(self, job: EnqueuedJob, lang: Lang = "en") -> dict[str, tuple[Any, Any]]:
        """Returns the fields that differ: name -> the expected and the actual value."""
        pairs = {name: pair for name, pair in self._pairs(job, lang) if pair[0] != pair[1]}
        if self.containing is not None and self.containing not in job.text:
            pairs["text"] = (_translated("something with {text}", lang).format(text=repr(self.containing)), job.text)
        return pairs

    def _pairs(self, job: EnqueuedJob, lang: Lang) -> Iterator[tuple[str, tuple[Any, Any]]]:
        if self.account is not None:
            yield "account", (self.account, job.account)
        if isinstance(self.message, Message):
            expected, actual = _flat("", _as_json(self.message)), _flat("", job.message)
            nothing = _translated("(nothing)", lang)
            for name in dict.fromkeys((*expected, *actual)):
                yield f"message.{name}", (expected.get(name, nothing), actual.get(name, nothing))
        elif self.message is not None:
            yield "type", (_type_of(self.message), job.type)
        if self.to is not None:
            yield "to", (_people(parse_recipients(self.to), lang), _people(job.to, lang))
        for name, value in self.options.items():
            actual = getattr(job, name)
            yield name, (tuple(value) if isinstance(actual, tuple) else value, actual)

    def text(self, lang: Lang) -> str:
        """Returns what is expected, in one line."""
        words = [_translated("on {account}", lang).format(account=self.account or _translated("any account", lang))]
        if self.to is not None:
            words.append(_translated("to {to}", lang).format(to=_people(parse_recipients(self.to), lang)))
        if isinstance(self.message, Message):
            text = _short(" ".join(_texts(_as_json(self.message))))
            words.append(_translated("with {text}", lang).format(text=text))
        elif self.message is not None:
            words.append(_translated("with a {type}", lang).format(type=self.message.__name__))
        if self.containing is not None:
            words.append(_translated("containing {text}", lang).format(text=repr(self.containing)))
        return " ".join([*words, *(f"{name}={value!r}" for name, value in self.options.items())])


def failure_text(expected: ExpectedJob, times: int | None, matching: int, jobs: list[EnqueuedJob], lang: Lang) -> str:
    """Returns the text of a failed assertion: what was expected, and all jobs, the nearest first."""
    count_text = _translated("{count} such jobs were enqueued" if matching else "no such job was enqueued", lang)
    expected_text = _translated("wanted: {wanted}" if times is None else "wanted {times}: {wanted}", lang)
    expectation = expected_text.format(times=times, wanted=expected.text(lang))
    lines = [f"{count_text.format(count=matching)}{'；' if lang == 'zh' else '; '}{expectation}"]
    if not jobs:
        empty = "the outbox is empty: nothing was enqueued, or its transaction is not committed yet"
        return "\n".join([*lines, _translated(empty, lang)])
    nearest = sorted(jobs, key=lambda job: len(expected.differences(job)))
    instead = "enqueued was:" if len(jobs) == 1 else "enqueued were instead:"
    lines.append(_translated("enqueued were:" if matching else instead, lang))
    for number, job in enumerate(nearest[:MAX_JOBS_SHOWN], 1):
        lines.append(f"  {number}. {_summary(job, lang)}")
        for name, (value, has) in expected.differences(job, lang).items():
            pair = (("wanted   ", value), ("enqueued ", has))
            lines += [
                f"       {name}",
                *(f"         {_translated(which, lang)}{_short(shown)}" for which, shown in pair),
            ]
    if len(jobs) > MAX_JOBS_SHOWN:
        lines.append(_translated("  and {count} more", lang).format(count=len(jobs) - MAX_JOBS_SHOWN))
    return "\n".join(lines)


def _summary(job: EnqueuedJob, lang: Lang) -> str:
    """Returns one line about a job."""
    line = _translated("{kind} on {account} to {to}: {type}", lang)
    shown = line.format(kind=job.kind, account=job.account, to=_people(job.to, lang), type=job.type or "-")
    return f"{shown} {_short(job.text)}".rstrip()


def _translated(english: str, lang: Lang) -> str:
    """Returns a text of the kit in this language. Its placeholders are filled in afterwards."""
    return term("kit", english, lang)


def _as_json(message: Message) -> dict[str, Any]:
    return _body(json.loads(json.dumps(message.document())))


def _type_of(message: type[Message]) -> str:
    """Returns the type of a message class: its card_type, else its msgtype, else its name."""
    name = getattr(message, "card_type", None) or getattr(message, "msgtype", None)
    return str(name or message.__name__.lower())


def _flat(path: str, value: Any) -> dict[str, Any]:
    """Returns a nested document as path -> value."""
    if isinstance(value, Mapping):
        return {
            leaf_path: leaf for key, inner in value.items() for leaf_path, leaf in _flat(f"{path}.{key}", inner).items()
        }
    if isinstance(value, list):
        return {
            leaf_path: leaf for n, inner in enumerate(value) for leaf_path, leaf in _flat(f"{path}[{n}]", inner).items()
        }
    return {path.removeprefix("."): value}


def _texts(document: Mapping[str, Any]) -> list[str]:
    flat = _flat("", document).items()
    return [value for path, value in flat if isinstance(value, str) and not path.endswith(".card_type")]


def _people(to: Recipients, lang: Lang) -> str:
    named = [f"{name} {', '.join(ids)}" for name in LISTS.values() if (ids := sorted(getattr(to, name)))]
    senders = [f"{who}'s {', '.join(ids) or 'all'}" for who, ids in to.by_sender]
    everyone = [f"everyone {to.audience}".strip()] if to.everyone else []
    return "; ".join([*named, *senders, *everyone]) or _translated("the recipients of the job that it is about", lang)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = text.replace("\n", " ")
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
