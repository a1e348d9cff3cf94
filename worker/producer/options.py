"""The options of a job: the keywords that say them, each declared once, and their checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypedDict, TypeVar, get_args

from sqlalchemy import Connection

from worker.domain.errors import Problem, UnknownKeyword, aware_problems
from worker.domain.job import Priority
from worker.domain.pacing.quiet import FORM, LONGEST, quiet_hours
from worker.outbox.engine.caller import InCallersTransaction, in_callers_transaction
from worker.outbox.engine.clock import SECOND, micros_of

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

Instant = datetime | timedelta | float | int
"""An aware datetime, or a delay from the database's now: a timedelta or seconds."""

MAX_CHARACTERS = {"dedupe_key": 200, "order_key": 200, "tenant": 60}
"""The keywords that are a text, and the most characters of each."""
MAX_TAGS = 50
MAX_TAG_CHARACTERS = 100

PriorityName = Literal["urgent", "normal", "bulk"]
OnGap = Literal["wait", "skip"]
OnUnknown = Literal["default", "hold", "resend"]
Overflow = Literal["refuse", "truncate", "split"]
PRIORITIES = {priority.name.lower(): priority for priority in Priority}


class JobOptions(TypedDict, total=False):
    """The keywords that each function which enqueues a job takes beside its own; None is as good as leaving one out.

    Beside them stands `accounts`: the accounts to use instead of this process's, which `worker.configure` sets.

    priority: Which part goes first where a limit is short: "urgent", "normal" or "bulk". A recall is urgent by default,
        a track bulk, any other job normal.
    due_at: When the job is sent at the earliest: an aware datetime; or a timedelta or seconds from the database's now,
        up to ten years. By default now.
    expires_at: From when on the job is not sent any more and ends `expired`: the same, and after due_at. By default
        never.
    dedupe_key: Up to 200 characters. A second job of the account with the same key and content is the first one; with
        other content it is refused with DedupeConflict. None by default.
    tags: Up to 50 words of your own, of up to 100 characters each. Hooks, reports and the log give them
        back, `request_id:ID` as the field `request_id` of each log line of the job.
    tenant: The team that the job is of, up to 60 characters, where several share the account's limits: it has lanes of
        its own, which share evenly with the others. None by default; a job about another one, such as a recall, is of
        the same tenant.
    """

    priority: PriorityName | Priority | None
    due_at: Instant | None
    expires_at: Instant | None
    dedupe_key: str | None
    tags: Sequence[str] | None
    tenant: str | None


class MessageOptions(JobOptions, total=False):
    """The keywords of `enqueue` and NewJob: those of JobOptions, and these.

    order_key: Up to 200 characters. Parts of an account's jobs with the same key are sent one at a time, in order of
        due_at, job and part; each waits until the one before it has ended. None by default.
    on_gap: What the parts behind do when one is held in doubt, exhausted or parked: "wait", until
        `worker skip JOB` lets them go on; or "skip", they go on. "wait" by default; needs an order_key.
    on_unknown: What is done when the message may have been sent, no answer came and nothing makes a repeat safe: "hold"
        it for a person, or "resend" it, so that it may arrive twice. "default", like None, is what the account says.
    quiet_hours: When it waits and is not put before people: "22:00-07:00 Asia/Shanghai", a span of local time, with
        ", urgent passes" behind it where urgent jobs do not wait; or "none". By default what the account says.
    overflow: What is done with a text that is too long: "refuse" it, the default; "truncate" it; or "split" a text or
        markdown into several messages. Those are parts of the one job, numbered and offered in reading order; when a
        part is retried, or two workers send at once, a later one can arrive first. No cut is made inside a character,
        a link, a tag or code, and the job's warnings say what was done.
    """

    order_key: str | None
    on_gap: OnGap | None
    on_unknown: OnUnknown | None
    quiet_hours: str | None
    overflow: Overflow | None


