"""`worker up`, `receiver`, `metrics` and `console`: run until they are stopped."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from worker.accounts.sources import accounts_of
from worker.channels.registry import split_usable
from worker.cli.db import upgrade_tables
from worker.cli.options import Commands, LogLevel, system_user
from worker.config.places import UrlFrom
from worker.config.settings import Settings, load_settings, settings_location
from worker.control.opening import require_database_file
from worker.domain.account import Account
from worker.domain.errors import ConfigurationError
from worker.language import translate
from worker.language.visible import one_line
from worker.outbox.engine.database import is_retryable

app = Commands()


@app.command()
def up(
    threads: Annotated[int | None, typer.Option(min=1, help="Sender threads.")] = None,
    with_console: Annotated[
        bool, typer.Option("--console", help="Serves the console, too, at console.listen.")
    ] = False,
    loglevel: LogLevel = "INFO",
) -> None:
    """Runs everything in one process: upgrades the tables and delivers, with a broker in memory."""
    from worker.service.broker import EMBEDDED
    from worker.service.celery_app import make_app, start_worker

    loaded = load_settings()
    for hint in hints(loaded):
        sys.stderr.write(f"worker: {one_line(translate(hint))}\n")
    settings = loaded.model_copy(update={"broker": UrlFrom(url=EMBEDDED)})
    _upgrade_tables()
    celery = make_app(settings)
    # A broker in memory has no other workers: gossip, mingle and heartbeats between them would be useless.
    without_peers = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
    with _console(settings) if with_console else nullcontext():
        threads = threads or settings.delivery.threads
        raise typer.Exit(start_worker(celery, threads=threads, loglevel=loglevel, **without_peers))


def _upgrade_tables() -> None:
    """Upgrades the tables, and waits as long as another process keeps the database locked."""
    while True:
        try:
            upgrade_tables()
        except DBAPIError as error:
            if not is_retryable(error):
                raise
            hint = "another process keeps the database locked; waiting for it"
            sys.stderr.write(f"worker: {translate(hint)}\n")
        else:
            return


def _console(settings: Settings) -> AbstractContextManager[None]:
    from worker.service.web.console import console_in_thread

    return console_in_thread(settings, system_user)


def hints(settings: Settings) -> list[str]:
    """Returns sentences about settings that `worker up` does not use, or that are missing or wrong."""
    lines = []
    if settings.broker.url != "embedded":
        lines.append("`worker up` uses a broker in memory; the broker of the settings is for `celery ... worker`")
    accounts = accounts_of(settings)
    usable, unusable_accounts = split_usable(accounts, accounts.names())
    unusable = [*unusable_accounts.items(), *_unread_secrets(usable.values())]
    lines.extend(f"account {name} cannot be used: {why}" for name, why in unusable)
    if not accounts.names():
        lines.append(
            f"no account is configured; add [accounts.NAME] to {settings_location()}, or run `worker accounts add NAME`"
        )
    return lines


def _unread_secrets(accounts: Iterable[Account]) -> Iterator[tuple[str, str]]:
    """Yields accounts whose secret cannot be read although their settings are right, and why."""
    for account in accounts:
        if account.secret:
            try:
                account.secret.read()
            except ConfigurationError as error:
                yield account.name, str(error)


def _settings() -> Settings:
    """Loads the settings; raises ConfigurationError if their SQLite file does not exist."""
    settings = load_settings()
    require_database_file(settings)
    return settings


@app.command()
def receiver(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8090,
    loglevel: LogLevel = "INFO",
) -> None:
    """Takes the vendor's callbacks over HTTP: /callback/ACCOUNT for every account with a callback table."""
    from worker.service.web.receiver import run_receiver

    raise typer.Exit(run_receiver(_settings(), host, port, loglevel))


@app.command()
def metrics(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address to listen on; port 0 takes a free one.")
    ] = "127.0.0.1:9464",
    loglevel: LogLevel = "INFO",
) -> None:
    """Serves /metrics for Prometheus, read from the outbox: backlogs, lanes, limits, processes."""
    from worker.service.web.metrics import run_metrics

    raise typer.Exit(run_metrics(_settings(), listen, loglevel))


@app.command()
def console(
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Address to listen on, by default console.listen; port 0: a free one."),
    ] = None,
    loglevel: LogLevel = "INFO",
    person: Annotated[str, typer.Option("--as", help="Who the link is for; default: the system's user.")] = "",
    password: Annotated[
        bool, typer.Option("--hash", help="Only prints the hash of a password: asked for, or the first line of stdin.")
    ] = False,
) -> None:
    """Serves the console: jobs, lanes, limits, accounts and what can be done about them; prints a link to sign in."""
    if password:
        from worker.console.sign_in.passwords import hash_password

        typer.echo(hash_password(_typed_password()))
        return
    from worker.service.web.console import run_console

    raise typer.Exit(run_console(_settings(), listen, loglevel, lambda: person or system_user()))


def _typed_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(translate("New password"), hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
