"""Pauses all jobs of a filter, or single jobs, and waits until no call is in flight.

A pause is a row that the group commit of every worker obeys. It can be set without a worker or a broker, and survives
restarts of both.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.channels.registry import channel, names
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.control.audit import CommandResult, audited
from worker.control.command import Command, TargetKind
from worker.control.opening import open_outbox
from worker.control.selection import require_configured
from worker.domain.errors import CheckFailed, Problem, WorkerError
from worker.domain.job import JobId, JobKind
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.pause import Pause
from worker.language import plural
from worker.outbox.control.cancels import count_in_flight, open_jobs
from worker.outbox.control.matching import missing_jobs
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.database import Database
from worker.outbox.lanes import pauses as rows

SCOPE = ("account", "channel", "kind", "tag")
MAX_LENGTHS = {"account": 60, "tag": 100}
QUIET_S = 1.0
"""Seconds without a call in flight before `wait_for_calls` returns: a commit that did not see the pause may be under
way."""
POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class PauseResult:
    """What `pause` did."""

    audit: str | None
    """Id of the command's audit entry, or None if the pause was already in force."""
    pause: Pause
    """The pause that is in force."""


@on_callers_connection
def list_pauses(connection: Connection) -> list[Pause]:
    """Lists the pauses in force, those of single jobs too, oldest first."""
    return rows.active_pauses(connection)


def pause(
    filter: JobFilter | None,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
) -> PauseResult:
    """Pauses jobs, including those that are enqueued later: no call of theirs begins until `resume`.

    `filter` has an account, channel, kind or tag, or several of these, which all have to match; None pauses everything.
    Recalls, cancels and searches for parts in doubt go on, and jobs may expire. A call that has begun is not stopped:
    `wait_for_calls` waits for its end. `person` is who pauses and `why` the reason, at most 300 characters. Raises
    CheckFailed for other fields, and for a channel or a kind that does not exist.
    """
    with open_outbox(database, settings) as (outbox, settings_in_use):
        scope = _checked_filter(filter)
        arguments = {"filter": scope}
        if existing := _pauses_of_filter(outbox, scope):
            return PauseResult(None, existing[0])
        with audited(
            "pause", person=person, why=why, arguments=arguments, database=outbox, settings=settings_in_use
        ) as command:
            [created] = _begin(outbox, [{**scope, "person": person, "why": why}])
            command.counts["pauses"] = 1
        return PauseResult(command.id, created)


def resume(
    filter: JobFilter | None,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
) -> CommandResult:
    """Ends the pause with exactly this filter, and counts the `pauses` that ended. Raises WorkerError if there is none.

    Waiting parts are then sent as fast as their limits allow, in the order in which they were due.
    """
    with open_outbox(database, settings) as (outbox, settings_in_use):
        scope = _checked_filter(filter)
        pauses = _pauses_of_filter(outbox, scope)
        if not pauses:
            scope_text = ", ".join(f"{name} {value}" for name, value in scope.items()) or "everything"
            raise WorkerError(f"{scope_text} is not paused; `worker lanes` lists what is")
        ids, arguments = [pause.id for pause in pauses], {"filter": scope}
        with audited(
            "resume", person=person, why=why, arguments=arguments, database=outbox, settings=settings_in_use
        ) as command:
            command.counts["pauses"] = outbox.run(lambda connection: rows.end_pauses(connection, outbox.now, ids))
        return CommandResult(command.id, command.counts)


