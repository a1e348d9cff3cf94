"""What is foretold of a backlog: what is due, divided by what lets it through, and what stands in the way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal

import pytest
from sqlalchemy import event

from tests.docs.page import ROOT
from tests.support.runtime import Site, an_account, planted
from worker import Chats, JobFilter, Markdown, To, webhook
from worker.cli.lists.forecast import ROUGH, lines
from worker.control.pause import pause
from worker.domain.account import Account, Secret
from worker.domain.pacing.lane import LaneBlock
from worker.language import translate
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes
from worker.reporting.forecast import AccountForecast, Blocker, LimitWait, forecast

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

ROBOT = Account("robot", "wecom_webhook", "http://vendor", {"edition": "robot"}, Secret(lambda: "k"))


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process with an application and a group robot, which has 20 calls a minute."""
    with planted(database, driven_clock, accounts=[an_account(), ROBOT]) as planted_site:
        yield planted_site


def told(site: Site, **options: Any) -> dict[str, AccountForecast]:
    with site.database.reading() as connection:
        found = forecast(connection, site.database.now, site.accounts, **options)
    return {one.account: one for one in found}


def robot(site: Site, count: int, **options: Any) -> list[str]:
    """Messages of the robot."""
    return [site.ask(webhook.Text(content=str(n)), Chats(), account="robot", **options) for n in range(count)]


def beat(site: Site, lane: str, per_s: float) -> None:
    """The heartbeat of a process of which so many calls end in a second."""
    site.sql("update worker_processes set lanes = :lanes", lanes=f'{{"{lane}": [1, 100, 100, {1000 * per_s:.0f}]}}')


def block(site: Site, lane: str, delay: float, **more: Any) -> None:
    with site.database.writing() as connection:
        change_lanes(connection, site.database.now, [LaneBlock(lane, lane, delay, "asked to", **more)])


def test_nothing_is_foretold_by_the_speed_of_before_while_calls_fail(site: Site) -> None:
    """One call at a time is tried then; and none at all while no process reaches the vendor or the broker."""
    robot(site, 1)
    beat(site, "robot", 20)
    for _ in range(5):
        block(site, "robot", 0, failed=True)
    [breaking] = told(site).values()
    site.sql("delete from worker_lanes")
    reasons = {"account robot": "connect_timeout", "broker": "no connection"}
    stops = []
    for what, why in reasons.items():
        site.sql("update worker_processes set hindered = :hindered", hindered=json.dumps({what: why}))
        [stopped] = told(site).values()
        stops += [stopped.in_s, *(stop.why for stop in stopped.stops)]

    assert (breaking.due, breaking.in_s, breaking.stops) == (1, None, ())
    assert stops == [
        None,
        "no worker process can reach the vendor: connect_timeout",
        None,
        "nothing is sent, and nothing is lost: no connection",
    ]


def test_what_is_due_is_divided_by_the_speed(site: Site) -> None:
    """Of the calls of which twenty ended in a second."""
    jobs = [site.send(str(n)) for n in range(100)]
    beat(site, site.part(jobs[0]).lane, per_s=20)

    one = told(site)["hr"]

    assert (one.due, one.later, one.per_s, one.in_s) == (100, 0, 20.0, 5.0)


def test_of_slow_calls_those_in_flight_say_the_speed(site: Site) -> None:
    """Sixteen of 20 s each that began together end together: between most heartbeats none does."""
    jobs = [site.send(str(n)) for n in range(100)]
    figures = f'{{"{site.part(jobs[0]).lane}": [16, 20000, 20000, 0]}}'
    site.sql("update worker_processes set lanes = :lanes", lanes=figures)

    assert told(site)["hr"].per_s == 0.8


def test_a_limit_that_blocks_lets_its_amount_through(site: Site) -> None:
    """Of 100 at 20 a minute the last go four windows after the block ends."""
    robot(site, 100)
    block(site, "robot", 30.0, limit_name="robot_minute")

    one = told(site)["robot"]

    assert one.waits == (LimitWait("robot_minute", 100, 20, 60, 270.0),)
    assert one.in_s == 270.0


