"""Pauses jobs, holds single ones, and waits until nothing is in flight.

A pause is a row; the group commit of every worker obeys it, so it needs no worker and no broker, and survives both.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.channels.registry import channel, names
from worker.config.settings import Settings
from worker.control.audit import Done, audited
from worker.control.opening import at_hand
from worker.domain.errors import CheckFailed, Problem, WorkerError
from worker.domain.job import JobId, Kind
from worker.domain.job_filter import JobFilter
from worker.domain.pause import Pause
from worker.outbox.control.cancels import count_in_the_air, open_jobs
from worker.outbox.control.matching import missing_jobs
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.database import Database
from worker.outbox.lanes import pauses as rows

SCOPE = ("account", "channel", "kind", "tag")
LONGEST = {"account": 60, "tag": 100}
QUIET_S = 1.0
"""For so many seconds nothing must be in flight: a commit that did not see the pause may just be under way."""
LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Paused:
    """A pause that stands now."""

    audit: str | None
    """Id of the audit's row; None: the pause stood already."""
    pause: Pause
    """The pause that stands now."""


@on_callers_connection
def list_pauses(connection: Connection) -> list[Pause]:
    """What is paused now, jobs that are held included; the oldest first."""
    return rows.standing_pauses(connection)


def pause(
    wanted: JobFilter | None,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
) -> Paused:
    """Pauses the jobs of a filter, whenever they are enqueued: no call of theirs begins until `resume_paused`.

    `wanted` names an account, channel, kind or tag, or several of these, all of which have to hold; None: everything.
    Recalls pass, and cancels do, and searches for a part in doubt. What expires meanwhile expires. `person` says who
    pauses, `why` for which reason, at most 300 characters. A call that has begun is not called back: `drain` waits for
    it. CheckFailed for other fields, and for a channel or a kind that there is not.
    """
    with at_hand(database, settings) as (outbox, in_force):
        scope = _scope(wanted)
        asked = {"filter": scope}
        if known := _same(outbox, scope):
            return Paused(None, known[0])
        with audited("pause", person=person, why=why, asked=asked, database=outbox, settings=in_force) as running:
            [made] = _begin(outbox, [{**scope, "person": person, "why": why}])
            running.counts["pauses"] = 1
        return Paused(running.id, made)


def resume_paused(
    wanted: JobFilter | None,
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
) -> Done:
    """Ends the pause of exactly this filter, and counts these `pauses`. WorkerError where there is none.

    What waits goes on as fast as its limits allow, in the order in which it was due.
    """
    with at_hand(database, settings) as (outbox, in_force):
        scope = _scope(wanted)
        pauses = _same(outbox, scope)
        if not pauses:
            what = ", ".join(f"{name} {value}" for name, value in scope.items()) or "everything"
            raise WorkerError(f"{what} is not paused; `worker lanes` lists what is")
        ids, asked = [pause.id for pause in pauses], {"filter": scope}
        with audited("resume", person=person, why=why, asked=asked, database=outbox, settings=in_force) as running:
            running.counts["pauses"] = outbox.run(lambda connection: rows.end(connection, outbox.now, ids))
        return Done(running.id, running.counts)


def hold(
    ids: Iterable[JobId],
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
) -> Done:
    """Holds single jobs, at most 1,000: no call of theirs begins until `release`. A recall can be held, too.

    Its `jobs` are those that were held; `left` is the number of those of which nothing is to be sent any more, or that
    were held already.
    """
    wanted = JobFilter(ids=ids)
    with at_hand(database, settings) as (outbox, in_force):
        given, asked = _jobs(outbox, wanted), {"filter": wanted.asked()}
        with audited("hold", person=person, why=why, asked=asked, database=outbox, settings=in_force) as running:
            with outbox.reading() as connection:
                held = {pause.job_id for pause in rows.standing_pauses(connection, given)}
                wait = [job for job in open_jobs(connection, given) if job not in held]
            if wait:
                _begin(outbox, [{"job_id": job, "person": person, "why": why} for job in wait])
            running.counts["jobs"] = len(wait)
        return Done(running.id, running.counts + Counter(left=len(given) - len(wait)), tuple(wait))


