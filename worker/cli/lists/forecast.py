"""`worker forecast`: when the backlog of each account will be through, or a job goes, and what decides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from worker.accounts.sources import accounts_of
from worker.channels.registry import usable
from worker.cli.reading import Say, plain
from worker.config.settings import load_settings
from worker.control.opening import opened
from worker.domain.pacing.forecast import SPEED
from worker.reporting.backlog_lines import Stop
from worker.reporting.forecast import AccountForecast, JobForecast, LimitUse, forecast, forecast_job


def show(say: Say, *, account: str | None, as_json: bool) -> None:
    """Prints the forecast of one account, or of all that have queued parts."""
    settings = load_settings()
    known = accounts_of(settings)
    if account is not None:
        usable(known, account)
    with (
        opened(settings) as database,
        database.reading() as connection,
    ):
        # All of them, also for one: they share the threads, and some limits.
        found = forecast(connection, database.now, known, pace_bulk=settings.delivery.pace_bulk)
    found = [one for one in found if account in (None, one.account)]
    if as_json:
        say(json.dumps([plain(one) for one in found], ensure_ascii=False))
        return
    for one in found:
        for line in lines(one):
            say(line)
    if not found:
        say("nothing is queued")


def show_job(say: Say, job_id: str, *, as_json: bool) -> None:
    """Prints when a job goes."""
    settings = load_settings()
    with (
        opened(settings) as database,
        database.reading() as connection,
    ):
        one = forecast_job(
            connection,
            database.now,
            job_id,
            accounts_of(settings),
            pace_bulk=settings.delivery.pace_bulk,
        )
    if as_json:
        say(json.dumps({**_plain_job(one), "is_late": one.is_late}, ensure_ascii=False))
        return
    for line in job_lines(one):
        say(line)


def lines(one: AccountForecast) -> Iterator[str]:
    """An account's forecast."""
    at_least = "at least " if one.at_least else ""
    yield f"account {one.account}: {at_least}{_waiting(one.parts)}"
    stopped = sum(stop.parts for stop in one.stops)
    if one.through_at is not None:
        whose = "the others are through" if stopped else "through"
        yield f"  {whose} {_at(one.through_at, one.through_in_s, one.at_least)}; decides: {_cause(one.binds)}"
    elif one.parts > stopped:
        yield f"  not through within 400 days; decides: {_cause(one.binds)}"
    for stop in one.stops:
        yield f"  {_stop(stop)}"
    for limit in one.limits:
        yield f"  {_limit(limit)}"


def job_lines(one: JobForecast) -> Iterator[str]:
    """A job's forecast."""
    yield f"job {one.job} of account {one.account}: {_waiting(one.parts)}"
    if not one.parts:
        yield f"  nothing of it is queued; see worker why {one.job}"
    elif one.stop is not None:
        yield f"  {_stop(one.stop)}"
    elif one.last_at is None:
        yield f"  not within 400 days; decides: {_cause(one.binds)}"
    else:
        if one.first_at != one.last_at and one.first_at is not None:
            yield f"  the first of them {one.first_at:%Y-%m-%d %H:%M:%S} UTC"
        yield f"  goes {_at(one.last_at, one.in_s, one.at_least)}; decides: {_cause(one.binds)}"
    if one.is_late and one.expires_at is not None:
        yield f"  it expires before that: {one.expires_at:%Y-%m-%d %H:%M:%S} UTC"


def _waiting(parts: int) -> str:
    return "1 part waits" if parts == 1 else f"{parts} parts wait"


def _at(at: datetime, in_s: float | None, at_least: bool) -> str:
    earliest = " at the earliest" if at_least else ""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC{earliest}, in {_span(in_s or 0.0)}"


def _span(seconds: float) -> str:
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole % 86_400 // 3_600, whole % 3_600 // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _cause(binds: str | None) -> str:
    return "no limit, the threads alone" if binds in (None, SPEED) else str(binds)


def _stop(stop: Stop) -> str:
    todo = f"; {stop.command}" if stop.command else ""
    whose = "1 part does not go by itself" if stop.parts == 1 else f"{stop.parts} parts do not go by themselves"
    return f"{whose}: {stop.why}{todo}"


def _limit(one: LimitUse) -> str:
    of = f" of {one.recipients} recipients" if one.recipients > 1 else ""
    return f"{one.name}{of}: used {one.used} of {one.amount} in {one.window_s} s; the backlog takes {one.needed}"


def _plain_job(one: JobForecast) -> dict[str, Any]:
    found: dict[str, Any] = plain(one)
    return found
