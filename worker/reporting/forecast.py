"""When the backlog of each account will be through, which limit decides, and when a given job will go. Reads only.

Nothing here decides about sending: `worker/domain/pacing/forecast.py` says what the model leaves out.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from worker.config.accounts import AccountSource
from worker.domain.job import JobId
from worker.domain.pacing.bulk import Pacing
from worker.domain.pacing.forecast import BacklogLine, Meter, Simulation
from worker.domain.pacing.lane import SECOND
from worker.domain.settle import FOREVER
from worker.outbox.engine.clock import instant
from worker.outbox.lanes.queued import QueuedPart, accounts_with_queued, before, queued_of_job
from worker.reporting.backlog_lines import AccountBacklog, NewParts, Stop, Surveyor
from worker.reporting.find_job import row_of

MOST = 2_000_000
"""Queued parts of one account that are counted; of more the forecast says that there are at least so many."""
OF_NEW = 500
"""Parts of an account whose cost is worked out for a job that is about to be enqueued, about."""
OF_A_JOB = 1_000
"""Parts of a job that are looked at."""


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One limit that a backlog needs."""

    name: str
    recipients: int
    """How many alike recipients it is the limit of together; 1: it is one count."""
    window_s: int
    amount: int
    """Units in a window, of all these recipients together."""
    used: int
    """Units that still count now."""
    needed: int
    """Units that the backlog takes."""


@dataclass(frozen=True, slots=True)
class AccountForecast:
    """What is foretold of one account."""

    account: str
    parts: int
    at_least: bool
    """There are more parts, which were not counted; so it takes longer, too."""
    through_at: datetime | None
    """When the last part goes that goes by itself; None: none does, or not within 400 days."""
    through_in_s: float | None
    binds: str | None
    """What the last line of parts waits for most: a limit's name, `speed`, `due_at`, or a block in words."""
    stops: tuple[Stop, ...]
    """Parts that do not go by themselves, and why."""
    limits: tuple[LimitUse, ...]


@dataclass(frozen=True, slots=True)
class JobForecast:
    """When the queued parts of a job go."""

    job: str
    account: str
    parts: int
    first_at: datetime | None
    """When the first one goes at the earliest; None: not by itself."""
    last_at: datetime | None
    in_s: float | None
    """Seconds until `last_at`."""
    binds: str | None
    expires_at: datetime | None
    at_least: bool
    stop: Stop | None
    """Why it does not go by itself."""

    @property
    def is_late(self) -> bool:
        """True when it expires before its last part goes."""
        return self.expires_at is not None and self.last_at is not None and self.expires_at <= self.last_at


def forecast(
    connection: Connection,
    now_sql: str,
    accounts: AccountSource,
    *,
    pace_bulk: bool = False,
    most: int = MOST,
) -> list[AccountForecast]:
    """When the backlog of each account with queued parts will be through.

    `state`: where another database counts; None: here. `pace_bulk`: `delivery.pace_bulk` of the settings.
    """
    surveyor = _surveyor(connection, now_sql, accounts, pace_bulk=pace_bulk, most=most)
    found = _simulated(connection, surveyor, {})
    return [_account(backlog, surveyor.now) for backlog in found.values()]