def release(
    ids: Iterable[JobId],
    *,
    person: str,
    why: str = "",
    settings: Settings | None = None,
    database: Database | None = None,
) -> Done:
    """Lets jobs go on that are held: its `jobs`; `left` is the number of those that were not."""
    wanted = JobFilter(ids=ids)
    with at_hand(database, settings) as (outbox, in_force):
        wanted.require_whole_jobs()
        with outbox.reading() as connection:
            pauses = rows.standing_pauses(connection, wanted.part_or_job_ids())
        held = {pause.id: pause.job_id for pause in pauses if pause.job_id is not None}
        # What retention has deleted may still be held.
        given, asked = _jobs(outbox, wanted, beside=held.values()), {"filter": wanted.asked()}
        with audited("release", person=person, why=why, asked=asked, database=outbox, settings=in_force) as running:
            if held:
                outbox.run(lambda connection: rows.end(connection, outbox.now, held))
            running.counts["jobs"] = len(set(held.values()))
        jobs = tuple(job for job in given if job in held.values())
        return Done(running.id, running.counts + Counter(left=len(given) - len(jobs)), jobs)


def drain(
    wanted: JobFilter | None,
    *,
    timeout_s: float,
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda in_flight: None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Waits until no call of a filter's parts (None: of any) is in flight, for `timeout_s` seconds at most.

    Returns how many are still in flight: 0, unless the time was over. Pause first, or it may never come to an end.
    `progress` is called with the number that is in flight.
    """
    if wanted is not None:
        wanted.require_whole_jobs()
    ends = monotonic() + timeout_s
    quiet_since: float | None = None
    with at_hand(database, settings) as (outbox, _):
        # To the end of a quiet second that has begun, also when the time is over.
        while True:
            with outbox.reading() as connection:
                in_flight = count_in_the_air(connection, wanted)
            now = monotonic()
            progress(in_flight)
            quiet_since = None if in_flight else (now if quiet_since is None else quiet_since)
            if quiet_since is not None and now - quiet_since >= QUIET_S:
                return 0
            if now >= ends and in_flight:
                return in_flight
            sleep(LOOK_S)


def _scope(wanted: JobFilter | None) -> dict[str, str]:
    if wanted is None:
        return {}
    asked = wanted.asked()
    if others := asked.keys() - set(SCOPE):
        remedy = "pause an account, channel, kind or tag; `hold` is for single jobs"
        raise CheckFailed([Problem("filter", f"names {', '.join(sorted(others))}", remedy)])
    if asked.get("kind") == Kind.RECALL:
        raise CheckFailed([Problem("kind", "is recall, which passes every pause", "hold or cancel single recalls")])
    problems = [
        Problem(name, "is too long", "there is none with such a name", most, "characters", len(asked[name]))
        for name, most in LONGEST.items()
        if len(asked.get(name, "")) > most
    ]
    kinds = {kind for one in names() for kind in channel(one).kinds}
    problems += [
        Problem(name, f"is {asked[name]!r}, which there is not", f"use one of {', '.join(sorted(known))}")
        for name, known in (("channel", set(names())), ("kind", kinds))
        if name in asked and asked[name] not in known
    ]
    if problems:
        raise CheckFailed(problems)
    return asked


def _same(database: Database, scope: dict[str, str]) -> list[Pause]:
    with database.reading() as connection:
        return [pause for pause in rows.standing_pauses(connection, ()) if pause.scope() == scope]


def _jobs(database: Database, wanted: JobFilter, *, beside: Collection[str] = ()) -> list[str]:
    """The ids of a filter's jobs. CheckFailed for an id that is no job's, lest a person believe that it is held."""
    wanted.require_whole_jobs()
    given = wanted.part_or_job_ids()
    with database.reading() as connection:
        missing = [id for id in missing_jobs(connection, given) if id not in beside]
    if missing:
        remedy = f"give whole ids; `worker why {missing[0]}` may find one"
        raise CheckFailed([Problem("ids", f"name no job with {', '.join(missing[:3])}", remedy)])
    return given


def _begin(database: Database, scopes: Sequence[Mapping[str, str]]) -> list[Pause]:
    empty = dict.fromkeys((*SCOPE, "job_id"))
    made = [{**empty, **scope, "id": uuid7().hex} for scope in scopes]
    return database.run(lambda connection: rows.begin(connection, database.now, made))