def pause_jobs(
    ids: Iterable[JobId],
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
) -> CommandResult:
    """Pauses single jobs, at most 1,000: no call of theirs begins until `resume_jobs`. A recall can be paused, too.

    The `jobs` of the result were not paused before. `unchanged` counts the jobs that have nothing left to send, or
    were already paused.
    """
    filter = JobFilter(ids=ids)
    with open_outbox(database, settings) as (outbox, settings_in_use):
        ids_in_order, arguments = _existing_jobs(outbox, filter), {"filter": filter.conditions()}
        with audited(
            "pause_jobs", person=person, why=why, arguments=arguments, database=outbox, settings=settings_in_use
        ) as command:
            with outbox.reading() as connection:
                paused = {pause.job_id for pause in rows.active_pauses(connection, ids_in_order)}
                to_pause = [job for job in open_jobs(connection, ids_in_order) if job not in paused]
            if to_pause:
                _begin(outbox, [{"job_id": job, "person": person, "why": why} for job in to_pause])
            command.counts = _counts(ids_in_order, to_pause)
        return CommandResult(command.id, +command.counts, tuple(to_pause))


def resume_jobs(
    ids: Iterable[JobId],
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
) -> CommandResult:
    """Ends pauses of single jobs, which are the `jobs` of the result. `unchanged` counts the jobs that had none."""
    filter = JobFilter(ids=ids)
    with open_outbox(database, settings) as (outbox, settings_in_use):
        filter.require_whole_jobs()
        with outbox.reading() as connection:
            pauses = rows.active_pauses(connection, filter.part_or_job_ids())
        paused = {pause.id: pause.job_id for pause in pauses if pause.job_id is not None}
        # A job that retention has deleted may still be paused.
        ids_in_order, arguments = (
            _existing_jobs(outbox, filter, except_for=paused.values()),
            {"filter": filter.conditions()},
        )
        with audited(
            "resume_jobs", person=person, why=why, arguments=arguments, database=outbox, settings=settings_in_use
        ) as command:
            if paused:
                outbox.run(lambda connection: rows.end_pauses(connection, outbox.now, paused))
            jobs = tuple(job for job in ids_in_order if job in paused.values())
            command.counts = _counts(ids_in_order, jobs)
        return CommandResult(command.id, +command.counts, jobs)


def _configured(filter: JobFilter | None, *, accounts: AccountSource) -> JobFilter | None:
    require_configured(filter, accounts.names())
    return filter


def _begin_pause(
    filter: JobFilter | None, *, person: str, why: str, settings: Settings | None, database: Database | None
) -> CommandResult:
    result = pause(filter, person=person, why=why, settings=settings, database=database)
    if result.audit is None:
        raise CheckFailed([Problem("filter", "is paused already", "see the page of lanes; resume ends a pause")])
    return CommandResult(result.audit, Counter(pauses=1))


def _with_unchanged(result: CommandResult, text: str, why_unchanged: str) -> Iterator[str]:
    yield text
    if count := result.counts["unchanged"]:
        yield f"{count} not changed: {why_unchanged}"


PAUSE = Command(
    name="pause",
    help="Pauses what has an account, channel, kind or tag, or everything, also what is enqueued later; recalls go on.",
    target=TargetKind.SCOPE,
    find=_configured,
    run=_begin_pause,
    done=("pauses",),
)
RESUME = Command(
    name="resume",
    help="Ends a pause, named as it was paused.",
    target=TargetKind.SCOPE,
    run=resume,
    done=("pauses",),
)
PAUSE_JOBS = Command(
    name="pause_jobs",
    help="Pauses single jobs: no call of theirs begins until they are resumed.",
    target=TargetKind.IDS,
    typed_as="pause",
    run=pause_jobs,
    lines=lambda result, options: _with_unchanged(
        result,
        f"paused {plural(len(result.jobs), 'job')} (audit {result.audit})",
        "they have nothing left to send, or were paused already",
    ),
    done=("jobs",),
    might_apply=lambda job: job.goes_on and not job.is_paused,
)
RESUME_JOBS = Command(
    name="resume_jobs",
    help="Ends the pause of single jobs.",
    target=TargetKind.IDS,
    typed_as="resume",
    run=resume_jobs,
    lines=lambda result, options: _with_unchanged(
        result, f"resumed {plural(len(result.jobs), 'job')} (audit {result.audit})", "they were not paused"
    ),
    done=("jobs",),
    might_apply=lambda job: job.is_paused,
)