def forecast_job(
    connection: Connection,
    now_sql: str,
    job_id: JobId,
    accounts: AccountSource,
    *,
    pace_bulk: bool = False,
    most: int = MOST,
) -> JobForecast:
    """When a job goes that is queued; JobNotFound when there is none."""
    row = row_of(connection, job_id)
    surveyor = _surveyor(connection, now_sql, accounts, pace_bulk=pace_bulk, most=most)
    parts = queued_of_job(connection, row["id"], OF_A_JOB)
    ends = _ends(connection, parts, most, surveyor.now)
    found = _simulated(connection, surveyor, {row["account"]: ends})
    backlog = found.get(row["account"])
    lines = [] if backlog is None else [line for key in ends for line in backlog.places.get(key, [])[:1]]
    stop = None if backlog is None else next((backlog.stopped[key] for key in ends if key in backlog.stopped), None)
    if stop is None and backlog is not None and not backlog.lines and backlog.stops:
        stop = backlog.stops[0]
    if stop is None and any(part.not_before > FOREVER for part in parts):
        stop = Stop(len(parts), "paused by a person", f"worker why {row['id']}")
    times = [at for line in lines for at in line.marked_at]
    is_whole = stop is None and len(times) == 2 * len(ends)
    last = max(times) if times and is_whole else None
    expires_at = row["expires_at"]
    return JobForecast(
        row["id"],
        row["account"],
        len(parts),
        instant(min(times)) if times and stop is None else None,
        None if last is None else instant(last),
        None if last is None else (last - surveyor.now) / SECOND,
        max(lines, key=lambda line: max(line.marked_at, default=0)).binds if lines and stop is None else None,
        None if expires_at is None else instant(expires_at),
        backlog is not None and backlog.is_capped,
        stop,
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """When the last part of a job that is about to be enqueued would go, at the earliest."""

    at: int | None
    """In microseconds; None: not by itself, or not within 400 days."""
    why: str
    """What it would wait for most, or why it does not go by itself."""


NewJobs = Sequence[Sequence[tuple[tuple[str, int], NewParts]]]
"""Of each job its parts by place (the key under which they are queued, and their priority)."""


def expected(
    connection: Connection, now_sql: str, account: str, accounts: AccountSource, jobs: NewJobs, *, most: int
) -> list[Expected] | None:
    """When each of these new jobs of one account would have gone, as if no other account used a thread.

    None: nothing can be said, because no worker process is alive or the account cannot be used here. No more than
    `most` queued parts are counted, so behind a longer backlog it is later than this.
    """
    surveyor = Surveyor(connection, now_sql, accounts, most=most, sampled=OF_NEW)
    if not surveyor.threads:
        return None
    meters: dict[str, Meter] = {}
    backlog = surveyor.survey(account, meters, [one for job in jobs for one in job])
    if not backlog.lines and not backlog.stopped:
        return None
    ends = _ends_of_new(backlog, jobs)
    marks = {line: sorted({mark for of, mark in ends.values() if of is line}) for line in backlog.lines}
    for line, its in marks.items():
        line.marks = list(its)
    Simulation(surveyor.now, backlog.lines, meters, surveyor.speed([account])).run(to_marks=True)
    times = {(line, mark): at for line, its in marks.items() for mark, at in zip(its, line.marked_at, strict=False)}
    return [_expected(backlog, [(key, ends.get((n, key))) for key, _ in job], times) for n, job in enumerate(jobs)]


def _expected(
    backlog: AccountBacklog,
    ends: Sequence[tuple[tuple[str, int], tuple[BacklogLine, int] | None]],
    times: Mapping[tuple[BacklogLine, int], int],
) -> Expected:
    """One job's, which goes when the last of its places is through."""
    found = [Expected(0, "")]
    for key, end in ends:
        if end is None:
            return Expected(None, backlog.stopped[key].why)
        found.append(Expected(times.get(end), end[0].binds))
    return max(found, key=lambda one: 2**63 if one.at is None else one.at)


def _ends_of_new(backlog: AccountBacklog, jobs: NewJobs) -> dict[tuple[int, tuple[str, int]], tuple[BacklogLine, int]]:
    """For each job and place the line in which its last part stands, and at which place there, counted from 1."""
    totals: dict[tuple[str, int], int] = {}
    for key, new in (one for job in jobs for one in job):
        totals[key] = totals.get(key, 0) + new.parts
    given: dict[tuple[str, int], int] = {}
    found = {}
    for n, job in enumerate(jobs):
        for key, new in job:
            given[key] = given.get(key, 0) + new.parts
            if lines := backlog.places.get(key):
                due = sum(parts for line in lines for at, parts in line.cohorts if at <= new.due_at)
                found[n, key] = (lines[0], _place_in(lines, max(1, due - totals[key] + given[key])))
    return found


def _place_in(lines: Sequence[BacklogLine], place: int) -> int:
    """Where the n-th part of a place stands in the largest of its lines, at that line's share of the way."""
    line = lines[0]
    return max(1, min(line.left, round(place * line.left / sum(other.left for other in lines))))


def _surveyor(
    connection: Connection,
    now_sql: str,
    accounts: AccountSource,
    *,
    pace_bulk: bool,
    most: int,
) -> Surveyor:
    pacing = Pacing(random.Random(0)) if pace_bulk else None
    return Surveyor(connection, now_sql, accounts, most=most, pacing=pacing)


Ends = Mapping[tuple[str, int], tuple[int, int]]
"""Place -> the places in it, counted from 1, of a job's first and last part."""


def _ends(connection: Connection, parts: Sequence[QueuedPart], most: int, now: int) -> Ends:
    places: dict[tuple[str, int], list[QueuedPart]] = {}
    for part in parts:
        if part.not_before <= FOREVER:
            places.setdefault((part.stored, part.priority), []).append(part)
    found = {}
    for key, its in places.items():
        its.sort(key=lambda part: (part.not_before, part.id))
        first, last = (before(connection, part, most, now) + 1 for part in (its[0], its[-1]))
        found[key] = (first, last)
    return found


def _simulated(connection: Connection, surveyor: Surveyor, wanted: Mapping[str, Ends]) -> dict[str, AccountBacklog]:
    """The backlogs of all accounts, followed to their ends."""
    meters: dict[str, Meter] = {}
    found = {name: surveyor.survey(name, meters) for name in accounts_with_queued(connection)}
    for name, ends in wanted.items():
        for key, places in ends.items():
            if name in found and (of_place := found[name].places.get(key)):
                of_place[0].marks = [_place_in(of_place, place) for place in places]
    lines = [line for backlog in found.values() for line in backlog.lines]
    Simulation(surveyor.now, lines, meters, surveyor.speed(list(found))).run()
    return found


def _account(backlog: AccountBacklog, now: int) -> AccountForecast:
    ends = [line.ends_at for line in backlog.lines]
    through = None if not ends or None in ends else max(end for end in ends if end is not None)
    last = max(backlog.lines, key=lambda line: line.ends_at or 2**63, default=None)
    return AccountForecast(
        backlog.account,
        backlog.parts,
        backlog.is_capped,
        None if through is None else instant(through),
        None if through is None else (through - now) / SECOND,
        None if last is None else last.binds,
        tuple(backlog.stops),
        tuple(
            LimitUse(meter.name, round(backlog.of[key]), meter.window_s, meter.amount, backlog.used[key], meter.units)
            for key, meter in sorted(backlog.meters.items(), key=lambda item: (item[1].name, item[0]))
        ),
    )