def test_a_limit_that_is_half_used_bounds_the_speed(site: Site) -> None:
    """However fast the calls are now."""
    site.ring(*robot(site, 10))
    jobs = robot(site, 100)
    beat(site, site.part(jobs[0]).lane, per_s=200)

    one = told(site)["robot"]

    assert (one.per_s, one.in_s) == (20 / 60, 300.0)


def test_who_waits_for_a_limit_of_its_own_is_told_beside(site: Site) -> None:
    """It is due later, and nothing is foretold of it."""
    site.accounts.replace(an_account(limits={"member_minute": 1}))
    first = site.send("first")
    site.ring(first)
    site.run()
    site.send("second")
    site.run()

    one = told(site)["hr"]

    assert (one.due, one.later, one.in_s) == (0, 1, 0.0)
    assert one.waits == (LimitWait("member_minute", 1, 1, 60, None),)


def test_what_is_due_later_is_counted_apart(site: Site) -> None:
    """And nothing that is due keeps nobody waiting."""
    robot(site, 3, due_at=timedelta(hours=3))

    one = told(site)["robot"]

    assert (one.due, one.later, one.in_s) == (0, 3, 0.0)


def test_what_is_paused_is_not_due_later(site: Site) -> None:
    """It waits for a person, so no time is foretold of it."""
    robot(site, 3, tags=["march"])
    pause(JobFilter(tag="march"), person="zhang", database=site.database)
    site.run()

    [line, *_] = lines(told(site)["robot"])

    assert line == "account robot: 0 due, 0 later, 3 paused"
    assert translate(line, "zh") == "账号 robot：0 个已到期，0 个稍后到期，3 个已暂停"


def test_where_nothing_went_nothing_is_foretold(site: Site) -> None:
    """Rather than a guess."""
    robot(site, 3)

    assert told(site)["robot"].in_s is None


def test_a_parked_account_is_through_when_a_person_acts(site: Site) -> None:
    """Never by itself: the forecast says why, and what to do; others are not held up."""
    robot(site, 3)
    job = site.send()
    beat(site, site.part(job).lane, per_s=10)
    block(site, "robot", 600.0, parked=True)

    found = told(site)

    assert found["robot"].stops == (Blocker("account robot is parked: asked to", "worker resume robot"),)
    assert (found["robot"].in_s, found["hr"].in_s) == (None, 0.1)


def test_a_parked_lane_stops_its_own_parts_alone(site: Site) -> None:
    """The others of the account are through all the same."""
    job, other = site.send("text"), site.ask(Markdown(content="x"), To(["lisi"]))
    beat(site, site.part(job).lane, per_s=10)
    lane = site.part(other).lane
    with site.database.writing() as connection:
        parked = LaneBlock(lane, "markdown", 600.0, "asked to", parked=True)
        change_lanes(connection, site.database.now, [parked])

    one = told(site)["hr"]

    assert one.stops == (Blocker("lane markdown is parked: asked to", f"worker resume {lane}"),)
    assert (one.due, one.in_s) == (2, 0.1)


def test_a_part_behind_two_limits_counts_once(site: Site) -> None:
    """For the limit that opens later: counted for both, the others would seem to be through sooner."""
    jobs = robot(site, 4)
    lane = site.part(jobs[0]).lane
    block(site, "robot", 30.0, limit_name="robot_minute")
    block(site, lane, 90.0, limit_name="robot_hour")

    one = told(site)["robot"]

    assert [(wait.limit, wait.parts) for wait in one.waits] == [("robot_hour", 4)]


def test_a_lane_that_is_parked_beside_its_account_is_left_out_once(site: Site) -> None:
    """Left out twice, it would take others with it."""
    job, other = site.send("text"), site.ask(Markdown(content="x"), To(["lisi"]))
    beat(site, site.part(job).lane, per_s=10)
    lane = site.part(other).lane
    block(site, lane, 600.0, parked=True)
    block(site, "hr", 30.0, limit_name="app_minute")

    one = told(site)["hr"]

    assert [(wait.limit, wait.parts) for wait in one.waits] == [("app_minute", 1)]


