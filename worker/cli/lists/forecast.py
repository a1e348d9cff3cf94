"""`worker forecast`: roughly when the backlog of each account will be through."""

from __future__ import annotations

import json
from collections.abc import Iterator

from worker.accounts.sources import accounts_of
from worker.channels.registry import usable
from worker.cli.options import Account, Commands, Json, echo, plain
from worker.config.settings import load_settings
from worker.control.opening import open_database
from worker.language import plural
from worker.reporting.forecast import AccountForecast, LimitWait, forecast as forecast_of

app = Commands()

ROUGH = "a rough estimate from the limits and the speed at the last heartbeats; new jobs and failures are not counted"


@app.command()
def forecast(account: Account = None, as_json: Json = False) -> None:
    """Roughly when the backlog of each account will be through: what is due, divided by what lets it through."""
    settings = load_settings()
    known = accounts_of(settings)
    if account is not None:
        usable(known, account)
    with open_database(settings) as database, database.reading() as connection:
        found = forecast_of(connection, database.now, known)
    found = [one for one in found if account in (None, one.account)]
    if as_json:
        echo(json.dumps([plain(one) for one in found], ensure_ascii=False))
        return
    for one in found:
        for line in lines(one):
            echo(line)
    echo(ROUGH if found else "nothing is queued")


def lines(one: AccountForecast) -> Iterator[str]:
    """An account's forecast."""
    at_least = "at least " if one.at_least else ""
    yield f"account {one.account}: {at_least}{one.due} due, {one.later} later"
    for stop in one.stops:
        yield f"  will not be sent until this is fixed: {stop.why}; {stop.command}"
    if one.in_s is not None and one.due:
        yield f"  what is due will be sent in about {_span(one.in_s)}"
    elif one.due and not one.stops:
        yield "  nothing was sent lately, so no estimate is possible"
    if one.per_s:
        yield f"  about {one.per_s:.3g} parts a second"
    for wait in one.waits:
        yield f"  {_wait(wait)}"


def _wait(one: LimitWait) -> str:
    if one.amount is None:
        return f"{plural(one.parts, 'part')} waiting for {one.limit}"
    if one.in_s is None:
        return (
            f"{plural(one.parts, 'part')} waiting for {one.limit}, which allows {one.amount} in"
            f" {one.window_s} s to each recipient"
        )
    window = f"which allows {one.amount} in {one.window_s} s"
    return f"{plural(one.parts, 'part')} waiting for {one.limit}, {window}: about {_span(one.in_s)}"


def _span(seconds: float) -> str:
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole % 86_400 // 3_600, whole % 3_600 // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
