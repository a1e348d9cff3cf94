"""What stands still is found with its cause, and nothing that only waits is taken for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from sqlalchemy.exc import OperationalError

from tests.pipeline.console.person import Person
from tests.pipeline.test_metrics import Scraper
from tests.support.reads import statements
from tests.support.runtime import Site, an_account, planted
from worker import Text
from worker.control.pause import pause, pause_jobs
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.delivery.sender.lease import OFTEN
from worker.domain.errors import NotPublished
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import LaneBlock
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.lanes.processes import BROKER, Health, renew_heartbeat
from worker.producer.options import PriorityName
from worker.reporting import standstill
from worker.reporting.problems import find_problems, read_outbox
from worker.reporting.standstill import (
    OF_EVERYTHING,
    Standstill,
    StandstillCause,
    find_standstills,
    standstills_by_lane,
)
from worker.reporting.wait import WaitReason
from worker.reporting.why import why

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    accounts = [an_account(), an_account("pr", limits={"member_hour": 1})]
    with planted(database, driven_clock, threads=4, accounts=accounts) as planted_site:
        planted_site.relay.lead()
        yield planted_site


def later(site: Site, seconds: float) -> None:
    """The process lives on, and leads."""
    site.advance(seconds)
    site.runtime.lease.beat(site.runtime.lane_states.summary())
    site.relay.lead()


def turn(site: Site) -> None:
    """A turn of the relay that sees everything."""
    site.relay.full_scan()
    site.relay.turn()


def seen(site: Site) -> list[Standstill]:
    with site.database.reading() as connection:
        return find_standstills(connection, site.database.now)


def causes(site: Site) -> list[tuple[str, StandstillCause]]:
    return [(one.account, one.cause) for one in seen(site)]


def beat(site: Site, health: Health, process: str = "") -> None:
    """A heartbeat of another process, or of this one."""
    with site.database.writing() as connection:
        renew_heartbeat(
            connection,
            site.database.now,
            process or site.runtime.lease.incarnation,
            lease_us=10 * SECOND,
            threads=4,
            host="h",
            pid=7,
            lanes="{}",
            health=health,
        )


# -- what waits does not stand still ----------------------------------------------------------------------------------


def test_what_is_young_does_not_stand_still(site: Site) -> None:
    """Nor what is new and was due long ago; after a minute both do."""
    site.card()
    later(site, 1)
    site.send("due long ago", to="wangwu", due_at=instant(site.clock.micros) - timedelta(hours=1))
    later(site, 58)
    young = causes(site)
    later(site, 2)

    assert (young, causes(site)) == ([], [("hr", StandstillCause.UNKNOWN)])


def test_what_waits_for_good_reason_does_not_stand_still(site: Site) -> None:
    """A block, a pause, a held job, its order, a time of its own; each for an hour."""
    blocked = site.send("blocked")
    lane = site.part_row(f"{blocked}-0").lane
    with site.database.writing() as connection:
        change_lanes(connection, site.database.now, [LaneBlock(lane, "send/text", 7_200, "limit")])
    held = site.card()
    pause_jobs((held,), person="zhang", why="", database=site.database)
    first = site.ask(Text(content="first"), account="pr", order_key="k")
    site.ask(Text(content="second"), account="pr", order_key="k")
    pause_jobs((first,), person="zhang", why="", database=site.database)
    later(site, 3_600)

    assert causes(site) == []


def test_a_paused_lane_does_not_stand_still(site: Site) -> None:
    """Of a whole account, or by a tag."""
    site.send(tags=["x"])
    site.ask(Text(content="other"), account="pr")
    pause(JobFilter(tag="x"), person="zhang", why="", database=site.database)
    pause(JobFilter(account="pr"), person="zhang", why="", database=site.database)
    later(site, 3_600)

    assert causes(site) == []


def test_a_lane_that_moves_does_not_stand_still(site: Site) -> None:
    """However long its backlog has been due, nor do the others of its account, which have their turn; others do."""
    jobs = [site.send(f"{n}") for n in range(3)]
    site.card()
    site.ask(Text(content="other"), account="pr")
    later(site, 3_600)
    site.ring(jobs[0])
    later(site, 30)

    assert causes(site) == [("pr", StandstillCause.UNKNOWN)]


@pytest.mark.parametrize("options", [{"expires_at": 3_000}, {"quiet_hours": "00:00-23:59 UTC"}])
def test_what_is_put_off_one_by_one_moves(site: Site, options: dict[str, Any]) -> None:
    """Though no call is made: it has expired, or its quiet hours have begun."""
    job = site.send(**options)
    site.send("other")
    later(site, 3_600)
    site.ring(job)
    later(site, 30)

    assert causes(site) == []


def test_what_a_members_limit_puts_off_moves(site: Site) -> None:
    """Another member's message is as late, and its turn comes."""
    site.ring(site.ask(Text(content="first"), account="pr"))
    again = site.ask(Text(content="again"), account="pr")
    site.ask(Text(content="other"), "wangwu", account="pr")
    later(site, 1_800)
    assert site.ring(again) == 0
    later(site, 30)

    assert causes(site) == []


