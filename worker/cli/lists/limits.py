"""`worker limits`: lists the limits of the accounts, how much of each is used now, and the vendor's page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Any

import typer

from worker.accounts.sources import accounts_of
from worker.channels.registry import channel, split_usable, usable
from worker.cli import options
from worker.cli.options import Commands, Json, echo
from worker.cli.reading import padded
from worker.config.settings import load_settings, settings_location
from worker.control.opening import open_database
from worker.domain.account import Account
from worker.domain.pacing.limit import Unit
from worker.language import plural, term, translate
from worker.reporting.limit_usage import Usage, usages

app = Commands()


@app.command()
def limits(
    account: options.Account = None,
    recipient: Annotated[str | None, typer.Option(help="Whose own limits: a userid, a chat, a task's msgid.")] = None,
    as_json: Json = False,
) -> None:
    """Shows every limit of an account: amount, window, use and room now, and the vendor's page."""
    settings = load_settings()
    accounts = accounts_of(settings)
    if account is not None:
        usable(accounts, account)
    names = (account,) if account is not None else accounts.names()
    usable_accounts, problems = split_usable(accounts, names)
    with open_database(settings) as database, database.reading() as connection:
        account_channels = [(channel(item.channel), item) for item in usable_accounts.values()]
        usages_by_account = usages(connection, database.now, account_channels, recipient, count_waiting=True)
    if as_json:
        unusable = {name: {"unusable": why} for name, why in problems.items()}
        echo(
            json.dumps(
                {name: [*map(to_json, rows)] for name, rows in usages_by_account.items()} | unusable, ensure_ascii=False
            )
        )
        return
    for name, rows in usages_by_account.items():
        for line in lines(usable_accounts[name], rows):
            echo(line)
    for name, why in problems.items():
        echo(f"account {name} cannot be used: {why}")
    if not names:
        echo(
            f"no account is configured; add [accounts.NAME] to {settings_location()}, or run `worker accounts add NAME`"
        )


def lines(account: Account, rows: list[Usage]) -> Iterator[str]:
    """Yields an account's limits, one on each line, grouped by what they count for."""
    yield f"account {account.name} ({account.channel})"
    for subject_kind, group in groupby(rows, key=lambda row: row.counted.subject_kind):
        yield f"  {subject_kind}"
        yield from (f"    {_line(row)}" for row in group)


def _line(row: Usage) -> str:
    limit = row.counted.limit
    waits = f", {plural(row.waiting, 'part')} waiting" if row.waiting else ""
    amount, use = padded(_amount(row), 36), padded(translate(_use(row)), 28)
    source = translate(f"{limit.source}; beyond it: {limit.penalty}")
    return f"{limit.name:<20} {amount} {use}{translate(waits)}  [{source}]"


def _amount(row: Usage) -> str:
    limit = row.counted.limit
    if limit.unit is Unit.ALLOWANCE:
        return translate(f"{limit.amount} until the recipient writes again")
    if not limit.amount:
        return translate("off")
    window = f" in {limit.window_s} s" if limit.window_s else " at a time"
    return f"{limit.amount} {term('unit', limit.unit)}{translate(window)}"


def _use(row: Usage) -> str:
    if row.used is not None:
        return f"used {row.used}, room {row.room}" + (f", more in {row.room_in_s:.0f} s" if row.room_in_s else "")
    if not row.counted.limit.amount:
        return "not checked"
    return "give --recipient to see the use" if row.counted.limit.window_s else "checked when the call begins"


def to_json(row: Usage) -> dict[str, Any]:
    """Returns a limit and its use as JSON values."""
    limit = row.counted.limit
    return {
        "name": limit.name,
        "of": row.counted.subject_kind,
        "amount": limit.amount,
        "unit": limit.unit.value,
        "window_s": limit.window_s,
        "used": row.used,
        "room": row.room,
        "room_in_s": row.room_in_s,
        "waiting": row.waiting,
        "penalty": limit.penalty,
        "source": limit.source,
    }
