"""The options that every kind of job may have beside its content: the keywords that say them, and their checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypedDict, TypeVar, get_args

from sqlalchemy import Connection

from worker.config.accounts import AccountSource
from worker.domain.errors import Problem, aware_problems
from worker.domain.job import Priority
from worker.domain.pacing.quiet import FORM, LONGEST, quiet_hours
from worker.outbox.engine.caller import Bind, InCallersTransaction, in_callers_transaction
from worker.outbox.engine.clock import SECOND, DatabaseClock, SqlClock, micros_of

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

Instant = datetime | timedelta | float | int
"""An aware datetime, or a delay from the database's now: a timedelta or seconds."""

KEY_CHARACTERS = 200
TAGS = 50
TAG_CHARACTERS = 100
TENANT_CHARACTERS = 60
CLOCK = DatabaseClock()

PriorityName = Literal["urgent", "normal", "bulk"]
OnGap = Literal["hold", "skip"]
OnUnknown = Literal["default", "hold", "resend"]
Overflow = Literal["refuse", "truncate", "split"]
PRIORITIES = {priority.name.lower(): priority for priority in Priority}
_PRIORITY_WORDS = frozenset((*PRIORITIES, *Priority))


class JobOptions(TypedDict, total=False):
    """The keywords that each function which enqueues a job takes beside its own; all may be left out.

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
    bind: Which of a session's several binds is meant. By default the session's own.
    accounts: The accounts to use instead of this process's, which `worker.configure` sets.
    clock: For tests: what is now. By default the database's clock.
    """

    priority: PriorityName | Priority
    due_at: Instant | None
    expires_at: Instant | None
    dedupe_key: str | None
    tags: Sequence[str]
    tenant: str | None
    bind: Bind | None
    accounts: AccountSource | None
    clock: SqlClock


# Not frozen, like every class of which each job makes an instance: freezing costs more than the rest of making one.
@dataclass(slots=True, kw_only=True)
class Options:
    """The options that every kind of job may have beside its content."""

    priority: PriorityName | Priority = "normal"
    """Which part goes first where a limit is short: `urgent`, `normal` or `bulk`."""
    due_at: Instant | None = None
    """When it is sent at the earliest: an aware datetime, or a timedelta or seconds from the database's now; None:
    now."""
    expires_at: Instant | None = None
    """From when on it is not sent any more, written as `due_at`; None: it never expires."""
    dedupe_key: str | None = None
    """Up to 200 characters; a second job of the account with the same key and content is the first one. None: no
    key."""
    order_key: str | None = None
    """Up to 200 characters; parts of an account's jobs with the same key are sent one at a time. None: no order."""
    on_gap: OnGap = "hold"
    """What the parts behind one that is held in doubt, exhausted or parked do: `hold` (wait) or `skip` (go on)."""
    tags: Sequence[str] = ()
    """Up to 50 words of your own, of up to 100 characters each."""
    tenant: str | None = None
    """The team it is of, where several share the account's limits; None: none."""
    on_unknown: OnUnknown | None = None
    """What is done with a part in doubt: `hold`, `resend`, or, as with None, `default`: what its account says."""
    quiet_hours: str | None = None
    """When it is not put before people; `none`: at any time; None: as its account says."""
    overflow: Overflow = "refuse"
    """The handling of a text that is too long: `refuse`, `truncate` (with an ellipsis), or `split` into several
    messages, which are parts of the job, numbered and offered in order."""

    def given(self, keywords: JobOptions) -> Self:
        """Sets the options that the keywords name; returns these options."""
        self.priority = keywords.get("priority", self.priority)
        self.due_at = keywords.get("due_at")
        self.expires_at = keywords.get("expires_at")
        self.dedupe_key = keywords.get("dedupe_key")
        self.tags = keywords.get("tags", ())
        self.tenant = keywords.get("tenant")
        return self


def enqueues(work: Callable[Concatenate[Connection, P], R]) -> InCallersTransaction[P, R]:
    """Makes a function with the keywords JobOptions take the caller's session; its help explains all of them."""
    own = inspect.signature(work).parameters.values()
    taken = {*JobOptions.__annotations__, *(one.name for one in own if one.kind is not one.VAR_KEYWORD)}

    @wraps(work)
    def checked(connection: Connection, /, *args: P.args, **kwargs: P.kwargs) -> R:
        # Python itself would take any keyword, because it does not look into a TypedDict.
        if wrong := kwargs.keys() - taken:
            raise TypeError(f"{work.__name__}() got an unexpected keyword argument {min(wrong)!r}")
        return work(connection, *args, **kwargs)

    _, _, explained = inspect.cleandoc(JobOptions.__doc__ or "").partition("\n\n")
    checked.__doc__ = f"{inspect.cleandoc(work.__doc__ or '')}\n\nKeywords of JobOptions:\n\n{explained}"
    return in_callers_transaction(checked)


