"""`worker forecast`: roughly when the backlog of each account will be through."""

from __future__ import annotations

import json
from collections.abc import Iterator

from worker.accounts.sources import accounts_of
from worker.channels.registry import usable
from worker.cli.options import Account, Commands, Json, plain, say
from worker.config.settings import load_settings
from worker.control.opening import open_database
from worker.reporting.forecast import AccountForecast, LimitWait, forecast as forecast_of

app = Commands()

ROUGH = "rough: by the limits' amounts and the speed at the last heartbeats; new jobs and failures are not in it"


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
        say(json.dumps([plain(one) for one in found], ensure_ascii=False))
        return
    for one in found:
        for line in lines(one):
            say(line)
    say(ROUGH if found else "nothing is queued")


def lines(one: AccountForecast) -> Iterator[str]:
    """An account's forecast."""
    at_least = "at least " if one.at_least else ""
    yield f"account {one.account}: {at_least}{one.due} due, {one.later} later"
    for stop in one.stops:
        yield f"  do not go by themselves: {stop.why}; {stop.command}"
    if one.in_s is not None and one.due:
        yield f"  what is due is through in about {_span(one.in_s)}"
    elif one.due and not one.stops:
        yield "  nothing went lately, so there is nothing to tell it by"
    if one.per_s:
        yield f"  about {one.per_s:.3g} parts go in a second"
    for wait in one.waits:
        yield f"  {_wait(wait)}"


def _wait(one: LimitWait) -> str:
    if one.amount is None:
        return f"{one.parts} wait for {one.limit}"
    if one.in_s is None:
        return f"{one.parts} wait for {one.limit}, which lets {one.amount} in {one.window_s} s go to each recipient"
    window = f"which lets {one.amount} in {one.window_s} s go"
    return f"{one.parts} wait for {one.limit}, {window}: about {_span(one.in_s)}"


def _span(seconds: float) -> str:
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole % 86_400 // 3_600, whole % 3_600 // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