def enqueues(
    options: type[JobOptions],
) -> Callable[[Callable[Concatenate[Connection, P], R]], InCallersTransaction[P, R]]:
    """Makes a function with these options take the caller's session; its help explains each keyword."""

    def decorate(work: Callable[Concatenate[Connection, P], R]) -> InCallersTransaction[P, R]:
        _, *own = inspect.signature(work).parameters.values()
        taken = [*options.__annotations__, *(one.name for one in own if one.kind is not one.VAR_KEYWORD)]

        @wraps(work)
        def checked(connection: Connection, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if options is JobOptions:  # those of a message are checked together with its fields
                require_known_keywords(work.__name__, kwargs, taken)
            return work(connection, *args, **kwargs)

        bases = (MessageOptions, JobOptions) if options is MessageOptions else (JobOptions,)
        explained = "".join(f"\n\nKeywords of {base.__name__}:\n\n{_explained(base)}" for base in bases)
        checked.__doc__ = inspect.cleandoc(work.__doc__ or "") + explained
        return in_callers_transaction(checked)

    return decorate


def _explained(options: type[JobOptions]) -> str:
    return inspect.cleandoc(options.__doc__ or "").partition("\n\n")[2]


def require_known_keywords(name: str, keywords: Collection[str], known: Collection[str]) -> None:
    """Raises UnknownKeyword for the unknown ones: Python accepts any, because it does not check a TypedDict."""
    if problems := list(keyword_problems(name, keywords, known)):
        raise UnknownKeyword(problems)


def keyword_problems(name: str, keywords: Collection[str], known: Collection[str]) -> Iterator[Problem]:
    """Yields each keyword that a function does not have, with the one that may be meant."""
    for wrong in sorted(set(keywords).difference(known)):
        from worker.config.mistakes import did_you_mean  # slow to import, and only needed here

        remedy = "did you mean due_at?" if wrong in _CELERYS_DELAYS else did_you_mean(wrong, list(known))
        yield Problem(wrong, f"is no keyword of {name}()", remedy)


_CELERYS_DELAYS = ("countdown", "eta")
"""How Celery calls the time of a task, which nothing here is spelled like."""


def option_problems(options: MessageOptions) -> Iterator[Problem]:
    """Yields every option that is wrong by itself or together with another."""
    yield from keyword_problems("enqueue", options, MessageOptions.__annotations__.keys())
    priority = options.get("priority")
    if priority is not None and not (isinstance(priority, Priority) or priority in (*PRIORITIES,)):
        yield Problem("priority", "is not one of the choices", f"use one of {', '.join(PRIORITIES)}")
    for name, choices in (("overflow", Overflow), ("on_unknown", OnUnknown), ("on_gap", OnGap)):
        if options.get(name) not in (None, *get_args(choices)):
            yield Problem(name, "is not one of the choices", f"use one of {', '.join(get_args(choices))}")
    if options.get("on_gap") == "skip" and options.get("order_key") is None:
        yield Problem("on_gap", "has no order to leave a gap in", "give an order_key too, or leave it out")
    if (quiet := options.get("quiet_hours")) is not None:
        yield from _quiet_problems(quiet)
    yield from _time_problems(options.get("due_at"), options.get("expires_at"))
    for name, most in MAX_CHARACTERS.items():
        if (value := options.get(name)) is not None:
            yield from _text_problems(name, value, most)
    if (tags := options.get("tags")) is not None:
        yield from _tag_problems(tags)


def _time_problems(due_at: Instant | None, expires_at: Instant | None) -> Iterator[Problem]:
    instants = [*_instant_problems("due_at", due_at), *_instant_problems("expires_at", expires_at)]
    yield from instants
    if not instants and expires_at is not None and _is_over(expires_at, due_at):
        yield Problem("expires_at", "is not after due_at", "give a later expires_at or leave it out")


def _instant_problems(name: str, value: Any) -> Iterator[Problem]:
    if value is None:
        return
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            yield Problem(name, "has no time zone", "use an aware datetime, such as datetime.now(UTC) + timedelta(...)")
        yield from aware_problems(name, value) if value.utcoffset() is not None else ()
        return
    if isinstance(value, bool) or not isinstance(value, timedelta | int | float):
        yield Problem(name, "is not a time", "use an aware datetime, a timedelta, or seconds from now")
        return
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not 0 <= seconds <= _LAST_DELAY_S:  # also refuses NaN
        yield Problem(name, "is not a delay", "use 0 seconds to ten years from now")


DAY_US = 86_400 * SECOND


def past_warnings(options: JobOptions, now: int) -> Iterator[str]:
    """Warns of instants that are over, by this process's clock `now` in microseconds, from a day on."""
    due_at, expires_at = options.get("due_at"), options.get("expires_at")
    if isinstance(due_at, datetime) and (days := (now - micros_of(due_at)) // DAY_US) > 0:
        yield f"due_at: was {days} days ago; it is due at once"
    if isinstance(expires_at, datetime) and micros_of(expires_at) <= now:
        yield "expires_at: is over; it is not sent, and expires"


def _is_over(expires_at: Instant, due_at: Instant | None) -> bool:
    """Returns True if expires_at is not after due_at. Compares only two absolute or two relative times."""
    due, due_is_absolute = instant_of(0 if due_at is None else due_at)
    end, end_is_absolute = instant_of(expires_at)
    return due_is_absolute == end_is_absolute and end <= due


def _quiet_problems(written: Any) -> Iterator[Problem]:
    if not isinstance(written, str) or len(written) > LONGEST:
        yield Problem("quiet_hours", "are not texts, or too long", f"write {FORM}")
        return
    try:
        quiet_hours(written)
    except ValueError as error:
        yield Problem("quiet_hours", str(error), f"write {FORM}, or none")


def _text_problems(name: str, value: Any, most: int) -> Iterator[Problem]:
    if not isinstance(value, str) or not value:
        yield Problem(name, "is not a text with something in it", "give a text or leave it out")
    elif len(value) > most:
        yield Problem(name, "is too long", "shorten it", most, "characters", len(value))


def _tag_problems(tags: Any) -> Iterator[Problem]:
    if isinstance(tags, str) or not isinstance(tags, Collection) or not all(isinstance(tag, str) for tag in tags):
        yield Problem("tags", "is not a list of texts", 'use tags=["payroll", "2026-07"]')
        return
    if not all(tag.strip() for tag in tags):
        yield Problem("tags", "holds a blank tag", "leave it out")
    longest = max(map(len, tags), default=0)
    if longest > MAX_TAG_CHARACTERS:
        yield Problem("tags", "holds a tag that is too long", "shorten it", MAX_TAG_CHARACTERS, "characters", longest)
    if len(list(tags)) > MAX_TAGS:
        yield Problem("tags", "holds too many", "leave some out", MAX_TAGS, "entries", len(list(tags)))


def priority_of(value: PriorityName | Priority | None) -> int:
    """Returns the number that a priority is stored as."""
    return int(value if isinstance(value, Priority) else PRIORITIES[value or "normal"])


def instant_of(value: Instant) -> tuple[int, bool]:
    """Returns microseconds, and True if they count from 1970, False if from the database's now."""
    if isinstance(value, datetime):
        return micros_of(value), True
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return round(seconds * SECOND), False


_LAST_DELAY_S = 10 * 366 * 86_400