# -- causes -----------------------------------------------------------------------------------------------------------


def names_of_problems(site: Site) -> set[str]:
    """The kinds of all problems."""
    with site.database.reading() as connection:
        return {one.name for one in find_problems(read_outbox(connection, site.database.now), site.accounts)}


def everywhere(site: Site, job: str) -> dict[str, bool]:
    """Where a standstill of `hr` is seen."""
    with site.database.reading() as connection:
        [wait] = why(connection, job).waits
    scraped = Scraper(site).scrape()
    cause = {one.cause for one in seen(site) if one.account == "hr"}
    with site.database.reading() as connection:
        problems = find_problems(read_outbox(connection, site.database.now), site.accounts)
    # What stops every account is one problem, and none of an account stands beside it.
    name, said = (
        ("NothingIsDelivered", "No worker process") if cause & OF_EVERYTHING else ("StandingStill", "parts are due")
    )
    return {
        "why": wait.what in (WaitReason.STANDSTILL, WaitReason.WORKER),
        "metrics": {1.0} == {scraped.of("standing_still", account="hr", cause=str(one)) for one in cause},
        "problem": {one.name for one in problems} & {"NothingIsDelivered", "StandingStill"} == {name},
        "console": said.lower() in Person(site).get("/").text.lower(),
    }


STUCK = "the background loop relay has been in one turn for 41 s"
AWAY = "each of its turns fails (KeyError), for 12 s"


def no_worker(site: Site) -> None:
    site.advance(3_600)
    site.runtime.lease.end()


def no_leader(site: Site) -> None:
    site.relay.stop()
    site.advance(61)
    beat(site, Health((), {"relay": AWAY}))


def no_consumer(site: Site) -> None:
    """Urgent parts come into no other queue; normal ones of the same lane move."""
    other = site.send("normal")
    later(site, 61)
    site.ring(other)
    site.sql("update worker_processes set queues = 'normal,bulk'")


def unusable(site: Site) -> None:
    site.advance(61)
    site.relay.lead()
    site.runtime.lease.beat(unusable={"hr": "set secret"})


def stuck(site: Site) -> None:
    later(site, 61)
    beat(site, Health((STUCK,)))


def failing(site: Site) -> None:
    later(site, 61)
    beat(site, Health((), {"relay": "each of its turns fails (KeyError > x.py:1 turn), again and again"}))


def another_is_ill(site: Site) -> None:
    later(site, 61)
    beat(site, Health(("the writer thread has been in one commit for 41 s",)), process="p2")


def not_taken(site: Site) -> None:
    turn(site)
    later(site, 61)


def nothing_to_see(site: Site) -> None:
    later(site, 61)


@pytest.mark.parametrize(
    ("begin", "cause", "said"),
    [
        (no_worker, StandstillCause.NO_WORKER, "no worker process is alive"),
        (no_leader, StandstillCause.NO_LEADER, f": relay: {AWAY}"),
        (no_consumer, StandstillCause.NO_CONSUMER, "no worker process takes from the queue urgent"),
        (unusable, StandstillCause.ACCOUNT, "no worker process can use the account: set secret"),
        (stuck, StandstillCause.LEADER, f": {STUCK}"),
        (failing, StandstillCause.LEADER, "each of its turns fails (KeyError > x.py:1 turn), again and again"),
        (another_is_ill, StandstillCause.PROCESS, "the writer thread has been in one commit for 41 s"),
        (not_taken, StandstillCause.NOT_TAKEN, "look into the logs of worker"),
        (nothing_to_see, StandstillCause.UNKNOWN, "it is not known why they are not offered to the workers"),
    ],
)
def test_each_cause_is_named_wherever_it_is_read(
    site: Site, begin: Callable[[Site], None], cause: StandstillCause, said: str
) -> None:
    """With what a process says of itself, and what to do."""
    job = site.send(priority="urgent" if begin is no_consumer else "normal")
    begin(site)

    [found] = seen(site)

    assert (found.account, found.cause) == ("hr", cause)
    assert said in f"{found.text}; {found.remedy}"
    assert everywhere(site, job) == {
        "why": begin is not unusable,  # it names the account by itself
        "metrics": True,
        "problem": True,
        "console": True,
    }
    assert Scraper(site).scrape().of("processes_hindered") == (begin in (no_leader, failing))


