"""After a silence, a parking, a strike: one call in flight, and twice as many with each success."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from tests.support.runtime import Site, planted, refused
from worker.delivery.scheduler import lane_offer
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.delivery.scheduler.offer_capacity import OfferCapacity
from worker.delivery.scheduler.relay import Relay
from worker.domain.job import Priority, part_id
from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import LaneBlock, LaneState, Resume, account_of
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.lanes.offering import DueBatch, read_due_batch

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

THREADS = 32


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        planted_site.relay = planted_site.new_relay(cold_after_s=60)
        yield planted_site


def turn(site: Site, relay: Relay | None = None) -> list[Doorbell]:
    """One turn of the relay, a second later; what rang."""
    site.ticks.advance(1.1)
    site.clock.advance(0.001)
    site.runtime.lease.beat(site.runtime.lane_states.summary())
    relay = relay or site.relay
    relay.lead()
    relay.full_scan()
    relay.turn()
    rings, site.rings[:] = list(site.rings), []
    return rings


def answer(site: Site, rings: list[Doorbell]) -> None:
    site.clock.advance(0.001)
    for ring in rings:
        site.bell.answer(ring.lane, ring.ids)
    site.settle()


def sends(site: Site, count: int, **options: str) -> list[str]:
    return [site.send(str(n), f"u{n}", **options) for n in range(count)]


def out(rings: list[Doorbell]) -> int:
    return sum(len(ring.ids) for ring in rings)


def test_a_silent_lane_starts_with_one_and_doubles(site: Site) -> None:
    """All processes together, for nothing else is offered; then it has its whole share, and its row is gone."""
    jobs = sends(site, 200)
    seen = []

    for _ in range(7):
        rings = turn(site)
        seen.append(out(rings))
        answer(site, rings)
    rest = turn(site)

    assert seen == [1, 2, 4, 8, 16, 32, 60], "two for each of thirty threads"
    assert out(rest) == 200 - 123
    assert max(len(ring.ids) for ring in rest) > 1
    assert site.lane(site.part(jobs[0]).lane) is None


def test_nothing_more_is_offered_while_that_one_is_out(site: Site) -> None:
    """Offered, or in flight: the bound counts both, in the next turns too."""
    sends(site, 10)
    first = turn(site)
    waiting = turn(site)
    site.sql("update worker_parts set state = 1, offered_until = null where id = :id", id=first[0].ids[0])
    in_flight = turn(site)

    assert (out(first), out(waiting), out(in_flight)) == (1, 0, 0)


def test_a_head_is_not_read_in_vain(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """While all calls of a bound are in flight; when one has landed, the next turn offers the next part."""
    sends(site, 10)
    first = turn(site)[0].ids[0]
    site.sql("update worker_parts set state = 1, offered_until = null where id = :id", id=first)
    turn(site)
    heads: list[str] = []

    def read(connection: Connection, now: str, lane: str, *more: int) -> DueBatch:
        heads.append(lane)
        return read_due_batch(connection, now, lane, *more)

    monkeypatch.setattr(lane_offer, "read_due_batch", read)

    def turns(count: int) -> int:
        heads.clear()
        for _ in range(count):
            site.ticks.advance(0.02)
            site.relay.turn()
        return len(heads)

    in_vain, after_a_while = turns(8), turns(8)
    site.sql("update worker_parts set state = 2 where id = :id", id=first)
    landed = turns(1)

    assert (0, len(Priority)) == (in_vain, after_a_while)
    assert (len(Priority), 1) == (landed, out(site.rings))


def test_one_part_after_a_silence_writes_nothing(site: Site) -> None:
    """One call in flight is all it can have: seldom used lanes pay for no start."""
    job = site.send()

    answer(site, turn(site))

    assert site.state(job) == "accepted"
    assert site.lane(site.part(job).lane) is None


def test_a_lane_that_succeeded_just_now_has_its_whole_share(site: Site) -> None:
    """The heartbeats say so, whichever process it was; a minute later it starts again."""
    answer(site, turn(site) if site.send("first") else [])
    sends(site, 10)
    turn(site)
    site.sql("update worker_parts set offered_until = null")
    soon = turn(site)

    site.sql("update worker_parts set offered_until = null")
    site.advance(61)
    late = turn(site)

    assert (out(soon), out(late)) == (10, 1)


@pytest.mark.fewer_databases("a lane's share is decided in Python")
def test_bulk_has_its_part_of_a_lane_with_one_call_in_flight(site: Site) -> None:
    """A lane that the vendor serialised takes its time: normal parts in front must not keep bulk waiting meanwhile."""
    bulk = sends(site, 10, priority="bulk")
    lane = site.part(sends(site, 40)[0]).lane
    sends(site, 1, priority="urgent")
    block = LaneBlock(lane, "send text", 0.0, "45035", penalty=Penalty.SERIAL)
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [block]))
    called: list[str] = []
    for _ in range(33):
        rings = turn(site)
        called += [part for ring in rings for part in ring.ids]
        answer(site, rings)

    assert len(called) == 33
    assert 33 // 10 == len({part_id(job, 0) for job in bulk} & set(called))


def test_a_new_leader_keeps_to_the_bound(site: Site) -> None:
    """It reads it, and what is out, from SQL."""
    sends(site, 20)
    answer(site, turn(site))
    first = turn(site)
    site.relay.stop()
    second = site.new_relay(cold_after_s=60)

    taken_over = turn(site, second)

    assert (out(first), out(taken_over)) == (2, 0)


def test_urgent_parts_count_in_the_bound(site: Site) -> None:
    """They go first, and not beside it."""
    sends(site, 3)
    urgent = site.send("now", "u9", priority="urgent")

    rings = turn(site)

    assert [(f"{urgent}-0",)] == [ring.ids for ring in rings]


def test_struck_it_stops_and_one_call_tries_after_the_block(site: Site) -> None:
    """The storm reaches the calls in flight and no others."""
    sends(site, 50)
    for _ in range(4):
        answer(site, turn(site))
    before = len(site.calls())
    site.vendor.says(*[refused(45009)] * 3)

    answer(site, turn(site))
    blocked = turn(site)
    site.clock.advance(61)
    tries = turn(site)

    assert (len(site.calls()) - before, out(blocked), out(tries)) == (1, 0, 1), "one thread: one call in flight"


def test_a_resumed_account_starts_with_one_call_over_all_of_its_lanes(site: Site) -> None:
    """Texts and cards wait for the same person: one of them goes, and then two."""
    texts, cards = sends(site, 4), [site.card(f"c{n}") for n in range(4)]
    parking = LaneBlock("hr", "hr", 600.0, "60020", "trust it", parked=True)
    site.database.run(lambda c: change_lanes(c, site.database.now, [parking]))
    parked = turn(site)
    site.database.run(lambda c: change_lanes(c, site.database.now, [Resume("hr", "a person resumed it")]))

    first = turn(site)
    again = turn(site)
    answer(site, first)
    second = turn(site)

    assert (parked, out(first), out(again), out(second)) == ([], 1, 0, 2)
    answer(site, second)
    for _ in range(6):
        answer(site, turn(site))
    assert {site.state(job) for job in (*texts, *cards)} == {"accepted"}


def read(starts: OfferCapacity, database: Database, *names: str, **calls: int) -> None:
    """The paces of these lanes and accounts, in a turn: no bound but those given as `hr_1=2`."""
    bounds = {name.replace("_", ":"): most for name, most in calls.items()}
    paces = {name: LaneState(name, account_of(name), calls=most) for name, most in bounds.items()}
    with database.reading() as connection:
        starts.load(connection, database.now, [*names, *paces], paces)


def test_an_account_that_starts_counts_what_it_offered_until_it_is_taken_or_lost(database: Database) -> None:
    """Without a bound there is no room to count; within one the smallest room counts."""
    starts = OfferCapacity(0.0)

    assert starts.capacity("hr:1", 1.0, due=10).calls is None
    read(starts, database, hr=3, hr_1=2)
    first = starts.capacity("hr:1", 1.0, due=10).calls
    starts.record_offer("hr:1", ["a", "b"])
    other = starts.capacity("hr:2", 1.0, due=10).calls
    starts.record_offer("hr:2", ["c"])

    assert (first, other) == (2, 1)
    assert starts.capacity("hr:1", 1.0, due=10, offered=2).calls == 0
    assert starts.capacity("it:1", 1.0, due=10).calls is None


def test_a_silence_of_zero_is_never_one() -> None:
    """The setting that switches starts off."""
    assert OfferCapacity(0.0).capacity("hr:1", 1_000.0, due=10).calls is None


def test_bounds_that_are_gone_are_forgotten(database: Database) -> None:
    """An account that is free again owes nothing to what it once offered."""
    starts = OfferCapacity(60.0)
    read(starts, database, "hr:1", hr=1)
    starts.record_offer("hr:1", ["a"])
    read(starts, database, "hr:1", hr=1)
    lost = starts.capacity("hr:1", 1.0, due=10).calls
    starts.record_offer("hr:1", ["b"])
    read(starts, database, "hr:2", "hr")
    read(starts, database, hr=1)

    assert (lost, starts.capacity("hr:1", 1.0, due=10).calls) == (1, 1)
