"""A console over a database of the test, and browsers that look at it."""

from __future__ import annotations

from starlette.requests import Request

from tests.support.browser import Browser
from worker.accounts.sources import accounts_of
from worker.config.settings import Settings
from worker.console import Site, console_app
from worker.console.viewer import Role, Viewer
from worker.console.visit import Visit, choices
from worker.outbox.engine.database import Database


class FixedDoor:
    """Takes every browser for the same viewer's."""

    def __init__(self, viewer: Viewer | None):
        self._viewer = viewer

    def visit(self, request: Request) -> Visit:
        """The viewer, and forms with a token that is no secret."""
        return Visit(self._viewer, "token", *choices(request))


def browser_of(database: Database, role: Role, *accounts: str) -> Browser:
    """A browser in which a person of this role has signed in."""
    settings = Settings()
    site = Site(settings, database, accounts_of(settings))
    return Browser(console_app(site, FixedDoor(Viewer("ada", role, frozenset(accounts)))))
