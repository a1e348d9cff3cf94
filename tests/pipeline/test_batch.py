"""A doorbell: works for about two seconds, stops at a closed gate or a drain, and leaves the rest to be offered."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.support.noise import plain
from tests.support.runtime import GETTOKEN, SEND, Site, an_account, lost, planted, refused
from worker import MpNews, MpNewsArticle
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.delivery.sender.writer import WriterClosed
from worker.domain.call import CallResult, NotSent, Request
from worker.domain.job import part_id
from worker.domain.pacing.lane import LaneBlock
from worker.domain.pacing.window import permit_age_s
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import load_parts
from worker.outbox.lanes.lanes import change_lanes, claim_probe
from worker.outbox.lanes.processes import Health, QueueName, deferred_account

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def jobs_of(site: Site, count: int) -> list[str]:
    return [site.send(str(n), f"u{n}") for n in range(count)]


def states(site: Site, jobs: list[str]) -> list[str]:
    return [site.state(job) for job in jobs]


def offered(site: Site, *jobs: str) -> None:
    for job in jobs:
        site.sql("update worker_parts set offered_until = 2000000000000000 where job_id = :job", job=job)


def test_it_delivers_in_the_order_in_which_the_ids_came(site: Site) -> None:
    """Bulk behind the others, but for one that is owed behind nine of them, in whichever doorbell."""
    bulk = [site.send(f"bulk {n}", f"b{n}", priority="bulk") for n in range(3)]
    others = [site.send(f"normal {n}", f"n{n}") for n in range(11)]

    site.ring(bulk[0], *others[:7])
    site.ring(*bulk[1:], *others[7:])

    told = [body["text"]["content"] for body in site.bodies()]
    assert [f"normal {n}" for n in range(7)] == told[:7]
    assert told[7:] == ["bulk 0", "normal 7", "normal 8", "bulk 1", "normal 9", "normal 10", "bulk 2"]


def test_after_two_seconds_it_leaves_the_rest(site: Site) -> None:
    """What it did not get to is offered again at once: its offer is forgotten."""

    def slow(request: Request) -> CallResult:
        site.ticks.advance(0.9)
        site.runtime.lease.beat()
        return site.vendor.takes(request)

    jobs = jobs_of(site, 30)
    offered(site, *jobs)
    site.vendor.says(*[slow] * 30)

    calls = site.ring(*jobs)

    assert 16 >= calls >= 3
    assert calls == states(site, jobs).count("accepted")
    left = [site.part(job) for job in jobs if site.state(job) == "queued"]
    assert {part.offered_until for part in left} == {None}


def test_what_rang_while_the_database_was_away_is_left_when_it_is_back(site: Site) -> None:
    """The broker has forgotten the ids by then: their offer is taken back, also at the second try, and only once."""
    jobs = jobs_of(site, 3)
    lane = site.part(jobs[0]).lane
    ids = [part_id(job, 0) for job in jobs]
    offered(site, *jobs)
    with site.database_away(), pytest.raises(OperationalError):
        site.bell.answer(lane, ids)
    with site.database_away(), pytest.raises(OperationalError):
        site.bell.release_missed()

    site.bell.release_missed()

    assert [site.part(job).offered_until for job in jobs] == [None] * 3
    offered(site, *jobs)
    site.bell.release_missed()
    assert all(site.part(job).offered_until for job in jobs)


def test_a_block_stops_the_parts_behind_it(site: Site) -> None:
    """The lane that was blocked by one part makes no further call; room already reserved is given back."""
    site.vendor.says(lambda request: site.vendor.takes(request), refused(45009))
    jobs = jobs_of(site, 5)

    assert site.ring(*jobs) == 2

    assert states(site, jobs) == ["accepted"] + ["queued"] * 4
    used = site.rows("select buckets from worker_budgets where buckets <> '[]'")
    assert len(used) == 4  # two members, a minute and an hour each


def test_what_has_room_goes_although_the_lane_is_full_behind_it(database: Database, driven_clock: DrivenClock) -> None:
    """Five are reserved for together, two have room: both go, and their room is not given back for a whole window."""
    with planted(database, driven_clock, accounts=[an_account(limits={"app_day": 2})]) as limited:
        jobs = jobs_of(limited, 5)
        limited.runtime.lane_states.record_cycle(limited.part(jobs[0]).lane, 0.0)
        asked = limited.reservations()

        assert limited.ring(*jobs) == 2

        assert states(limited, jobs) == ["accepted"] * 2 + ["queued"] * 3
        assert asked[0] == 5


@pytest.mark.fewer_databases("what is given back is the same rows on each")
def test_room_reserved_before_the_database_went_away_is_given_back(
    sqlite_database: Database, driven_clock: DrivenClock
) -> None:
    """Two have room, the block for those behind them cannot be written: no call is made, and both may go at once when
    the database is back.
    """
    with planted(sqlite_database, driven_clock, accounts=[an_account(limits={"app_day": 2})]) as limited:
        jobs = jobs_of(limited, 5)
        limited.runtime.lane_states.record_cycle(limited.part(jobs[0]).lane, 0.0)
        reserve, run = limited.runtime.governor.reserve, limited.database.run

        def away(work: Any, **options: Any) -> Any:
            limited.database.run = run  # type: ignore[method-assign]
            raise OperationalError("insert", {}, Exception("the connection is closed"))

        def reserved(requests: Any, **options: Any) -> Any:
            answers = reserve(requests, **options)
            limited.database.run = away  # type: ignore[method-assign]
            return answers

        limited.runtime.governor.reserve = reserved  # type: ignore[method-assign]
        with pytest.raises(OperationalError):
            limited.ring(*jobs)
        limited.runtime.governor.reserve = reserve  # type: ignore[method-assign]
        limited.advance(6)

        assert limited.ring(*jobs) == 2


def test_a_lane_that_somebody_else_found_full_keeps_nobody_who_has_room(site: Site) -> None:
    """Another process writes its block between the permit and the call, and a second doorbell of this one reads it."""
    jobs = jobs_of(site, 1)
    lane = site.part(jobs[0]).lane

    def blocked_elsewhere(label: str) -> None:
        if label == "before_mark":
            with site.database.writing() as connection:
                full = LaneBlock(lane, "send text", 60.0, "full", limit_name="app_day")
                change_lanes(connection, site.database.now, [full])
            assert site.bell.answer(lane, []) == 0
            assert site.runtime.lane_states.is_closed(lane)
            assert site.runtime.lane_states.capacity(lane, has_permit=True).calls is None

    site.runtime.checkpoint = blocked_elsewhere

    assert site.ring(*jobs) == 1


def test_a_block_of_another_process_is_seen_before_anything_is_loaded(site: Site) -> None:
    """SQL says the lane is blocked: nothing is called and the ids are left."""
    [job] = jobs_of(site, 1)
    offered(site, job)
    lane = site.part(job).lane
    with site.database.writing() as connection:
        change_lanes(connection, site.database.now, [LaneBlock(lane, "send text", 60.0, "45009")])

    assert site.ring(job) == 0

    assert site.part(job).offered_until is None
    assert site.calls() == []


def test_a_lifted_block_is_seen_too(site: Site) -> None:
    """Another process's probe, or a person, opened the lane: this process goes on without waiting its own time."""
    site.vendor.says(refused(43012))
    jobs = jobs_of(site, 2)
    site.ring(jobs[0])
    site.sql("update worker_lanes set blocked_until = 0, parked = false")

    site.advance(6)
    site.ring(*jobs)

    assert states(site, jobs) == ["accepted", "accepted"]


