"""The lease of a work that one process does at a time: who fails at it gives it up, and goes on while nobody can."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import pytest

from tests.support.runtime import Site, planted
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.delivery.sender.lease import Leadership, Renewals
from worker.domain.errors import NotPublished
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import lease_holder

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

WORK = "work"
PATIENCE_S = 5.0


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock, threads=4) as planted_site:
        yield planted_site


def process(site: Site, name: str) -> Leadership:
    """A process's part in the work."""
    return Leadership(site.database, WORK, holder=lambda: name, lease_s=10.0, monotonic=site.ticks)


def fails() -> float:
    raise KeyError("nobody foresaw this")


def turns(site: Site, seconds: float, **works: tuple[Leadership, bool]) -> list[str]:
    """Turns of several processes, one after the other, for so many seconds; who led in each second.

    `works`: name -> its part in the work, and whether it can do it.
    """
    led = []
    for _ in range(int(seconds)):
        for leadership, can in works.values():
            with suppress(KeyError):
                leadership.turn((lambda: 1.0) if can else fails)
        led.append(",".join(name for name, (leadership, _) in works.items() if leadership.active))
        site.advance(1.0)
    return led


def held(site: Site) -> bool:
    with site.database.reading() as connection:
        return lease_holder(connection, site.database.now, WORK) is not None


@pytest.mark.every_database
def test_who_always_fails_gives_way_to_who_can(site: Site) -> None:
    """After five seconds, not at the first failure; and does not come back."""
    bad, good = (process(site, "bad"), False), (process(site, "good"), True)

    led = turns(site, 90, bad=bad, good=good)

    assert led[:5] == ["bad"] * 5
    assert set(led[6:]) == {"good"}
    assert held(site)


def test_a_lease_is_renewed_in_time_however_seldom_there_is_work(site: Site) -> None:
    """The next turn comes when the work asks for it, and when a third of the lease is over."""
    leader = process(site, WORK)

    assert leader.turn(lambda: 1.0) == 1.0
    assert 10 / 3 == leader.turn(lambda: 100.0)


def test_who_is_alone_goes_on_trying(site: Site) -> None:
    """Its lease counts as lapsed, so that everybody sees that nothing is done; and it leads as soon as it can."""
    alone = process(site, WORK)

    led = turns(site, 60, alone=(alone, False))
    failing, said = held(site), alone.problem()
    turns(site, 65, alone=(alone, True))

    assert set(led) == {"alone"}
    assert (failing, held(site)) == (False, True)
    assert "each of its turns fails (KeyError > test_leadership.py:" in said
    assert not alone.problem()


def test_two_that_fail_do_not_keep_a_third_one_out(site: Site) -> None:
    """However they took turns before: it leads with its first turn."""
    one, other = (process(site, "one"), False), (process(site, "other"), False)
    turns(site, 40, one=one, other=other)

    led = turns(site, 60, good=(process(site, "good"), True), one=one, other=other)

    assert {leader.split(",")[0] for leader in led} == {"good"}
    assert set(led[4:]) == {"good"}


def test_two_that_fail_change_ever_more_seldom(site: Site) -> None:
    """They would else only take the lease from each other."""
    led = turns(site, 600, one=(process(site, "one"), False), other=(process(site, "other"), False))

    changes = sum(before != after for before, after in itertools.pairwise(led[300:]))
    assert changes < 12, "as often as they would with the same patience each time"


def test_who_has_succeeded_gives_way_as_soon_as_the_first_time(site: Site) -> None:
    """However long it had failed before."""
    one, other = process(site, "one"), process(site, "other")
    turns(site, 120, one=(one, False), other=(other, False))
    turns(site, 65, one=(one, True), other=(other, True))
    leads, waits = (one, other) if one.active else (other, one)

    led = turns(site, 10, leads=(leads, False), waits=(waits, True))

    assert led[:5] == ["leads"] * 5
    assert set(led[6:]) == {"waits"}


