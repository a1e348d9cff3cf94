"""`worker console`: the pages for those who operate, and the probes. This is the process; the pages are `console/`.

It listens on this machine only, unless a proxy stands before it that ends TLS, and people can sign in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from worker.accounts.sources import accounts_of
from worker.config import logging as our_logging
from worker.config.console import ConsoleSettings
from worker.config.settings import Settings
from worker.console import SignInLink, Site, console_app
from worker.console.app import THREADS, new_token
from worker.console.guard import address_of
from worker.control.opening import make_database
from worker.domain.errors import ConfigurationError
from worker.language import said
from worker.outbox.engine.migrate import require_current
from worker.service.web.metrics import address
from worker.service.web.probes import Probes
from worker.service.web.serving import serve, serving_beside


def run_console(settings: Settings, listen: str | None, loglevel: str, person: Callable[[], str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status. Raises before it listens when the settings are wrong.

    `person`: names the system's user, whom the link signs in where no user is configured.
    """
    asked = listen or settings.console.listen
    host, port = address(asked)
    with _opened(settings, host, asked, person) as (app, link):
        our_logging.set_up(loglevel, **dict(settings.logs))
        return serve(app, host, port, "console", f"--listen {asked}", _telling(link))


@contextmanager
def console_beside(settings: Settings, person: Callable[[], str]) -> Iterator[None]:
    """Serves the console in a thread for as long as the block runs; the tables are this release's."""
    asked = settings.console.listen
    host, port = address(asked)
    with (
        _opened(settings, host, asked, person) as (app, link),
        serving_beside(app, host, port, "console", f"console.listen {asked}", _telling(link)),
    ):
        yield


@contextmanager
def _opened(
    settings: Settings, host: str, asked: str, person: Callable[[], str]
) -> Iterator[tuple[ASGIApp, SignInLink | None]]:
    """The application with its probes, and the link to sign in where no user is configured."""
    require_safe(settings.console, host, asked)
    link = None if settings.console.has_sign_in else SignInLink(person(), new_token)
    database = make_database(settings, pool_size=THREADS)
    try:
        require_current(database)
        console = console_app(link=link, site=Site(settings, database, accounts_of(settings)))
        # Those who probe come past the proxy, and by other names.
        yield Starlette(routes=[*Probes(database.read_now).routes, Mount("/", app=console)]), link
    finally:
        database.close()


def require_safe(console: ConsoleSettings, host: str, asked: str) -> None:
    """ConfigurationError where passwords would cross a network in the clear, or no person could sign in."""
    if not console.proxies and not _is_loopback(host):
        raise ConfigurationError(
            f"--listen {asked}: other machines would reach the console without TLS; listen on 127.0.0.1, or put a proxy"
            " before it that ends TLS and name its address in console.proxies"
        )
    if console.proxies and not console.has_sign_in:
        raise ConfigurationError(
            "console: behind a proxy no person could sign in; add a password to [console.users.NAME], or user_header,"
            " or [console.oidc]"
        )


def _is_loopback(host: str) -> bool:
    found = address_of(host)
    return host == "localhost" if found is None else found.is_loopback


def _telling(link: SignInLink | None) -> Callable[[str], object]:
    def tell(listening: str) -> None:
        if link is not None:
            sys.stdout.write(said(f"no user is configured; sign in once with {listening}{link.path}") + "\n")

    return tell
