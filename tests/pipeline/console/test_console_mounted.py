"""The console under a path of another application: all that it says stays below that path."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from tests.pipeline.console.console_site import PASSWORD, users
from tests.pipeline.console.full_outbox import fill
from tests.pipeline.console.person import without_instant
from tests.support.browser import Browser
from tests.support.runtime import Site, planted
from worker.config.console import ConsoleSettings
from worker.config.settings import Settings
from worker.console import Site as ConsoleSite, console_app
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("which paths pages name is decided without SQL")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def mounted(site: Site) -> Starlette:
    """An application of a user's that has the console at `/ops`, and a page of its own."""
    settings = Settings(console=ConsoleSettings(users=users()))
    console = console_app(site=ConsoleSite(settings, site.database, site.accounts))

    async def own(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.headers.get("cookie", ""))

    return Starlette(routes=[Route("/", own), Mount("/ops", app=console)])


def test_every_page_leads_to_pages_below_its_path(site: Site) -> None:
    """Links, forms, files and redirects, from the sign-in on; of pages that differ by an instant alone, one's."""
    fill(site)
    browser = Browser(mounted(site))
    asked = browser.get("/ops/jobs?account=hr")
    entered = browser.submit(browser.get(asked.location), "/ops/sign-in", name="ada", password=PASSWORD)
    seen, waiting, outside, looked_at = {"/ops/"}, ["/ops/"], set[str](), set[str]()

    while waiting:
        path = waiting.pop()
        shown = browser.get(path)
        assert shown.status in (200, 303, 403, 405), (path, shown.text)
        named = [*re.findall(r' (?:href|src|action)="([^"]*)"', shown.text), shown.headers.get("location", "/ops/")]
        own = {one.replace("&amp;", "&") for one in named if not one.startswith("#")}
        outside |= {one for one in own if not one.startswith("/ops/")}
        fresh = {without_instant(one): one for one in own - seen - outside}
        waiting += [fresh[one] for one in sorted(fresh.keys() - looked_at)]
        looked_at |= fresh.keys()
        seen |= own

    assert (asked.location, entered.location) == ("/ops/sign-in?next=%2Fjobs%3Faccount%3Dhr", "/ops/jobs?account=hr")
    assert outside == set()
    assert {"/ops/audit", "/ops/lanes"} <= seen
    assert any(one.startswith("/ops/static/console.js") for one in seen)
    assert any(re.match("/ops/jobs/[0-9a-f]{32}/parts/", one) for one in seen)


def test_a_choice_and_a_sign_out_stay_below_its_path(site: Site) -> None:
    """They lead back to where they were made."""
    browser = Browser(mounted(site))
    browser.submit(browser.get("/ops/sign-in"), "/ops/sign-in", name="ada", password=PASSWORD)

    chosen = browser.submit(browser.get("/ops/lanes"), "/ops/choice", theme="dark")
    left = browser.submit(browser.get("/ops/"), "/ops/sign-out")

    assert chosen.location == "/ops/lanes"
    assert left.location == "/ops/sign-in"


def test_its_cookies_stay_below_its_path(site: Site) -> None:
    """Over https those of the sign-in are cookies of the whole host, as their prefix demands."""
    app = mounted(site)

    set_by = {}
    for scheme in ("http", "https"):
        browser = Browser(app, scheme=scheme)
        page = browser.get("/ops/sign-in")
        chosen = browser.submit(page, "/ops/choice", theme="dark")
        entered = browser.submit(browser.get("/ops/sign-in"), "/ops/sign-in", name="ada", password=PASSWORD)
        cookies = [*page.set_cookies, *chosen.set_cookies, *entered.set_cookies]
        set_by[scheme] = {(one.partition("=")[0], *re.findall("Path=([^;]*)", one)) for one in cookies}

    choice = ("worker-console-choices", "/ops")
    own = ("worker-console", "worker-console-known")
    assert {*((name, "/ops") for name in own), choice} == set_by["http"]
    assert {*((f"__Host-{name}", "/") for name in own), choice} == set_by["https"]