def test_an_outage_of_the_database_says_nothing_about_a_process(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its work failed, too; once the database is back it leads as before."""
    leadership = process(site, "one")
    turns(site, 2, one=(leadership, True))

    def away(*_: object, **__: object) -> NoReturn:
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr(site.database, "run", away)
        for _ in range(60):
            with pytest.raises((KeyError, OSError)):
                leadership.turn(fails)
            site.ticks.advance(1.0)

    assert turns(site, 3, one=(leadership, True)) == ["one"] * 3
    assert held(site)


def test_who_lacks_the_means_takes_no_lease_and_gives_its_own_back(site: Site) -> None:
    """Not for a moment's absence; and takes it like anybody else once it has them again.

    What it lacks is reported by the process itself, not once more by each of its leases.
    """
    leadership, other = process(site, "one"), process(site, "other")
    leadership.lead()
    leadership.hold_back("its broker is away")
    kept = leadership.active
    site.advance(PATIENCE_S)
    leadership.hold_back("its broker is away")
    given_back, said = leadership.active, leadership.problem()
    site.advance(60)
    leadership.hold_back("its broker is away")

    assert (kept, given_back, said) == (True, False, "")
    assert (leadership.active, other.lead()) == (False, True)
    other.stop()
    leadership.has_means()
    assert (leadership.lead(), leadership.problem()) == (True, "")


def test_who_has_had_nothing_to_do_since_it_failed_counts_as_able_again(site: Site) -> None:
    """Five seconds after its last failure, not after its first."""
    leadership = process(site, "one")
    leadership.lead()
    leadership.failed("its broker is away")
    site.advance(4)
    leadership.failed("its broker is away")
    problems = []
    for seconds in (PATIENCE_S, 0.1):
        site.advance(seconds)
        leadership.record_idle()
        problems.append(leadership.problem())

    assert problems == ["its broker is away, for 9 s", ""]


@pytest.mark.every_database
def test_what_cannot_be_published_is_offered_again_at_once(site: Site) -> None:
    """By whoever leads next: nobody waits until its offer has lapsed."""
    job = site.send()
    site.relay.lead()
    site.relay.full_scan()

    def refuse(rings: Sequence[Doorbell]) -> NoReturn:
        raise NotPublished("its broker is away", rings)

    site.publish = refuse
    with pytest.raises(NotPublished):
        site.relay.turn()
    site.publish = site.rings.extend
    site.relay.stop()
    other = site.new_relay(lambda: "other")
    other.lead()
    other.full_scan()
    other.turn()

    assert [(f"{job}-0",)] == [ring.ids for ring in site.rings]


# -- leases of one process ---------------------------------------------------------------------------------------------


def of_one(site: Site, *names: str, who: str = "me") -> list[Leadership]:
    """The parts of one process in several works."""
    renewals = Renewals(site.database, lambda: who, site.ticks)
    return [
        Leadership(site.database, name, holder=lambda: who, lease_s=10.0, monotonic=site.ticks, renewals=renewals)
        for name in names
    ]


def until(site: Site) -> dict[str, int]:
    """How many seconds each lease holds from now on."""
    rows = site.rows("select name, held_until from worker_leases")
    return {row.name: (row.held_until - site.clock.micros) // 1_000_000 for row in rows}


@pytest.mark.every_database
def test_the_leases_of_a_process_are_renewed_together(site: Site) -> None:
    """The first that is due renews those whose works took a turn since: one statement for all."""
    first, second, still = of_one(site, "first", "second", "still")
    for one in (first, second, still):
        one.lead()
    site.advance(2)
    second.lead()
    site.advance(2)

    assert first.lead()
    assert until(site) == {"first": 10, "second": 10, "still": 6}


def test_a_lease_whose_renewal_took_too_long_is_renewed_again(site: Site) -> None:
    """Another thread renewed it while this one asked, and then the machine stood still."""
    renewals, pauses = Renewals(site.database, lambda: "me", site.ticks), list[float]()

    def holder() -> str:
        if pauses:
            seconds = pauses.pop()
            second.lead()
            site.advance(seconds)
        return "me"

    first, second = (
        Leadership(site.database, name, holder=who, lease_s=10.0, monotonic=site.ticks, renewals=renewals)
        for name, who in (("first", holder), ("second", lambda: "me"))
    )
    first.lead(), second.lead()
    site.advance(4)
    pauses.append(4)

    assert first.lead()
    assert until(site) == {"first": 10, "second": 6}


@pytest.mark.every_database
def test_a_lease_that_was_lost_costs_no_other(site: Site) -> None:
    """Who finds that one is gone asks for its own."""
    first, lost = of_one(site, "first", "lost")
    first.lead(), lost.lead()
    site.sql("update worker_leases set holder = 'other' where name = 'lost'")
    site.advance(2)
    lost.lead()
    site.advance(2)

    assert (first.lead(), lost.lead()) == (True, False)
    assert until(site) == {"first": 10, "lost": 6}


@pytest.mark.every_database
def test_leases_of_others_are_asked_for_with_one_statement(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it says counts once: one that was given back meanwhile is free for the next ask."""
    theirs, mine = of_one(site, "one", "two", "three", who="they"), of_one(site, "one", "two", "three")
    led = [one.lead() for one in theirs]
    asked, reading = itertools.count(), site.database.reading
    ran, run = itertools.count(), site.database.run
    monkeypatch.setattr(site.database, "reading", lambda: (next(asked), reading())[1])
    monkeypatch.setattr(site.database, "run", lambda *work: (next(ran), run(*work))[1])

    led += [one.lead() for one in mine]
    times = next(asked), next(ran)
    theirs[2].stop()

    assert led == [True] * 3 + [False] * 3
    assert times == (1, 0)
    assert mine[2].lead()


def test_who_has_a_lease_without_knowing_goes_on_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to its commit was lost: nobody else may do the work before the lease has lapsed."""
    leadership, run = process(site, "one"), site.database.run

    def lost(*work: Any) -> NoReturn:
        run(*work)
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr(site.database, "run", lost)
        with pytest.raises(OSError, match="away"):
            leadership.lead()
    site.advance(1)

    assert (leadership.active, leadership.lead()) == (False, True)
