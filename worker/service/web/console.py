"""`worker console`: the web pages for operators, and the health endpoints. The pages are in `console/`.

It listens on this machine only, unless a proxy in front of it ends TLS and people can sign in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
from worker.language import translate
from worker.outbox.engine.migrate import require_current
from worker.service.web.health_endpoints import HealthEndpoints
from worker.service.web.metrics import address
from worker.service.web.serving import application, serve, serving_in_thread


def run_console(settings: Settings, listen: str | None, loglevel: str, person: Callable[[], str]) -> int:
    """Serves until SIGTERM or SIGINT, and returns the exit status. Raises before it listens if a setting is wrong.

    `person` returns the name of the operating system's user, whom the link signs in if no user is configured.
    """
    setting = listen or settings.console.listen
    host, port = address(setting)
    with _open_app(settings, host, setting, person) as (app, link):
        our_logging.set_up(loglevel, **dict(settings.logs))
        return serve(app, host, port, "console", f"--listen {setting}", _link_printer(link))


@contextmanager
def console_in_thread(settings: Settings, person: Callable[[], str]) -> Iterator[None]:
    """Serves the console in a thread until the block ends. The tables must be those of this release."""
    setting = settings.console.listen
    host, port = address(setting)
    with (
        _open_app(settings, host, setting, person) as (app, link),
        serving_in_thread(app, host, port, "console", f"console.listen {setting}", _link_printer(link)),
    ):
        yield


@contextmanager
def _open_app(
    settings: Settings, host: str, setting: str, person: Callable[[], str]
) -> Iterator[tuple[ASGIApp, SignInLink | None]]:
    """Opens the console's application with the health endpoints, and the sign-in link if no user is configured."""
    require_safe(settings.console, host, setting)
    link = None if settings.console.has_sign_in else SignInLink(person(), new_token)
    database = make_database(settings, pool_size=THREADS)
    try:
        require_current(database)
        console = console_app(link=link, site=Site(settings, database, accounts_of(settings)))
        # Health checks come past the proxy, and use other host names.
        yield application(*HealthEndpoints(database.read_now).routes, Mount("/", app=console)), link
    finally:
        database.close()


def require_safe(console: ConsoleSettings, host: str, setting: str) -> None:
    """Raises ConfigurationError if passwords would cross a network without TLS, or if no person could sign in."""
    if not console.proxies and not _is_loopback(host):
        raise ConfigurationError(
            f"--listen {setting}: other machines would reach the console without TLS; listen on"
            " 127.0.0.1, or put a proxy with TLS before it and name the proxy's address in"
            " console.proxies"
        )
    if console.proxies and not console.has_sign_in:
        raise ConfigurationError(
            "console: behind a proxy nobody could sign in; add a password to [console.users.NAME], or"
            " set user_header or [console.oidc]"
        )


def _is_loopback(host: str) -> bool:
    ip = address_of(host)
    return host == "localhost" if ip is None else ip.is_loopback


def _link_printer(link: SignInLink | None) -> Callable[[str], object]:
    def print_link(listening: str) -> None:
        if link is not None:
            sys.stdout.write(translate(f"no user is configured; sign in once with {listening}{link.path}") + "\n")

    return print_link
