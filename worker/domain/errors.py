"""Every exception that the worker raises. A vendor's verdict is no exception: verdicts are values (`outcome.py`).

No text here may hold a token, a secret, a message text or a recipient, because exceptions end up in logs and in Flower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.language import Lang, chinese_note, language, translate, with_chinese_note


class WorkerError(Exception):
    """The base of all errors of this package. The text says what to change.

    The text is English. With `WORKER_LANG=zh` a traceback has the Chinese below it, and `localized` returns it
    anywhere. `channel`, `job` (an id) and `code` (the vendor's errcode) say what the error is about, or are None if
    unknown.
    """

    def __init__(self, text: str, *, channel: str | None = None, job: str | None = None, code: int | None = None):
        super().__init__(text)
        self.channel = channel
        self.job = job
        self.code = code
        with_chinese_note(self, self.localized)

    def localized(self, lang: Lang | None = None) -> str:
        """Returns the text in a language, by default that of the person at the terminal."""
        return translate(str(self), lang)


class ConfigurationError(WorkerError):
    """The settings are wrong. The text is one sentence that names the setting and the remedy."""


class UnknownAccount(ConfigurationError):
    """No source of this process has an account of this name.

    Its text is made only when it is read, because it needs a search of all names, and a receiver gets requests with any
    name.
    """

    channel = job = code = None

    def __init__(self, sentence: Callable[[], str]):
        self._sentence = sentence

    def __str__(self) -> str:
        return self._sentence()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]  # only read: a traceback's lines below the sentence
        return chinese_note(self.localized)


class AccountsUnread(ConfigurationError):
    """A source of accounts cannot be read, and no other source has an account of this name."""


class FileGone(WorkerError):
    """The file of a job is no longer stored, so no later try can find it."""


class NotPublished(OSError):
    """The broker has not accepted all messages: it is away or blocked, or refuses them. The text says which."""

    def __init__(self, text: str, left: Sequence[Any] = ()):
        super().__init__(text)
        self.left = left
        """The messages that may not have been published."""


class RetryTransaction(WorkerError):
    """The database demands to run the whole transaction again: roll back and start over. Nothing was enqueued.

    The cause is a dedupe key in flight, a deadlock, or a level above READ COMMITTED whose snapshot is too old. See
    docs/databases.md.
    """


class DedupeConflict(WorkerError):
    """The dedupe key belongs to a job with other content. The caller's transaction stays usable."""


class JobNotFound(WorkerError):
    """No job has this id (or its transaction has not committed)."""


class NotReplayable(WorkerError):
    """The job is still open, or nothing of it could be sent again."""


class StillOpen(WorkerError):
    """Waiting for a job ended at the time limit while the job was still open."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong field of a message or a job, in the vendor's own field name."""

    field: str
    """Path in the vendor's spelling, such as `text.content`."""
    text: str
    """What is wrong, without quoting the value."""
    remedy: str
    """What the caller should change."""
    limit: int | None = None
    """The largest allowed amount, in `unit`, or None if the problem is about no amount."""
    unit: str | None = None
    """`bytes`, `characters`, `entries`, ..."""
    size: int | None = None
    """The actual amount, in `unit`, or None."""

    def __str__(self) -> str:
        return self.localized("en")

    def localized(self, lang: Lang | None = None) -> str:
        """Returns the problem as text in a language, by default that of the person at the terminal."""
        lang = lang or language()
        amounts = f" (limit {self.limit} {self.unit}, found {self.size})" if self.limit is not None else ""
        text, remedy = translate(self.text, lang) + translate(amounts, lang), translate(self.remedy, lang)
        return f"{self.field}：{text}；{remedy}" if lang == "zh" else f"{self.field}: {text}; {remedy}"


def aware_problems(name: str, value: object) -> Iterator[Problem]:
    """Checks that a datetime, if given, has a time zone and a valid UTC equivalent. Yields a problem if not."""
    remedy = "use one such as datetime(2026, 7, 1, 9, tzinfo=UTC), or leave it out"
    if value is not None and not (isinstance(value, datetime) and value.utcoffset() is not None):
        yield Problem(name, "is not an aware datetime", remedy)
    elif isinstance(value, datetime):
        try:
            value.astimezone(UTC)
        except OverflowError:
            yield Problem(name, "is before the year 1 or after 9999 in UTC", remedy)


class CheckFailed(WorkerError):
    """The job was refused before anything was inserted. `problems` names every wrong field at once."""

    def __init__(self, problems: Sequence[Problem], *, channel: str | None = None):
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in problems), channel=channel)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,), vars(self)  # an exception is copied by its text otherwise

    def localized(self, lang: Lang | None = None) -> str:
        """Returns all problems as text in a language, by default that of the person at the terminal."""
        lang = lang or language()
        return ("；" if lang == "zh" else "; ").join(problem.localized(lang) for problem in self.problems)


def refused_type(field: str, value: object, remedy: str) -> CheckFailed:
    """Returns the refusal of a value of a type that cannot stand for the field."""
    return CheckFailed([Problem(field, f"is a {type(value).__name__}", remedy)])


class UnknownKeyword(CheckFailed, TypeError):
    """A function of this package has no such keyword. `problems` also names the wrong fields beside it."""