def of_megabytes(site: Site, count: int, **options: Any) -> list[str]:
    """Articles of the length that the vendor allows."""
    article = MpNewsArticle(title="t", thumb_media_id="m", content="x" * 600_000)
    return [site.ask(MpNews(articles=[article]), f"u{n}", **options) for n in range(count)]


def test_documents_of_megabytes_are_read_one_after_the_other(site: Site) -> None:
    """A doorbell of fifty parts, in every thread, holds one of them: the others are ids until it is their turn."""
    large, [small] = of_megabytes(site, 4), jobs_of(site, 1)
    tracemalloc.start()
    with site.database.reading() as connection:
        parts = load_parts(connection, site.database.now, [part_id(job, 0) for job in (*large, small)])
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert held < 600_000
    assert [part.holds_bytes for part in parts] == [True, True, True, True, False]
    assert [part.message for part in parts[:4]] == [{}] * 4


@pytest.mark.every_database
def test_documents_of_megabytes_arrive_whole_and_in_order(site: Site) -> None:
    """In one doorbell, with a second call of each that was lost and goes again byte for byte."""
    jobs = of_megabytes(site, 3)
    site.vendor.says(lost())

    calls = site.ring(*jobs)
    site.advance(26)
    site.recover()
    site.ring(jobs[0])

    assert (calls, states(site, jobs)) == (3, ["accepted"] * 3)
    sent = site.bodies()
    assert [body["touser"] for body in sent] == ["u0", "u1", "u2", "u0"]
    assert {len(body["mpnews"]["articles"][0]["content"]) for body in sent} == {600_000}
    assert sent[0] == sent[3]


