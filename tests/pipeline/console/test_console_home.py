"""The first page of the console."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.exc import SQLAlchemyError

from tests.pipeline.console.console_site import browser_of
from tests.pipeline.console.person import Person
from tests.support.runtime import planted, refused
from worker.console.pages.cache import CachedReading, PageCache
from worker.console.pages.curves import HEIGHT, WIDTH, curves_of, time_axes
from worker.console.rendering import with_commands
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.upkeep.rates import CallRates, Calls
from worker.reporting.problems import find_problems, read_outbox

HOME = sys.modules["worker.console.pages.home"]  # the package has a function of this name


def test_an_empty_outbox_says_so(database: Database) -> None:
    """Without a job the page has figures, and one sentence in place of a table."""
    shown = browser_of(database, "reader").get("/", accept_language="en")

    assert shown.status == 200
    assert "Nothing is due now." in shown.text
    assert "<table" not in shown.text


def test_the_browsers_language_is_used(database: Database) -> None:
    """Chinese for a browser that asks for it."""
    shown = browser_of(database, "reader").get("/", accept_language="zh-CN,zh;q=0.9,en;q=0.8")

    assert '<html lang="zh-CN">' in shown.text
    assert "此刻没有到期待发的消息。" in shown.text


@pytest.mark.fewer_databases("the statements behind it run on each database in other tests")
def test_calls_are_drawn_and_what_is_wrong_leads_on(database: Database, driven_clock: DrivenClock) -> None:
    """By account, with their numbers beside them; and each problem has the page where it is dealt with."""
    driven_clock.micros = time.time_ns() // 1_000 + 120_000_000
    with planted(database, driven_clock) as site:
        site.vendor.says(refused(60020, "not allowed"))
        site.ring(site.send("parks the account"))
        site.ring(site.send("well", account="it"))
        page = Person(site, lang="en").get("/").text

    assert "Last hour: 1 accepted, 1 refused, 0 not answered" in " ".join(page.split())
    assert page.count('<svg class="chart curve"') == 3 * 2  # all accounts, hr, it: an hour and a day each
    assert '<a href="/accounts/hr">Look</a>' in page
    assert "parked, so its jobs wait and none is lost" in page
    assert "1 blocked" in page


@pytest.mark.fewer_databases("the statements behind it run on each database in other tests")
def test_a_problem_has_its_runbook_and_for_who_may_act_the_command(
    database: Database, driven_clock: DrivenClock
) -> None:
    """What parked an account is lifted, and what is over is acknowledged, from the first page."""
    driven_clock.micros = time.time_ns() // 1_000
    with planted(database, driven_clock) as site:
        site.vendor.says(refused(60020, "not allowed"))
        site.ring(site.send("parks the account"))
        row = "insert into worker_processes (id, alive_until, started_at, ended_at, threads, host, pid, lanes)"
        at = site.database.read_now()
        for pid in (6, 7):  # the one that lives took the place of the first
            site.sql(f"{row} values ('gone{pid}', {at - 9 + pid}, {at - 10**9}, {at}, 1, 'far', {pid}, '{{}}')")
        admin = Person(site, lang="en")
        page = admin.get("/").text
        others = {
            (role, account): Person(site, role, frozenset({account}), "en").get("/").text
            for role, account in (("operator", "hr"), ("support", "it"), ("reader", "*"))
        }
        chinese = Person(site, lang="zh").get("/").text
        no_right = Person(site, "operator", frozenset({"hr"})).get("/commands/acknowledge?name=far+7").status
        given = admin.give("/commands/acknowledge?name=far+7")
        with site.database.reading() as connection:
            after = find_problems(read_outbox(connection, site.database.now), site.accounts)

    lift, acknowledge = 'href="/commands/lift?name=hr"', 'href="/commands/acknowledge?name=far+7"'
    assert [word in page for word in (lift, acknowledge, '<a href="/runbooks#nothing-is-delivered">Runbook</a>')] == [
        True
    ] * 3
    assert {who: (lift in text, acknowledge in text) for who, text in others.items()} == {
        ("operator", "hr"): (True, False),
        ("support", "it"): (False, False),
        ("reader", "*"): (False, False),
    }
    assert '<a href="/runbooks#nothing-is-delivered">处理手册</a>' in chinese
    assert (given.status, no_right) == (200, 403)
    assert "WorkersLost" not in {problem.name for problem in after}


def test_a_curve_fills_its_place_and_the_rest_is_counted() -> None:
    """Its highest slot touches the top; accounts beyond the first are told by number."""
    rates = CallRates({}, {name: (Calls(n), Calls(), Calls(4 * n)) for n, name in enumerate("abc", 1)})

    (everything, busiest), more = curves_of(rates, (), limit=1)
    _, day = busiest.curves

    assert (everything.account, busiest.account, more) == (None, "c", 2)
    assert f"0.0,{HEIGHT * 3 / 4:.1f} {WIDTH / 2:.1f},{HEIGHT:.1f} {WIDTH:.1f},0.0" == day.accepted
    assert ("", 12, Calls(30)) == (day.failed, day.peak, everything.curves[1].total)
    assert day.values == "3 0,0 0,12 0"


def test_a_curve_has_the_times_of_its_first_and_last_slot() -> None:
    """By the clock of the console's zone, also of one that is half an hour off."""
    axes = time_axes(datetime(2026, 12, 1, 3, 37, 59, tzinfo=UTC), timezone(timedelta(hours=5, minutes=30)))

    assert axes == {"hour": ("08:08", "09:07", 1), "day": ("09:15", "09:00", 15)}


def test_a_database_that_does_not_answer_is_said_and_not_that_all_is_well(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures of before stay, and are said to be of then; once it answers again, nothing is left of it."""
    times = [0.0]
    kept = PageCache(outbox=CachedReading(3.0, 60.0, lambda: times[0]))
    monkeypatch.setattr(HOME, "cache_of", lambda database: kept)
    browser = browser_of(database, "admin")
    before = browser.get("/", accept_language="zh").text

    def fails(*_: object) -> None:
        raise SQLAlchemyError

    with monkeypatch.context() as away:
        away.setattr(Database, "reading_for", fails)
        times[0] += 60.0
        meanwhile = browser.get("/", accept_language="zh").text
    times[0] += 60.0
    after = browser.get("/", accept_language="zh").text

    assert "数据库没有响应控制台" in meanwhile
    assert "没有运行中的工作进程" not in meanwhile
    for page in (before, after):
        assert "数据库没有响应控制台" not in page
        assert "没有运行中的工作进程" in page


def test_a_command_that_lists_is_a_link_to_the_page_that_shows_the_same() -> None:
    """With its account and state; one that does something, or lists by more, is typed."""
    text = "see `worker jobs --account hr --state open`, `worker lanes --history` and `worker resume <hr>`"

    assert with_commands(text, "/console") == (
        'see <a href="/console/jobs?account=hr&amp;state=open"><code>worker jobs --account hr --state open</code></a>,'
        " <code>worker lanes --history</code> and <code>worker resume &lt;hr&gt;</code>"
    )
