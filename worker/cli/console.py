"""`worker console` and `worker console hash`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from worker.cli.options import Commands, LogLevel, system_user
from worker.language import said

app = Commands(help="Pages to look and to act, in a browser.", invoke_without_command=True)


@app.callback()
def console(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Address to listen on, by default console.listen; port 0: a free one."),
    ] = None,
    loglevel: LogLevel = "INFO",
    person: Annotated[str, typer.Option("--as", help="Who the link is for; default: the system's user.")] = "",
) -> None:
    """Serves the console: jobs, lanes, limits, accounts and what can be done about them; prints a link to sign in."""
    if context.invoked_subcommand is not None:
        return
    from worker.config.settings import load_settings
    from worker.control.opening import require_there
    from worker.service.web.console import run_console

    settings = load_settings()
    require_there(settings)
    raise typer.Exit(run_console(settings, listen, loglevel, lambda: person or system_user()))


@app.command("hash")
def hash_() -> None:
    """Prints the hash of a new password, for a user of the settings; it is asked for, or the first line of stdin."""
    from worker.console.sign_in.passwords import hash_password

    if sys.stdin.isatty():
        password = str(typer.prompt(said("New password"), hide_input=True, confirmation_prompt=True, err=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    typer.echo(hash_password(password))