def test_no_process_can_publish(site: Site) -> None:
    """Among the problems and on the first page it is one of the broker, whatever stands still because of it."""
    job = site.send()
    site.relay.stop()
    site.advance(61)
    beat(site, Health((), {BROKER: "RabbitMQ (mq:5672) takes no messages (ConnectionError)"}))

    [found] = seen(site)

    assert found.cause is StandstillCause.BROKER
    assert found.text == "RabbitMQ (mq:5672) takes no messages (ConnectionError)"
    assert everywhere(site, job) == {"why": True, "metrics": True, "problem": False, "console": False}
    assert "BrokerAway" in names_of_problems(site)
    assert found.text in Person(site).get("/").text
    assert Scraper(site).scrape().of("processes_hindered") == 1


@pytest.mark.parametrize(
    ("priority", "queues", "missing"),
    [
        ("urgent", "files,normal,bulk", "urgent"),
        ("normal", "urgent,bulk", "normal"),
        ("normal", "files", None),
        ("bulk", "bulk", None),
    ],
)
def test_all_readers_agree_on_who_takes_a_file(
    site: Site, priority: PriorityName, queues: str, missing: str | None
) -> None:
    """An urgent one comes through the urgent queue alone; the others through that of files, their own or the normal."""
    job = site.upload(priority=priority)
    later(site, 61)
    site.sql(f"update worker_processes set queues = '{queues}'")
    told = None if missing is None else f"no worker process takes from the queue {missing}"

    with site.database.reading() as connection:
        waits = {wait.text for wait in why(connection, job).waits if wait.what is WaitReason.WORKER}

    assert {told} - {None} == waits
    assert {told} - {None} == {one.text for one in seen(site) if one.cause is StandstillCause.NO_CONSUMER}


@pytest.mark.every_database
def test_a_leader_that_cannot_do_another_work_is_not_the_cause(site: Site) -> None:
    """Whatever that work is called: the lease counts, not how a sentence begins."""
    site.send()
    later(site, 61)
    beat(site, Health((), {"relay of files": "each turn fails (KeyError > x.py:1 turn)", "notify": "relay is away"}))

    assert causes(site) == [("hr", StandstillCause.UNKNOWN)]


@pytest.mark.parametrize(("seconds", "urgent"), [(8, True), (61, False)])
def test_why_looks_once_for_both_ages(site: Site, seconds: float, urgent: bool) -> None:
    """Five seconds where the cause is known, a minute else."""
    job = site.send("urgent" if urgent else "normal", priority="urgent" if urgent else "normal")
    later(site, seconds)
    site.sql("update worker_processes set queues = 'normal,bulk'")
    lanes = [site.part(job).lane]

    with site.database.reading() as connection, statements(site.database) as asked:
        found = standstills_by_lane(connection, site.database.now, lanes)

    assert [StandstillCause.NO_CONSUMER if urgent else StandstillCause.UNKNOWN] == [one.cause for one in found.values()]
    assert asked
    assert sorted(set(asked)) == sorted(asked)


def test_turns_that_fail_beside_others_are_told(site: Site) -> None:
    """An error at one lane that nobody foresaw, while other lanes are offered in between."""

    def refuse(rings: Sequence[Doorbell]) -> NoReturn:
        raise NotPublished("its broker is away", rings)

    for n in range(6):
        site.send(f"{n}")
        site.publish = refuse
        with pytest.raises(NotPublished):
            turn(site)
        site.publish = site.rings.extend
        site.advance(1.1)
        turn(site)

    assert site.relay.leadership.problem() == "its broker is away, again and again"


def test_a_database_that_was_away_is_no_failure_of_the_process(site: Site) -> None:
    """Its work failed meanwhile, each turn; once it goes on, nothing is said of that."""
    refused = OperationalError("select 1", {}, OSError("connection refused"))
    for _ in range(2 * OFTEN):
        with pytest.raises(OperationalError), site.relay.leadership.trying():
            raise refused
        site.advance(1.0)

    assert site.relay.leadership.problem() == ""


def test_without_late_parts_it_costs_one_look(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is read: no lane, no process, no state."""
    for n in range(20):
        site.send(f"{n}")
    later(site, 59)

    monkeypatch.setattr(standstill, "_Diagnosis", lambda *_: pytest.fail("it looked further"))
    monkeypatch.setattr(standstill, "list_lanes", lambda *_: pytest.fail("it read the lanes"))
    with site.database.reading() as connection:
        assert find_standstills(connection, site.database.now) == []
