"""A console over an outbox with something in every table, served over HTTP to a browser that has to sign in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.browser.watched_page import WatchedPage
from tests.pipeline.console.console_site import PASSWORD, users
from tests.pipeline.console.full_outbox import FullOutbox, fill
from tests.support.listening import listening
from tests.support.runtime import Site, an_account, planted
from worker.config.console import ConsoleSettings
from worker.config.settings import Settings
from worker.console import Site as ConsoleSite, console_app
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.migrate import upgrade

SECOND = 1_000_000


@dataclass(frozen=True)
class ConsoleStand:
    """A console, and the outbox it shows."""

    url: str
    site: Site
    outbox: FullOutbox

    @property
    def pages(self) -> dict[str, str]:
        """By the path of each page that can be looked at, an address of it."""
        job, many = self.outbox.refused, "/jobs?state=accepted&state=rejected"
        return {
            "/": "/",
            "/jobs": many,
            "/find": "/find?name=nothing-is-called-this",
            "/jobs/{job}": f"/jobs/{job}",
            "/jobs/{job}/parts/{n}": f"/jobs/{job}/parts/0",
            "/jobs/{job}/message": f"/jobs/{self.outbox.card}/message",
            "/mailings": "/mailings",
            "/mailings/tag": "/mailings/tag?tag=t",
            "/failures": "/failures?created_from=-24h",
            "/doubts": "/doubts",
            "/backlog": "/backlog",
            "/lanes": "/lanes",
            "/accounts": "/accounts",
            "/accounts/{name}": "/accounts/hr",
            "/inbound": "/inbound",
            "/inbound/{id}": f"/inbound/{self.outbox.callback}",
            "/events": "/events",
            "/processes": "/processes",
            "/runbooks": "/runbooks",
            "/audit": "/audit",
            "/audit/{id}": f"/audit/{self.outbox.audit}",
            "/commands/{name}": f"/commands/replay?ids={job}",
        }


@contextmanager
def console_stand(folder: Path, filled: Callable[[Site], FullOutbox] = fill, past_s: int = 0) -> Iterator[ConsoleStand]:
    """Filled, and served until the end; its outbox begins so long ago."""
    clock, cap = DrivenClock(), {"account_cap": 40}
    accounts = [an_account(settings=cap), an_account("it", settings={"agentid": 8, **cap})]
    clock.micros = time.time_ns() // 1000 - past_s * SECOND  # pages are bounded by ids, which hold the producer's time
    with closing(Database(make_engine(f"sqlite:///{folder}/outbox.db"), clock=clock)) as database:
        upgrade(database.engine)
        with planted(database, clock, accounts=accounts) as site:
            outbox = filled(site)
            settings = Settings(console=ConsoleSettings(users=users()))
            with listening(console_app(site=ConsoleSite(settings, database, site.accounts))) as url:
                yield ConsoleStand(url, site, outbox)


def sign_in(page: WatchedPage, name: str = "ada") -> None:
    """As a person does, by the form."""
    page.open("/sign-in")
    page.page.locator("#name").fill(name)
    page.page.locator("#password").fill(PASSWORD)
    page.page.locator("main form button").click()
    page.page.wait_for_url(lambda url: "/sign-in" not in url)