@pytest.fixture
def newcomer(site: Site) -> Iterator[Site]:
    """Another process of the installation, which has yet to be told of the account `it`."""
    with planted(site.database, site.clock, accounts=[an_account()], ticks=site.ticks) as planted_site:
        yield planted_site


@pytest.mark.every_database
def test_a_process_that_does_not_know_an_account_blocks_it_for_nobody_else(site: Site, newcomer: Site) -> None:
    """It hands the ids on, to be offered again in a second, and says so once; who knows the account sends them."""
    jobs = [site.send(f"text {n}", account="it") for n in range(2)]
    for _ in range(3):
        newcomer.ring(*jobs)
    handed_on = [site.part(job) for job in jobs]

    site.ring(*jobs)

    assert [("queued", site.clock.micros + SECOND, 0)] * 2 == [
        (part.state, part.offered_until, part.tries) for part in handed_on
    ]
    assert states(site, jobs) == ["accepted"] * 2
    assert site.rows("select lane from worker_lanes") == []
    [event] = site.rows("select account, what, reason from worker_lane_events")
    assert (event.account, event.what, event.reason.split(";")[0]) == ("it", "unusable", "account 'it' does not exist")


def test_a_fleet_half_of_which_does_not_know_an_account_carries_on(site: Site, newcomer: Site) -> None:
    """Every other doorbell comes to the wrong process; each costs its ids a second."""
    jobs = [site.send(f"text {n}", f"u{n}", account="it") for n in range(40)]
    seconds, processes = 0, cycle((newcomer, site))
    while "queued" in states(site, jobs) and seconds < 20:
        site.advance(1)
        newcomer.runtime.lease.beat()
        seconds += 1
        site.relay.full_scan()
        site.relay.turn()
        rings, site.rings[:] = list(site.rings), []
        for ring in rings:
            next(processes).bell.answer(ring.lane, ring.ids)
        site.settle()

    assert states(site, jobs) == ["accepted"] * 40
    assert seconds <= 10


def test_a_probe_that_comes_to_a_process_without_the_account_is_not_used_up(site: Site, newcomer: Site) -> None:
    """Another one tries the parked lane a second later, not ten minutes."""
    site.vendor.says(refused(43012))
    first, job = site.send("first", account="it"), site.send("second", account="it")
    site.ring(first)
    lane = site.part(job).lane
    site.advance(601)
    newcomer.runtime.lease.beat()
    assert site.database.run(lambda connection: claim_probe(connection, site.database.now, lane, 600 * SECOND))
    until = site.clock.micros + SECOND

    newcomer.ring(job, probe=True)

    [row] = site.rows("select parked, blocked_until from worker_lanes where lane = :lane", lane=lane)
    assert (True, until) == (bool(row.parked), row.blocked_until)


def cancelled(site: Site, jobs: list[str]) -> None:
    site.sql("update worker_jobs set cancelled_at = 1")


def expired(site: Site, jobs: list[str]) -> None:
    site.sql("update worker_parts set expires_at = 1")


