"""What is foretold of a backlog, and of one job in it: against what then happens, and with what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.reads import rows_read
from tests.support.runtime import Site, an_account, planted
from worker import Chats, JobFilter, Markdown, NewJob, Text, To, enqueue_many, webhook
from worker.control.pause import pause
from worker.domain.account import Account, Secret
from worker.domain.pacing.lane import LaneBlock
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import block_lanes
from worker.reporting.backlog_lines import SAMPLED
from worker.reporting.forecast import AccountForecast, JobForecast, forecast, forecast_job

MINUTE = 60
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


def told_of(site: Site, job: str) -> JobForecast:
    with site.database.reading() as connection:
        return forecast_job(connection, site.database.now, job, site.accounts)


def robot(site: Site, count: int, **options: Any) -> list[str]:
    """Messages of the robot."""
    return [site.ask(webhook.Text(content=str(n)), Chats(), account="robot", **options) for n in range(count)]


def in_s(site: Site, one: JobForecast) -> float:
    assert one.last_at is not None
    return (one.last_at - instant(site.clock.micros)).total_seconds()


def block(site: Site, lane: str, delay: float, **more: Any) -> None:
    with site.database.writing() as connection:
        block_lanes(connection, site.database.now, [LaneBlock(lane, lane, lane, delay, "asked to", **more)])


def test_a_limit_decides_and_its_use_counts(site: Site) -> None:
    """Of 100 messages at 20 a minute the last goes after four windows; five are left of this one."""
    site.ring(*robot(site, 15))
    jobs = robot(site, 100)

    one = told(site)["robot"]

    assert (100, False, "robot_minute", ()) == (one.parts, one.at_least, one.binds, one.stops)
    assert 5 * MINUTE <= (one.through_in_s or 0) <= 5 * MINUTE + 5
    [limit] = one.limits
    assert ("robot_minute", 20, 15, 100) == (limit.name, limit.amount, limit.used, limit.needed)
    assert in_s(site, told_of(site, jobs[4])) < 5
    assert MINUTE <= in_s(site, told_of(site, jobs[5])) <= MINUTE + 3
    assert in_s(site, told_of(site, jobs[99])) == pytest.approx(one.through_in_s, abs=1)


def test_urgent_goes_first_and_bulk_last(site: Site) -> None:
    """An urgent one behind a hundred others goes at once; a bulk one behind them in an eighth of the calls."""
    bulk = robot(site, 1, priority="bulk")[0]
    normal = robot(site, 100)
    urgent = robot(site, 1, priority="urgent")[0]

    assert in_s(site, told_of(site, urgent)) < 5
    assert in_s(site, told_of(site, bulk)) < in_s(site, told_of(site, normal[99]))
    assert 5 * MINUTE <= in_s(site, told_of(site, normal[99])) <= 5 * MINUTE + 5


def test_what_is_due_later_waits_for_that(site: Site) -> None:
    """And an account with nothing else is through just then."""
    job = robot(site, 1, due_at=timedelta(hours=3))[0]

    one = told(site)["robot"]

    assert 3 * 3_600 - MINUTE <= (one.through_in_s or 0) <= 3 * 3_600 + MINUTE
    assert "due_at" == one.binds
    assert "due_at" == told_of(site, job).binds


def test_members_with_a_limit_each_are_taken_together(site: Site) -> None:
    """Ten members with 60 messages each need three windows of 30, whoever has the turn."""
    with site.database.writing() as connection:
        jobs = [NewJob("hr", Text(content=str(n)), To([f"u{n % 10}"])) for n in range(600)]
        enqueue_many(connection, jobs, accounts=site.accounts, clock=site.clock)

    one = told(site)["hr"]

    assert "member_minute" == one.binds
    assert MINUTE <= (one.through_in_s or 0) <= MINUTE + 10
    assert [(10, 300)] == [(each.recipients, each.amount) for each in one.limits if each.name == "member_minute"]


def test_one_member_with_most_of_it_is_told_apart(site: Site) -> None:
    """His 150 messages take four further windows, however many others have room."""
    with site.database.writing() as connection:
        jobs = [NewJob("hr", Text(content=str(n)), To(["zhang" if n < 150 else f"u{n}"])) for n in range(500)]
        enqueue_many(connection, jobs, accounts=site.accounts, clock=site.clock)

    one = told(site)["hr"]

    assert 4 * MINUTE <= (one.through_in_s or 0) <= 4 * MINUTE + 10
    assert "member_minute" == one.binds


def test_a_parked_account_is_through_when_a_person_acts(site: Site) -> None:
    """Never by itself: the forecast says why, and what to do; others are not held up."""
    job = robot(site, 3)[0]
    site.send()
    block(site, "robot", 600.0, parked=True)

    found = told(site)

    assert (None, None) == (found["robot"].through_at, found["robot"].through_in_s)
    [stop] = found["robot"].stops
    assert (3, "account robot is parked: asked to", "worker resume robot") == (stop.parts, stop.why, stop.command)
    assert (stop.why, None) == (getattr(told_of(site, job).stop, "why", None), told_of(site, job).last_at)
    assert found["hr"].through_at is not None


def test_a_blocked_lane_waits_for_its_end(site: Site) -> None:
    """The block decides where it lasts longer than the limit."""
    robot(site, 3)
    block(site, "robot", 900.0)

    one = told(site)["robot"]

    assert 900 <= (one.through_in_s or 0) <= 905
    assert "account robot: asked to" == one.binds


def test_what_is_paused_is_told_with_the_command_that_ends_it(site: Site) -> None:
    """Whether its parts are parked already or not."""
    job = robot(site, 3)[0]
    pause(JobFilter(account="robot"), person="zhang", why="a test", database=site.database)
    before = told(site)["robot"]
    site.run()

    after = told(site)["robot"]

    assert [(3, "worker resume --account robot")] == [(stop.parts, stop.command) for stop in before.stops]
    assert [3] == [stop.parts for stop in after.stops]
    assert None is before.through_at is after.through_at is told_of(site, job).last_at
    assert told_of(site, job).stop is not None


def test_quiet_hours_hold_back_what_is_put_before_people(database: Database, driven_clock: DrivenClock) -> None:
    """Until their end, and the forecast names them."""
    now = instant(driven_clock.micros)
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M} UTC"
    with planted(database, driven_clock, accounts=[an_account(quiet_hours=hours)]) as site:
        site.send()

        one = told(site)["hr"]

        assert 3_600 < (one.through_in_s or 0) <= 7_200
        assert "quiet_hours" == one.binds


def test_without_a_worker_nothing_goes(site: Site) -> None:
    """The forecast says so, and no time."""
    robot(site, 1)
    site.sql("update worker_processes set alive_until = 0")

    one = told(site)["robot"]

    assert None is one.through_at
    assert ["no worker process is alive"] == [stop.why for stop in one.stops]


def test_an_account_that_is_not_configured_is_told(site: Site) -> None:
    """Its parts wait for its settings."""
    robot(site, 1)
    site.accounts.replace(an_account())

    [stop] = told(site)["robot"].stops

    assert stop.why.startswith("account robot cannot be used: ")


def test_an_order_goes_one_by_one(site: Site) -> None:
    """A hundred parts of one order take a hundred times as long as one, however many threads there are."""
    [site.send(str(n), f"u{n}", order_key="o") for n in range(100)]

    one = told(site)["hr"]

    assert 9 <= (one.through_in_s or 0) <= 11, "a tenth of a second each, where nothing was measured"
    assert "order_key" == one.binds


def test_a_job_that_has_ended_has_nothing_queued(site: Site) -> None:
    """It is no error to ask."""
    job = site.send()
    site.run()

    found = told_of(site, job)

    assert (0, None, None) == (found.parts, found.last_at, found.stop)


# -- what is read -----------------------------------------------------------------------------------------------------


def test_a_long_backlog_is_read_within_a_bound(site: Site) -> None:
    """Of more parts than that the forecast says that there are at least so many, and reads no more of them."""
    [job] = robot(site, 1)
    many(site, job, 6_000)
    analyze(site)
    bound = 1_000

    def ask(connection: Any) -> None:
        [one] = forecast(connection, site.database.now, site.accounts, most=bound)
        assert (bound + 1, True) == (one.parts, one.at_least)

    # The bound once to count and once to sample, and a few reads for each part of the sample.
    assert rows_read(site.database, ask) < 4 * bound + 6 * SAMPLED


def analyze(site: Site) -> None:
    """The statistics of a table that has just been filled say what it held before, until the server looks again.

    And rows that earlier tests deleted are still in its indexes, where they would be counted.
    """
    if site.database.dialect.name == "postgresql":
        engine = site.database.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("vacuum analyze worker_jobs, worker_parts")


def many(site: Site, job: str, count: int) -> None:
    """The same job many times, as it would stand there."""
    jobs = list(vars(site.rows("select * from worker_jobs")[0]))
    parts = list(vars(site.rows("select * from worker_parts")[0]))
    with site.database.writing() as connection:
        for n in range(count):
            new = f"{int(job, 16) + 1 + n:032x}"
            for table, names in (("jobs", jobs), ("parts", parts)):
                picked = ", ".join(
                    f"replace({name}, '{job}', '{new}')" if name in ("id", "job_id") else name for name in names
                )
                where = f"id like '{job}%'"
                connection.exec_driver_sql(
                    f"insert into worker_{table} ({', '.join(names)}) select {picked} from worker_{table} where "
                    + where.replace("%", "%%" if site.database.dialect.name != "sqlite" else "%")
                )


def test_parts_behind_their_order_do_not_wait_for_what_is_due_later(site: Site) -> None:
    """They go one after the other, whatever else of the lane is due in a week."""
    jobs = robot(site, 5, order_key="one")
    later = robot(site, 1, due_at=7 * 24 * 3_600.0)

    assert in_s(site, told_of(site, jobs[4])) < MINUTE
    assert in_s(site, told_of(site, later[0])) > 6 * 24 * 3_600


def test_members_of_all_lanes_are_counted_together(site: Site) -> None:
    """A few texts to three people do not bound what goes to a hundred others in another lane."""
    for n in range(6):
        site.ask(Text(content=str(n)), To([f"few{n % 3}"]))
    for n in range(600):
        site.ask(Markdown(content=str(n)), To([f"many{n % 100}"]))

    assert (told(site)["hr"].through_in_s or 0) < MINUTE