def test_what_is_paused_is_told_with_the_command_that_ends_it(site: Site) -> None:
    """A pause of one tag stops nothing else."""
    robot(site, 3)
    pause(JobFilter(account="robot", tag="t"), person="zhang", why="a test", database=site.database)
    before = told(site)["robot"]
    pause(JobFilter(account="robot"), person="zhang", why="a test", database=site.database)

    after = told(site)["robot"]

    assert before.stops == ()
    assert [stop.command for stop in after.stops] == ["worker resume --account robot"]


def test_a_pause_of_a_kind_stops_the_accounts_that_have_it(site: Site) -> None:
    """However fast they were until then. A robot has nothing to track."""
    robot(site, 3)
    job = site.send()
    beat(site, site.part(job).lane, per_s=20)
    pause(JobFilter(kind="send"), person="zhang", why="a test", database=site.database)
    pause(JobFilter(kind="track"), person="zhang", why="a test", database=site.database)

    found = told(site)

    assert found.keys() == {"hr", "robot"}
    for one in found.values():
        assert ([stop.command for stop in one.stops], one.in_s) == (["worker resume --kind send"], None)


def test_without_a_worker_nothing_goes(site: Site) -> None:
    """The forecast says so, and no time."""
    robot(site, 1)
    site.sql("update worker_processes set alive_until = 0")

    one = told(site)["robot"]

    assert ([stop.why for stop in one.stops], one.in_s) == (["no worker process is alive"], None)


def test_an_account_that_is_not_configured_is_told(site: Site) -> None:
    """Its parts wait for its settings."""
    robot(site, 1)
    site.accounts.replace(an_account())

    [stop] = told(site)["robot"].stops

    assert stop.why.startswith("account robot cannot be used: ")


def test_a_long_backlog_is_counted_up_to_a_bound(site: Site) -> None:
    """Of more parts than that the forecast says that there are at least so many."""
    for n in range(12):
        site.send(str(n), to=To([f"u{n}"]))

    one = told(site, most=10)["hr"]

    assert (one.due, one.at_least) == (10, True)


def test_an_account_whose_last_part_goes_meanwhile_is_left_out(site: Site) -> None:
    """Its name was read a moment before its part was marked; the forecast of the others stands."""
    queued = [site.send()]
    robot(site, 3)

    with site.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:

        def meanwhile(*given: Any) -> None:
            if queued and given[2].startswith("select lane, sum(is_due)"):
                site.ring(queued.pop())

        event.listen(connection, "before_cursor_execute", meanwhile)
        found = forecast(connection, site.database.now, site.accounts)

    assert [one.account for one in found] == ["robot"]


@pytest.mark.fewer_databases("no database is asked")
@pytest.mark.parametrize(("page", "lang"), [("docs/operations.md", "en"), ("docs/zh/operations.md", "zh")])
def test_the_page_shows_what_is_printed(page: str, lang: Literal["en", "zh"]) -> None:
    """Word for word, on each page in its language."""
    of_member = LimitWait("member_minute", 200, 30, 60, None)
    of_robot = LimitWait("robot_minute", 1000, 20, 60, 2982.0)
    found = [
        AccountForecast("hr", 6000, 200, 0, False, 80.0, 75.0, (of_member,), ()),
        AccountForecast("robot", 1000, 0, 0, False, 1 / 3, 2982.0, (of_robot,), ()),
    ]
    printed = translate("\n".join([*(line for one in found for line in lines(one)), ROUGH]), lang)

    text = (ROOT / page).read_text(encoding="utf-8")
    [shown] = re.findall(r"<!-- forecast -->\n```text\n(.*?)\n```", text, re.DOTALL)
    assert shown == printed
