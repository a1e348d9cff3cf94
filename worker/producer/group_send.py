"""Jobs about a group send, which members carry out by hand: read its results, and remind the members it waits for.

As in `enqueue.py`, all is inserted in the caller's own transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Unpack

from sqlalchemy import Connection

from worker.config.accounts import AccountSource
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import TRACK_EVERY_S, TRACK_FOR_S, JobId, Kind, Priority
from worker.outbox.engine.caller import Bind, in_callers_transaction
from worker.outbox.engine.clock import SqlClock
from worker.producer.insert import JobRef, follow_up
from worker.producer.options import CLOCK, Instant, JobOptions, Options, PriorityName, enqueues

SLOWEST_PACE_S = 86_400.0
LONGEST_S = 180 * 86_400.0


@in_callers_transaction
def track(
    connection: Connection,
    job_id: JobId,
    *,
    pace: timedelta | float = TRACK_EVERY_S,
    max_age: timedelta | float = TRACK_FOR_S,
    priority: PriorityName | Priority = "bulk",
    due_at: Instant | None = None,
    dedupe_key: str | None = None,
    tags: Sequence[str] = (),
    bind: Bind | None = None,
    accounts: AccountSource | None = None,
    clock: SqlClock = CLOCK,
) -> JobRef:
    """Enqueues the tracking of a group-send: which members have sent it, and its status at every customer.

    Rounds are `pace` apart at least (seconds or a timedelta; 300 s by default) and farther with age, six hours at most,
    until nothing can change any more or the task is `max_age` old (30 days by default). `campaign(job)` shows what was
    read so far. `priority`, `due_at`, `dedupe_key`, `tags`, `bind`, `accounts` and `clock` are those of JobOptions.
    """
    document: dict[str, object] = {"type": "track"}
    problems: list[Problem] = []
    for name, given, most in (("pace", pace, SLOWEST_PACE_S), ("max_age", max_age, LONGEST_S)):
        seconds = given.total_seconds() if isinstance(given, timedelta) else given
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= most:
            problems.append(Problem(name, "is no time", f"use a timedelta or seconds, up to {most:.0f}"))
        document[f"{name}_s"] = seconds
    if problems:
        raise CheckFailed(problems)
    options = Options(priority=priority, due_at=due_at, dedupe_key=dedupe_key, tags=tags)
    keywords = JobOptions(accounts=accounts, clock=clock)
    return follow_up(connection, Kind.TRACK, job_id, document, Recipients(), options, keywords)


@enqueues
def remind(connection: Connection, job_id: JobId, **keywords: Unpack[JobOptions]) -> JobRef:
    """Enqueues a reminder to the members who have not confirmed a group-send yet.

    The vendor takes three reminders of a task in 24 h (page 97610); a fourth ends `rejected` with the time when the
    next one is taken.
    """
    options, document = Options().given(keywords), {"type": "remind"}
    return follow_up(connection, Kind.REMIND, job_id, document, Recipients(), options, keywords)
