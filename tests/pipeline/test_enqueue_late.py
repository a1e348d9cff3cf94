"""What enqueue does with a job that would expire before the forecast says that it can be sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.runtime import Site, an_account, planted
from worker import Chats, NewJob, enqueue_many, webhook
from worker.domain.account import Account, Secret
from worker.domain.errors import CheckFailed
from worker.domain.pacing.lane import LaneBlock
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import block_lanes

ROBOT = Account("robot", "wecom_webhook", "http://vendor", {"edition": "robot"}, Secret(lambda: "k"))


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process with an application, and a group robot, which has 20 calls a minute."""
    with planted(database, driven_clock, accounts=[ROBOT, an_account()]) as planted_site:
        yield planted_site


def robot(site: Site, count: int, **options: Any) -> list[str]:
    """Messages of the robot."""
    return [site.ask(webhook.Text(content=str(n)), Chats(), account="robot", **options) for n in range(count)]


def park(site: Site) -> None:
    block = LaneBlock("robot", "robot", "robot", 600.0, "asked to", parked=True)
    site.database.run(lambda connection: block_lanes(connection, site.database.now, [block]))


def test_a_job_that_would_expire_first_is_refused(site: Site) -> None:
    """With both instants and the limit; and its transaction holds nothing of it."""
    robot(site, 60)

    with pytest.raises(CheckFailed) as refusal:
        robot(site, 1, expires_at=100.0, if_late="refuse")

    now = instant(site.clock.micros)
    [problem] = refusal.value.problems
    ends, goes = (f"{now + timedelta(seconds=s):%Y-%m-%d %H:%M}" for s in (100, 181))
    assert "expires_at" == problem.field
    assert f"is {ends}" in problem.text
    assert f"the forecast is {goes}" in problem.text
    assert problem.text.endswith("(robot_minute)")
    assert 60 == len(site.rows("select id from worker_jobs"))


def test_a_job_in_time_is_taken_as_ever(site: Site) -> None:
    """And where nothing was asked for, one that is late, too."""
    robot(site, 60)

    [in_time] = robot(site, 1, expires_at=400.0, if_late="refuse")
    [unasked] = robot(site, 1, expires_at=100.0)

    assert ["open", "open"] == [site.job(job).state for job in (in_time, unasked)]
    assert [None, None] == [site.job(job).warnings for job in (in_time, unasked)]


def test_a_warning_says_the_same(site: Site) -> None:
    """The job is there, and its warnings are kept with it."""
    robot(site, 60)

    [late] = robot(site, 1, expires_at=100.0, if_late="warn")

    assert "the forecast is" in site.job(late).warnings


def test_a_parked_account_is_late_for_everything_that_expires(site: Site) -> None:
    """Time alone does not send it; the reason is told in place of an instant."""
    park(site)

    with pytest.raises(CheckFailed, match=r"it is not sent by itself: account robot is parked: asked to"):
        robot(site, 1, expires_at=86_400.0, if_late="refuse")


def test_of_many_jobs_each_waits_behind_those_before(site: Site) -> None:
    """The first twenty go at once and are in time; the others are named by their places."""
    jobs = [
        NewJob("robot", webhook.Text(content=str(n)), Chats(), expires_at=30.0, if_late="refuse") for n in range(22)
    ]

    with site.database.writing() as connection, pytest.raises(CheckFailed) as refusal:
        enqueue_many(connection, jobs, accounts=site.accounts, clock=site.clock)

    assert ["jobs[20].expires_at", "jobs[21].expires_at"] == [one.field for one in refusal.value.problems]


def test_a_job_that_is_there_already_is_not_judged_again(site: Site) -> None:
    """The same dedupe key is the same job, late or not."""
    [first] = robot(site, 1, dedupe_key="d", expires_at=400.0)
    robot(site, 60)

    again = site.ask(
        webhook.Text(content="0"), Chats(), account="robot", dedupe_key="d", expires_at=10.0, if_late="refuse"
    )

    assert first == again


def test_without_a_worker_nothing_is_known_and_nothing_refused(site: Site) -> None:
    """A deployment stops all workers for a moment, and producers go on."""
    robot(site, 60)
    site.sql("update worker_processes set alive_until = 0")

    [job] = robot(site, 1, expires_at=10.0, if_late="refuse")

    assert "open" == site.job(job).state


def test_what_is_wrong_with_the_option_is_said(site: Site) -> None:
    """It needs something to compare with."""
    for options, told_of_it in (
        ({"if_late": "refuse"}, "if_late: has no expires_at to compare with"),
        ({"if_late": "no", "expires_at": 10.0}, "if_late: is no choice"),
    ):
        with pytest.raises(CheckFailed, match=told_of_it):
            robot(site, 1, **options)


def test_no_job_is_late_behind_the_cap_of_another_member(site: Site) -> None:
    """A member's own limit holds up what goes to that member alone."""
    for n in range(200):
        site.send(str(n), to="much")

    taken = site.send("soon", to="little", expires_at=100.0, if_late="refuse")
    with pytest.raises(CheckFailed) as refusal:
        site.send("late", to="much", expires_at=100.0, if_late="refuse")

    assert "open" == site.job(taken).state
    assert ["expires_at"] == [problem.field for problem in refusal.value.problems]