def ended_meanwhile(site: Site, jobs: list[str]) -> None:
    def publish(rings: Sequence[Doorbell]) -> None:
        for ring in rings:
            for part in set(ring.ids).intersection(part_id(job, 0) for job in jobs):
                site.sql("update worker_parts set state = 8, not_before = null where id = :id", id=part)
        site.rings.extend(rings)

    site.publish = publish


def quiet(site: Site, jobs: list[str]) -> None:
    now = instant(site.clock.micros)
    site.sql("update worker_jobs set quiet_hours = :hours", hours=f"00:00-{now + timedelta(hours=1):%H:%M} UTC")


def without_room(site: Site, jobs: list[str]) -> None:
    for n in range(len(jobs)):
        site.ring(site.send("earlier", f"u{n}"))


def unreadable(site: Site, jobs: list[str]) -> None:
    site.sql("update worker_jobs set message = '7'")


@pytest.mark.parametrize(
    "kept",
    [cancelled, expired, ended_meanwhile, quiet, without_room, unreadable],
    ids=lambda kept: kept.__name__,
)
def test_a_probe_whose_part_waits_or_has_ended_is_not_used_up(
    database: Database, driven_clock: DrivenClock, kept: Callable[[Site, list[str]], None]
) -> None:
    """The next part tries the lane at once, and the one behind it, not ten minutes later."""
    with planted(database, driven_clock, accounts=[an_account(limits={"member_hour": 1})]) as site:
        jobs = jobs_of(site, 6)
        kept(site, jobs)
        good = site.send("good", "somebody")
        block = LaneBlock("hr", "hr", 600.0, "no quota", parked=True)
        site.database.run(lambda connection: change_lanes(connection, site.database.now, [block]))
        site.advance(601)
        site.run()

        assert site.state(good) == "accepted"
        assert "accepted" not in states(site, jobs)


def test_a_probe_that_its_account_keeps_from_a_call_waits_as_long_as_the_account(
    database: Database, driven_clock: DrivenClock
) -> None:
    """A host that cannot be reached for seconds: the probe of the parked account is due again after these."""
    away = [True]
    with planted(database, driven_clock, refuse=lambda request: NotSent("dns", 0.0) if away[0] else None) as site:
        job = site.send()
        block = LaneBlock("hr", "hr", 600.0, "no quota", parked=True)
        site.database.run(lambda connection: change_lanes(connection, site.database.now, [block]))
        site.advance(601)
        site.run()
        row = site.lane("hr")
        [wait_s] = [(one.blocked_until - site.clock.micros) / SECOND for one in [row] if one]
        away.clear()
        away.append(False)
        site.advance(wait_s)
        site.run()

        assert (0.5 < wait_s < 60, site.state(job)) == (True, "accepted")


@pytest.mark.parametrize("path", [GETTOKEN, SEND])
def test_a_fleet_half_of_which_cannot_reach_the_vendor_carries_on(
    site: Site, database: Database, driven_clock: DrivenClock, path: str
) -> None:
    """Every other doorbell comes to a process whose proxy is away: what is urgent goes within seconds all the same."""

    def refuse(request: Request) -> NotSent | None:
        remedy = "correct the account's `proxy`"
        return NotSent("proxy_refused", 0.0, remedy=remedy) if request.path == path else None

    with planted(database, driven_clock, refuse=refuse, ticks=site.ticks, breaks=True) as cut_off:
        took, told, processes = list[int](), list[dict[str, str]](), cycle((cut_off, site))
        for n in range(10):
            job, seconds = site.send(f"text {n}", priority="urgent"), 0
            while "queued" == site.state(job) and seconds < 30:
                site.advance(1)
                cut_off.runtime.lease.beat()
                seconds += 1
                site.relay.full_scan()
                site.relay.turn()
                rings, site.rings[:] = list(site.rings), []
                for ring in rings:
                    next(processes).bell.answer(ring.lane, ring.ids, probe=ring.probe)
                site.settle()
            took.append(seconds)
            told.append(cut_off.runtime.lane_states.unreachable_accounts())
            site.sql("update worker_tokens set expires_at = 0")
            site.advance(20)
            cut_off.runtime.lease.beat()

    assert max(took) <= 5
    assert 1 < len([one for one in cut_off.transport.connects if one.path == path]) <= 10
    assert all(plain(why["hr"]).endswith("proxy_refused; correct the account's `proxy`") for why in told)
    assert site.runtime.lane_states.unreachable_accounts() == {}


