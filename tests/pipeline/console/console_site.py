"""A console over a database of the test, and browsers that look at it."""

from __future__ import annotations

from functools import cache
from typing import Any

from argon2 import PasswordHasher
from starlette.requests import Request

from tests.support.browser import Browser
from worker.accounts.sources import accounts_of
from worker.config.console import ConsoleSettings
from worker.config.settings import Settings
from worker.console import Site
from worker.console.app import guarded
from worker.console.viewer import Role, Viewer
from worker.console.visit import Endpoint, Visit, choices
from worker.outbox.engine.database import Database

PASSWORD = "correct horse battery"


class FixedDoor:
    """Takes every browser for the same viewer's."""

    def __init__(self, viewer: Viewer | None):
        self._viewer = viewer

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """None: there is nothing to sign in to."""
        return ()

    def visit(self, request: Request) -> Visit:
        """The viewer, and forms with a token that is no secret."""
        return Visit(self._viewer, *choices(request), csrf="token")


def site_of(database: Database, **console: Any) -> Site:
    """An installation with these settings in `[console]`."""
    settings = Settings(console=ConsoleSettings(**console))
    return Site(settings, database, accounts_of(settings))


def browser_of(database: Database, role: Role, *accounts: str) -> Browser:
    """A browser in which a person of this role has signed in."""
    return Browser(guarded(site_of(database), FixedDoor(Viewer("ada", role, frozenset(accounts)))))


@cache
def hashed(password: str = PASSWORD) -> str:
    """A hash of the password that takes no time."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)


USERS = {
    "ada": {"role": "admin"},
    "otto": {"role": "operator", "accounts": ["hr"]},
    "sue": {"role": "support", "accounts": ["hr"]},
    "olga": {"role": "observer", "accounts": ["hr"]},
    "rita": {"role": "reader"},
}


def users() -> dict[str, Any]:
    """One of each role, all with the same password."""
    return {name: {**user, "password": hashed()} for name, user in USERS.items()}


def signed_in(browser: Browser, name: str = "ada", password: str = PASSWORD) -> Browser:
    """The browser, in which a person has signed in."""
    shown = browser.submit(browser.get("/sign-in"), "/sign-in", name=name, password=password)
    assert shown.status == 303, shown.text
    return browser
