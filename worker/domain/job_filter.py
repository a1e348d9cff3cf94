"""The filter that selects the jobs of a command, the same in Python and on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from typing import Any

from worker.domain.errors import CheckFailed, Problem, aware_problems, refused_type
from worker.domain.job import JobId, id_of
from worker.domain.state import JobState, State
from worker.domain.times import UnreadableTime, read_time

MAX_IDS = 1_000
MAX_ERRCODE = 2**31
INSTANTS = ("created_from", "created_before", "ended_from", "ended_before", "called_from", "called_before")
_TEXT_FIELDS = (
    "account",
    "channel",
    "kind",
    "tag",
    "recipient",
    "dedupe_key",
    "order_key",
    "msgid",
    "text_hash",
    "replay_of",
)
NAMING = ("ids", "recipient", "dedupe_key", "order_key", "msgid", "text_hash", "replay_of", "ended_from")
"""Each of these fields is enough to select ended jobs. A tag or an errcode may match the jobs of years."""


CALL_TIMES = ("called_from", "called_before")
"""The fields about the last call of a part, which a list of jobs and a command on ended jobs do not take."""


def require_filter(filter: object) -> None:
    """Raises CheckFailed for what is no JobFilter, such as a tag or an id alone."""
    if not isinstance(filter, JobFilter):
        raise refused_type("filter", filter, 'use JobFilter(ids=[...]) or JobFilter(tag="...")')


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Selects jobs and their parts that meet all of the given conditions.

    Raises CheckFailed for a filter without conditions, also for an empty list of ids, so that no command applies to all
    jobs by mistake.
    """

    ids: Iterable[JobId] | None = None
    """Jobs, or parts (`<job id>-<n>`); at most 1,000."""
    account: str | None = None
    """The account's name in the settings."""
    channel: str | None = None
    """The name of its channel, as the settings have it."""
    kind: str | None = None
    """`send`, `recall`, ..."""
    state: State | None = None
    """The job's state, such as `JobState.REJECTED`, or its word. The filter stores the word."""
    tag: str | None = None
    """One of the words that the producer gave with `tags=`."""
    recipient: str | None = None
    """A recipient, sending member or mentioned member of the job; case and the width of characters do not count.

    A department is `party:7`, a tag of the vendor's `tag:7`.
    """
    dedupe_key: str | None = None
    """The producer's dedupe key. The account has to be given, too."""
    order_key: str | None = None
    """The producer's order key. Jobs of any account may have it."""
    msgid: str | None = None
    """The vendor's id of a message of the job."""
    errcode: int | None = None
    """The vendor's answer to a call of the job, as long as attempts are stored (`retention.attempts_days`)."""
    text_hash: str | None = None
    """The hash of the message, as `worker show` prints it. Equal messages have equal hashes."""
    replay_of: JobId | None = None
    """The job is a replay of this original."""
    created_from: datetime | None = None
    """The job was enqueued then or later, by the database's clock; aware."""
    created_before: datetime | None = None
    """The job was enqueued before then; aware."""
    ended_from: datetime | None = None
    """The last part of the job ended then or later; aware. At most 31 days before `ended_before`, or before now."""
    ended_before: datetime | None = None
    """The last part of the job ended before then; aware."""
    called_from: datetime | None = None
    """The part's last call was begun then or later, by the database's clock; aware."""
    called_before: datetime | None = None
    """The part's last call was begun before then; aware."""

    def __post_init__(self) -> None:
        if self.ids is not None:
            object.__setattr__(self, "ids", _ids_of(self.ids))
        if self.replay_of is not None:
            object.__setattr__(self, "replay_of", id_of(self.replay_of))
        if isinstance(self.state, JobState):
            object.__setattr__(self, "state", self.state.label)
        if problems := self._problems():
            raise CheckFailed(problems)

    def _problems(self) -> list[Problem]:
        problems = [problem for name in INSTANTS for problem in aware_problems(name, getattr(self, name))]
        problems += [problem for name in _TEXT_FIELDS for problem in _text_problems(name, getattr(self, name))]
        problems += dict.fromkeys(problem for id in self.part_or_job_ids() for problem in _unfit(id, "ids"))
        if self.dedupe_key is not None and self.account is None:
            problems.append(Problem("dedupe_key", "is unique for one account only", "give the account too"))
        if self.errcode == 0:
            problems.append(Problem("errcode", "0 is what every success has", "use state"))
        elif self.errcode is not None and not (type(self.errcode) is int and abs(self.errcode) <= MAX_ERRCODE):
            problems.append(Problem("errcode", "is not a vendor's errcode", "give one such as 81013"))
        if self.state is not None and self.state not in (labels := [state.label for state in JobState]):
            problems.append(Problem("state", "is not a valid value", f"use one of {', '.join(labels)}"))
        if self.conditions().keys() <= {"state"} or self.conditions() == {"ids": []}:
            problems.append(Problem("filter", "has no content", "give ids, an account, or another field"))
        elif self.ids == ():
            problems.append(Problem("ids", "are empty", "leave them out, or give some"))
        elif (count := len(self.part_or_job_ids())) > MAX_IDS:
            problems.append(Problem("ids", "are too many", "process them in batches", MAX_IDS, "ids", count))
        return problems

    def part_or_job_ids(self) -> list[str]:
        """Returns the ids as they are stored."""
        return [str(id) for id in self.ids or ()]

    @property
    def is_about_calls(self) -> bool:
        """True when it has a condition on the time of the last call."""
        return self.called_from is not None or self.called_before is not None

    @property
    def names_ended(self) -> bool:
        """True when one of its fields is enough to select ended jobs, whenever they were enqueued."""
        return any(getattr(self, name) is not None for name in NAMING)

    def require_whole_jobs(self) -> None:
        """Raises CheckFailed if the ids name single parts."""
        if parts := [id for id in self.part_or_job_ids() if "-" in id]:
            remedy = "give the id of their job: it is meant whole"
            raise CheckFailed([Problem("ids", "name single parts", remedy, 0, "parts", len(parts))])

    def require_jobs_of_a_list(self) -> None:
        """Raises CheckFailed if the filter is about single parts or calls."""
        self.require_whole_jobs()
        if self.is_about_calls:
            remedy = "leave called_from and called_before out"
            raise CheckFailed([Problem("filter", "is about calls, and a list is about jobs", remedy)])

    def require_ended_jobs(self, what: str) -> None:
        """Raises CheckFailed unless the filter selects whole jobs: by ids, a time, or a field that few jobs share.

        `what` names the command in the error, such as "a recall".
        """
        self.require_whole_jobs()
        problems: list[Problem] = []
        if not self.names_ended and self.created_from is None:
            remedy = (
                "give created_from, an instant since when they were enqueued, or ids, or another field that names few"
            )
            problems.append(Problem("filter", "would look through all jobs", remedy))
        if self.is_about_calls:
            remedy = "leave called_from and called_before out, or give created_from and created_before"
            problems.append(Problem("filter", f"is about calls, and {what} is about whole jobs", remedy))
        if problems:
            raise CheckFailed(problems)

    @classmethod
    def from_texts(cls, given: Mapping[str, str], now: datetime, zone: tzinfo) -> JobFilter | None:
        """Returns the filter of texts that a person typed, by field name. Ids are separated by blanks or commas.

        A time may be `-30m` or `yesterday 22:00`, relative to `now`, in `zone` unless it names another. Returns None if
        nothing was typed, and raises CheckFailed for a text that is no value of its field.
        """
        typed = {name: text.strip() for name, text in given.items() if text.strip()}
        problems = list[Problem]()
        values: dict[str, Any] = dict(typed)
        for name, text in typed.items():
            try:
                if name in INSTANTS:
                    values[name] = read_time(text, now, zone)
                elif name == "errcode":
                    values[name] = int(text)
                elif name == "ids":
                    values[name] = text.replace(",", " ").split()
            except UnreadableTime as error:
                problems.append(Problem(name, error.text, error.remedy))
            except ValueError:
                problems.append(Problem(name, "cannot be read", "give a number such as 81013"))
        if problems:
            raise CheckFailed(problems)
        return cls(**values) if values else None

    @classmethod
    def from_conditions(cls, conditions: Mapping[str, Any]) -> JobFilter:
        """Returns the filter with these conditions, as `conditions` returned them."""
        instants = {name: datetime.fromisoformat(value) for name, value in conditions.items() if name in INSTANTS}
        return cls(**{**conditions, **instants})

    def conditions(self) -> dict[str, Any]:
        """Returns the given conditions as JSON values."""
        conditions = {field.name: getattr(self, field.name) for field in fields(self)}
        conditions["ids"] = None if self.ids is None else self.part_or_job_ids()
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in conditions.items()
            if value is not None
        }


def _ids_of(ids: object) -> tuple[str, ...]:
    """Returns ids as they are stored, without repeats. Raises CheckFailed for anything but several of them."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):  # the letters of a text would be ids
        raise CheckFailed([Problem("ids", "are no list of ids", "give a list, also of a single id")])
    return tuple(dict.fromkeys(map(id_of, ids)))


def _text_problems(name: str, value: object) -> Iterator[Problem]:
    """Yields a problem if a condition is given and is no text that could be stored."""
    if value is None:
        return
    if not isinstance(value, str):
        yield Problem(name, "is not a text with something in it", "give a text or leave it out")
        return
    if not value.strip():
        yield Problem(name, "has no content", "leave it out, or name one")
    yield from _unfit(value, name)


def _unfit(text: str, name: str) -> Iterator[Problem]:
    if "\x00" in text:
        yield Problem(name, "holds a NUL character", "take it out")
    if text != text.encode("utf-8", "replace").decode():
        yield Problem(name, "is not UTF-8 text", "type or decode it as UTF-8")