@pytest.mark.parametrize(
    ("heartbeat", "queues"),
    [
        ({"health": Health(hindered={deferred_account("hr"): "gettoken: dns"})}, None),
        ({"unusable": {"hr": "its secret is missing"}}, None),
        ({}, [QueueName.HOOKS]),
    ],
    ids=["unreached", "unusable", "hooks"],
)
def test_an_account_that_no_process_reaches_rests_for_all(
    site: Site, database: Database, driven_clock: DrivenClock, heartbeat: dict[str, Any], queues: list[str] | None
) -> None:
    """The others say so with their heartbeats, or send nothing at all, so it is not handed around among them."""
    site.runtime.lease.end()
    with (
        planted(database, driven_clock, queues=lambda: queues, ticks=site.ticks) as other,
        planted(database, driven_clock, refuse=lambda _: NotSent("dns", 0.0), ticks=site.ticks) as cut_off,
    ):
        other.runtime.lease.beat(**heartbeat)
        job = cut_off.send()
        for _ in range(3):
            cut_off.ring(job)
            cut_off.advance(4)
            other.runtime.lease.beat(**heartbeat)
        lane = cut_off.lane("hr")

        assert lane is not None
        assert lane.blocked_until - lane.blocked_at > SECOND
        assert cut_off.runtime.lane_states.unreachable_accounts() == {}


def test_an_account_that_was_not_known_is_looked_at_again(site: Site, newcomer: Site) -> None:
    """Within 15 s of its being there: accounts may come from somewhere that changes."""
    job = site.send(account="it")
    newcomer.ring(job)
    newcomer.runtime.accounts = site.accounts
    newcomer.ring(job)
    before = newcomer.state(job)

    newcomer.advance(15)
    newcomer.ring(job)

    assert (before, newcomer.state(job)) == ("queued", "accepted")


def test_draining_stops_before_the_next_mark(site: Site) -> None:
    """SIGTERM: the call in flight ends, nothing further is marked, the ids are left."""

    def drain(request: Request) -> CallResult:
        site.runtime.draining.set()
        return site.vendor.takes(request)

    site.vendor.says(drain)
    jobs = jobs_of(site, 3)
    offered(site, *jobs)

    assert site.ring(*jobs) == 1

    assert states(site, jobs) == ["accepted", "queued", "queued"]
    assert {site.part(job).offered_until for job in jobs} == {None}


def test_draining_between_reservation_and_mark_marks_nothing(site: Site) -> None:
    """The drain is looked at again right before the mark."""
    jobs = jobs_of(site, 2)
    original = site.runtime.transport.connect

    def connect(request: Request) -> object:
        if len(site.transport.connects) == 2:  # a token, the first part's, then the second's behind its reservation
            site.runtime.draining.set()
        return original(request)

    site.runtime.transport.connect = connect  # type: ignore[method-assign,assignment]

    assert site.ring(*jobs) == 1
    assert [(site.state(job), site.part(job).claim) for job in jobs] == [("accepted", 1), ("queued", 0)]


def test_a_writer_that_is_closing_leaves_everything(site: Site) -> None:
    """The process ends: no mark is confirmed, the doorbell leaves its ids and returns."""
    jobs = jobs_of(site, 3)
    offered(site, *jobs)

    def closed(mark: object) -> None:
        raise WriterClosed("the process is ending")

    site.runtime.writer.mark = closed  # type: ignore[method-assign,assignment]

    assert site.ring(*jobs) == 0
    assert {(site.state(job), site.part(job).offered_until) for job in jobs} == {("queued", None)}


def test_ids_that_are_no_longer_due_are_left_and_cost_nothing(site: Site) -> None:
    """A doorbell for what was sent, cancelled or never existed makes no call."""
    [job] = jobs_of(site, 1)
    site.ring(job)

    again = site.bell.answer(site.part(job).lane, [part_id(job, 0), "f" * 32 + "-0"])

    assert (again, len(site.calls())) == (0, 1)


