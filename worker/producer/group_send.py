"""Jobs about a group send, which members carry out by hand: read its results, and remind the members it waits for.

As in `enqueue.py`, all is inserted in the caller's own transaction.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Unpack

from sqlalchemy import Connection

from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import TRACK_EVERY_S, TRACK_FOR_S, JobId, Kind
from worker.producer.insert import JobRef, follow_up
from worker.producer.options import JobOptions, enqueues

if TYPE_CHECKING:
    from worker.config.accounts import AccountSource

SLOWEST_PACE_S = 86_400.0
LONGEST_S = 180 * 86_400.0


@enqueues(JobOptions)
def track(
    connection: Connection,
    job_id: JobId,
    *,
    pace: timedelta | float = TRACK_EVERY_S,
    max_age: timedelta | float = TRACK_FOR_S,
    accounts: AccountSource | None = None,
    **options: Unpack[JobOptions],
) -> JobRef:
    """Enqueues the tracking of a group-send: which members have sent it, and its status at every customer.

    Rounds are `pace` apart at least (seconds or a timedelta; 300 s by default) and farther with age, six hours at most,
    until nothing can change any more or the task is `max_age` old (30 days by default). `campaign(job)` shows what was
    read so far.
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
    return follow_up(connection, Kind.TRACK, job_id, document, {"priority": "bulk", **options}, accounts)


@enqueues(JobOptions)
def remind(
    connection: Connection, job_id: JobId, *, accounts: AccountSource | None = None, **options: Unpack[JobOptions]
) -> JobRef:
    """Enqueues a reminder to the members who have not confirmed a group-send yet.

    The vendor takes three reminders of a task in 24 h (page 97610); a fourth ends `rejected` with the time when the
    next one is taken.
    """
    return follow_up(connection, Kind.REMIND, job_id, {"type": "remind"}, options, accounts)