def wait_for_calls(
    filter: JobFilter | None,
    *,
    timeout_s: float,
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda in_flight: None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Waits until no part of a filter has a call in flight, at most `timeout_s` seconds. None waits for all parts.

    Returns the number of calls that are still in flight: 0, unless the time ran out. Pause first, because otherwise new
    calls may begin all the time. `progress` is called with the number of calls in flight.
    """
    if filter is not None:
        filter.require_whole_jobs()
    ends_at = monotonic() + timeout_s
    quiet_since: float | None = None
    with open_outbox(database, settings) as (outbox, _):
        # A quiet second that has begun is waited for, even when the time has run out.
        while True:
            with outbox.reading() as connection:
                in_flight = count_in_flight(connection, filter)
            now = monotonic()
            progress(in_flight)
            quiet_since = None if in_flight else (now if quiet_since is None else quiet_since)
            if quiet_since is not None and now - quiet_since >= QUIET_S:
                return 0
            if now >= ends_at and in_flight:
                return in_flight
            sleep(POLL_S)


def _checked_filter(filter: JobFilter | None) -> dict[str, str]:
    if filter is None:
        return {}
    require_filter(filter)
    conditions = filter.conditions()
    if unsupported := conditions.keys() - set(SCOPE):
        remedy = "pause an account, channel, kind or tag; `pause_jobs` is for single jobs"
        raise CheckFailed([Problem("filter", f"names {', '.join(sorted(unsupported))}", remedy)])
    if conditions.get("kind") == JobKind.RECALL:
        raise CheckFailed([Problem("kind", "is recall, which passes every pause", "pause or cancel single recalls")])
    problems = [
        Problem(name, "is too long", "there is none with such a name", limit, "characters", len(conditions[name]))
        for name, limit in MAX_LENGTHS.items()
        if len(conditions.get(name, "")) > limit
    ]
    kinds = {kind for name in names() for kind in channel(name).kinds}
    problems += [
        Problem(name, f"is {conditions[name]!r}, which does not exist", f"use one of {', '.join(sorted(values))}")
        for name, values in (("channel", set(names())), ("kind", kinds))
        if name in conditions and conditions[name] not in values
    ]
    if problems:
        raise CheckFailed(problems)
    return conditions


def _pauses_of_filter(database: Database, scope: dict[str, str]) -> list[Pause]:
    with database.reading() as connection:
        return [pause for pause in rows.active_pauses(connection, ()) if pause.scope() == scope]


def _existing_jobs(database: Database, filter: JobFilter, *, except_for: Collection[str] = ()) -> list[str]:
    """Returns the ids of a filter. Raises CheckFailed for an id of no job, so that a typo is seen."""
    filter.require_whole_jobs()
    job_ids = filter.part_or_job_ids()
    with database.reading() as connection:
        missing = [id for id in missing_jobs(connection, job_ids) if id not in except_for]
    if missing:
        remedy = f"give whole ids; `worker why {missing[0]}` may find one"
        raise CheckFailed([Problem("ids", f"name jobs that do not exist: {', '.join(missing[:3])}", remedy)])
    return job_ids


def _counts(ids: Sequence[str], changed: Sequence[str]) -> Counter[str]:
    """Returns how many of the jobs of these ids were changed, and how many were not, if any."""
    unchanged = len(ids) - len(changed)
    return Counter(jobs=len(changed), **({"unchanged": unchanged} if unchanged else {}))


def _begin(database: Database, scopes: Sequence[Mapping[str, str]]) -> list[Pause]:
    empty = dict.fromkeys((*SCOPE, "job_id"))
    pauses = [{**empty, **scope, "id": uuid7().hex} for scope in scopes]
    return database.run(lambda connection: rows.begin_pauses(connection, database.now, pauses))