@pytest.mark.every_database
def test_a_probe_without_a_part_to_try_opens_nothing(site: Site) -> None:
    """The part it was to try went elsewhere: the lane stays parked."""
    site.vendor.says(refused(43012))
    [job] = jobs_of(site, 1)
    site.ring(job)
    lane = site.part(job).lane
    site.advance(601)
    site.sql("update worker_parts set state = 8")

    site.bell.answer(lane, [part_id(job, 0)], probe=True)

    row = site.lane(lane)
    assert row is not None
    assert row.parked


def test_calls_reserved_together_fit_into_a_permits_age(site: Site) -> None:
    """Sixteen at a fast vendor, one at a slow one; two while nothing is known of the lane."""
    ways_s = (0.0, 0.02, 0.07, 2.0, None)
    asked, first = site.reservations(), []
    for way, whole_way_s in enumerate(ways_s):
        jobs = [site.send(f"{way} {n}", f"u{n}") for n in range(17)]
        lane = f"hr:x{way}"
        site.sql("update worker_parts set lane = :lane where state = 0", lane=lane)
        if whole_way_s is not None:
            site.runtime.lane_states.record_cycle(lane, whole_way_s)
            # The call alone says nothing about when the next one starts.
            site.runtime.lane_states.record_call(lane, 0.001)
        asked.clear()
        assert site.ring(*jobs) == 17
        first.append(asked[0])

    assert first == [16, 10, 2, 1, 2]
    known = [(calls, way_s) for calls, way_s in zip(first, ways_s, strict=True) if way_s is not None]
    assert all(calls == 1 or calls * way_s < permit_age_s({60}, 0) for calls, way_s in known)


@contextmanager
def in_hand(site: Site, job: str) -> Iterator[list[int]]:
    """Another thread answers a doorbell for this job and stands right before its mark; then it goes on. Its calls."""
    there, go_on = threading.Event(), threading.Event()
    lane, calls = site.part(job).lane, []

    def stop(label: str) -> None:
        if label == "before_mark" and threading.current_thread() is hand:
            there.set()
            assert go_on.wait(120)

    site.runtime.checkpoint = stop
    hand = threading.Thread(target=lambda: calls.append(site.bell.answer(lane, [part_id(job, 0)])))
    hand.start()
    try:
        assert there.wait(120)
        yield calls
    finally:
        go_on.set()
        hand.join(120)


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_an_id_in_another_threads_hand_is_left_alone(site: Site, closed: bool) -> None:
    """It rang twice: one call; the second doorbell delivers or leaves its other ids, and does not un-offer this one."""
    job, other = jobs_of(site, 2)
    offered(site, job, other)
    lane = site.part(job).lane

    with in_hand(site, job) as calls:
        if closed:
            site.runtime.lane_states.apply(LaneBlock(lane, "send text", 60.0, "45009"))
        second = site.bell.answer(lane, [part_id(job, 0), part_id(other, 0)])
        site.settle()
        meanwhile = (site.state(job), site.part(job).offered_until)
        others = (site.state(other), site.part(other).offered_until)
    site.settle()

    assert meanwhile == ("queued", 2_000_000_000_000_000)
    assert (("queued", None) if closed else ("accepted", None)) == others
    assert ([1], 0 if closed else 1) == (calls, second)
    assert [body["text"]["content"] for body in site.bodies()].count("0") == 1
    assert (site.state(job), site.part(job).claim) == ("accepted", 1)


def test_an_id_that_was_left_may_be_taken_again(site: Site) -> None:
    """Nothing stays in hand: not what a doorbell left, and not what it held when it failed."""
    jobs = jobs_of(site, 3)
    reserve = site.runtime.governor.reserve

    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError

    site.runtime.governor.reserve = broken  # type: ignore[method-assign,assignment]
    with pytest.raises(ZeroDivisionError):
        site.ring(*jobs)
    site.runtime.governor.reserve = reserve  # type: ignore[method-assign]
    site.vendor.says(refused(45009))
    assert site.ring(*jobs) == 1

    site.advance(61)
    assert site.ring(*jobs) == 3
    assert states(site, jobs) == ["accepted"] * 3