def option_problems(options: Options) -> Iterator[Problem]:
    """Every option that is wrong by itself or beside another."""
    if not isinstance(options.priority, str | Priority) or options.priority not in _PRIORITY_WORDS:
        yield Problem("priority", "is not a priority", f"use one of {', '.join(PRIORITIES)}")
    if options.overflow not in get_args(Overflow):
        yield Problem("overflow", "is no choice", f"use one of {', '.join(get_args(Overflow))}")
    if options.on_unknown is not None and options.on_unknown not in get_args(OnUnknown):
        yield Problem("on_unknown", "is not a policy", f"use one of {', '.join(get_args(OnUnknown))}")
    if options.on_gap not in get_args(OnGap):
        yield Problem("on_gap", "is no choice", f"use one of {', '.join(get_args(OnGap))}")
    elif options.on_gap != "hold" and options.order_key is None:
        yield Problem("on_gap", "has no order to leave a gap in", "give an order_key too, or leave it out")
    if options.quiet_hours is not None:
        yield from _quiet_problems(options.quiet_hours)
    if options.due_at is not None or options.expires_at is not None:
        yield from _time_problems(options)
    for name, value in (("dedupe_key", options.dedupe_key), ("order_key", options.order_key)):
        if value is not None:
            yield from _key_problems(name, value)
    if options.tags != ():
        yield from _tag_problems(options.tags)
    if options.tenant is not None:
        yield from _tenant_problems(options.tenant)


def _time_problems(options: Options) -> Iterator[Problem]:
    instants = [*_instant_problems("due_at", options.due_at), *_instant_problems("expires_at", options.expires_at)]
    yield from instants
    if not instants and _ends_before_it_starts(options):
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


def _ends_before_it_starts(options: Options) -> bool:
    """True when expires_at is not after due_at; compared only when both are absolute or both relative (None: 0)."""
    if options.expires_at is None:
        return False
    due_at, due_is_absolute = instant_of(options.due_at if options.due_at is not None else 0)
    expires_at, expiry_is_absolute = instant_of(options.expires_at)
    return due_is_absolute == expiry_is_absolute and expires_at <= due_at


def _quiet_problems(written: Any) -> Iterator[Problem]:
    if not isinstance(written, str) or len(written) > LONGEST:
        yield Problem("quiet_hours", "are no text, or too long", f"write {FORM}")
        return
    try:
        quiet_hours(written)
    except ValueError as error:
        yield Problem("quiet_hours", str(error), f"write {FORM}, or none")


def _key_problems(name: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, str) or not value:
        yield Problem(name, "is not a text with something in it", "give a text or leave it out")
    elif len(value) > KEY_CHARACTERS:
        yield Problem(name, "is too long", "use a hash of it", KEY_CHARACTERS, "characters", len(value))


def _tag_problems(tags: Any) -> Iterator[Problem]:
    if isinstance(tags, str) or not isinstance(tags, Collection) or not all(isinstance(tag, str) for tag in tags):
        yield Problem("tags", "is not a list of texts", 'use tags=["payroll", "2026-07"]')
        return
    longest = max(map(len, tags), default=0)
    if longest > TAG_CHARACTERS:
        yield Problem("tags", "holds a tag that is too long", "shorten it", TAG_CHARACTERS, "characters", longest)
    if len(list(tags)) > TAGS:
        yield Problem("tags", "holds too many", "leave some out", TAGS, "entries", len(list(tags)))


def _tenant_problems(tenant: Any) -> Iterator[Problem]:
    if not isinstance(tenant, str) or not tenant:
        yield Problem("tenant", "is not the name of a tenant", 'use a text such as "payroll", or leave it out')
    elif len(tenant) > TENANT_CHARACTERS:
        yield Problem("tenant", "is too long", "shorten it", TENANT_CHARACTERS, "characters", len(tenant))


def priority_of(value: str | Priority) -> int:
    """The number a priority is stored as."""
    return int(PRIORITIES[value]) if isinstance(value, str) else int(value)


def instant_of(value: Instant) -> tuple[int, bool]:
    """Microseconds, and True when they count from 1970; False: from the database's now."""
    if isinstance(value, datetime):
        return micros_of(value), True
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return round(seconds * SECOND), False


_LAST_DELAY_S = 10 * 366 * 86_400
