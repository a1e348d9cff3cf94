"""`worker forecast`: estimates when the backlog of each account will be sent."""

from __future__ import annotations

import json
from collections.abc import Iterator

from worker.accounts.sources import accounts_of
from worker.channels.registry import usable
from worker.cli.options import Account, Commands, Json, echo, to_json
from worker.config.settings import load_settings
from worker.control.opening import open_database
from worker.language import plural
from worker.language.visible import one_line
from worker.reporting.forecast import AccountForecast, LimitWait, forecast as forecast_of

app = Commands()

ROUGH = "a rough estimate from the limits and the speed at the last heartbeats; new jobs and failures are not counted"


@app.command()
def forecast(account: Account = None, as_json: Json = False) -> None:
    """Estimates when each account's backlog will be sent: what is due, divided by the rate at which it goes."""
    settings = load_settings()
    accounts = accounts_of(settings)
    if account is not None:
        usable(accounts, account)
    with open_database(settings) as database, database.reading() as connection:
        forecasts = forecast_of(connection, database.now, accounts)
    forecasts = [account_forecast for account_forecast in forecasts if account in (None, account_forecast.account)]
    if as_json:
        echo(json.dumps([to_json(account_forecast) for account_forecast in forecasts], ensure_ascii=False))
        return
    for account_forecast in forecasts:
        for line in lines(account_forecast):
            echo(one_line(line))
    echo(ROUGH if forecasts else "nothing is queued")


def lines(account_forecast: AccountForecast) -> Iterator[str]:
    """Yields the lines of an account's forecast."""
    at_least = "at least " if account_forecast.at_least else ""
    paused = f", {account_forecast.paused} paused" if account_forecast.paused else ""
    yield (
        f"account {account_forecast.account}: {at_least}{account_forecast.due} due, {account_forecast.later} later"
        f"{paused}"
    )
    for stop in account_forecast.stops:
        yield f"  will not be sent until this is fixed: {stop.why}; {stop.command}"
    if account_forecast.in_s is not None and account_forecast.due:
        yield f"  what is due will be sent in about {_span(account_forecast.in_s)}"
    elif account_forecast.due and not account_forecast.stops:
        yield "  nothing is being sent now, so no estimate is possible"
    if account_forecast.per_s:
        yield f"  about {account_forecast.per_s:.3g} parts a second"
    for wait in account_forecast.waits:
        yield f"  {_wait(wait)}"


def _wait(wait: LimitWait) -> str:
    if wait.amount is None:
        return f"{plural(wait.parts, 'part')} waiting for {wait.limit}"
    if wait.in_s is None:
        return (
            f"{plural(wait.parts, 'part')} waiting for {wait.limit}, which allows {wait.amount} in"
            f" {wait.window_s} s to each recipient"
        )
    window = f"which allows {wait.amount} in {wait.window_s} s"
    return f"{plural(wait.parts, 'part')} waiting for {wait.limit}, {window}: about {_span(wait.in_s)}"


def _span(seconds: float) -> str:
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole % 86_400 // 3_600, whole % 3_600 // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
