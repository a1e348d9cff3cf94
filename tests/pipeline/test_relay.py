"""The relay: one at a time, due parts found, windows kept offered, lost ids offered again, probes."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.support.runtime import PNG, Site, planted, refused
from worker.config.settings import DeliverySettings
from worker.delivery.scheduler import due_lanes, lane_offer
from worker.delivery.scheduler.backlog import Backlog
from worker.delivery.scheduler.lane_offer import Doorbell, DoorbellBuilder, LaneOffer
from worker.delivery.scheduler.relay import RelayTimes
from worker.domain.job import Priority, part_id
from worker.domain.pacing.bulk import Pacing
from worker.domain.pacing.lane import LaneBlock, account_of
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import release_parts
from worker.outbox.lanes.full_scan import lanes_with_due
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.lanes.offering import DueBatch, NewlyDue, lanes_newly_due, read_due_batch
from worker.outbox.lanes.processes import QueueName, renew_heartbeat

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock, threads=4) as planted_site:
        yield planted_site


def turn(site: Site, seconds: float = 0.0) -> list[Doorbell]:
    """One turn after so many seconds on every clock; what it published."""
    if seconds:
        site.advance(seconds)
    site.relay.lead()
    site.relay.full_scan()
    site.relay.turn()
    rings, site.rings[:] = list(site.rings), []
    return rings


def ids(rings: Sequence[Doorbell]) -> list[str]:
    return [part for ring in rings for part in ring.ids]


def parts(*jobs: str) -> list[str]:
    return [part_id(job, 0) for job in jobs]


@pytest.fixture
def looks(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Each look at the head of a lane: the lane, and when."""
    made: list[tuple[str, float]] = []

    def noted(*given: Any) -> DueBatch:
        if given[3] is Priority.URGENT:  # the first that is read
            made.append((given[2], site.ticks()))
        return read_due_batch(*given)

    monkeypatch.setattr(lane_offer, "read_due_batch", noted)
    return made


# -- finding ----------------------------------------------------------------------------------------------------------


def test_a_due_part_is_offered_and_noted_before_it_is_published(site: Site) -> None:
    """The id is in SQL as offered when the broker gets it; it is offered once."""
    turn(site)
    job = site.send()
    noted: list[int | None] = []
    site.publish = lambda rings: noted.append(site.part(job).offered_until)

    site.advance(0.1)
    site.relay.turn()
    site.relay.turn()

    assert [site.clock.micros + 5 * SECOND] == noted


def test_what_was_due_before_it_became_active_is_found_at_once(site: Site) -> None:
    """A backlog from before the start, older than anything the walk by time looks at."""
    job = site.send()
    site.advance(3_600)

    assert parts(job) == ids(turn(site))


@pytest.mark.every_database
def test_a_late_commit_is_found_within_a_second(site: Site, driven_clock: DrivenClock) -> None:
    """Its instant lies behind what the walk by time has passed: the round over all lanes finds it."""
    turn(site)
    site.send("newer")
    turn(site, 10)
    late = site.send("late", account="it")
    site.sql("update worker_parts set not_before = not_before - 20000000 where job_id = :job", job=late)

    found = [part for _ in range(5) for part in ids(turn(site, 0.25))]

    assert parts(late)[0] in found


def test_behind_a_backlog_that_comes_in_fast_the_walk_by_time_goes_far_back_now_and_then(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most turns read the last moments alone; a commit that was late by less than half a second waits for a quarter."""
    turn(site)
    site.relay.full_scan = lambda: 1.0  # type: ignore[method-assign]  # nothing is found by it
    many = [site.send(f"one of many {n}", to=f"u{n}") for n in range(2 * due_lanes.MANY_PARTS + 100)]
    site.advance(0.4)
    site.send("newer")
    turn(site)
    read: list[int] = []

    def looked(*given: Any) -> dict[str, NewlyDue]:
        found = lanes_newly_due(*given)
        read.append(sum(due.parts for due in found.values()))
        return found

    monkeypatch.setattr(due_lanes, "lanes_newly_due", looked)
    late = site.send("late", account="it")
    site.sql("update worker_parts set not_before = not_before - 300000 where job_id = :job", job=late)
    found = [ids(turn(site, 0.02)) for _ in range(14)]

    first = next(n for n, offered in enumerate(found) if parts(late)[0] in offered)
    assert 10 <= first <= 13
    assert max(read[:first]) < 10 < due_lanes.MANY_PARTS < read[first] < len(many)


def walking(site: Site, *instants: float) -> None:
    """The relay anew, and active; its walk reads these instants from its clock."""
    site.relay = site.new_relay(scan_clock=iter(instants).__next__)
    site.relay.lead()


def test_the_walk_goes_round_so_often_that_a_late_commit_is_seen_in_time(site: Site) -> None:
    """The slower a round, the sooner the next: both of them together are within a second; but it never only walks."""
    walking(site, 0.0, 0.0, 0.0, 0.2, 0.0, 0.3, 0.0, 0.5)

    assert pytest.approx([site.relay.full_scan() for _ in range(4)]) == [0.6, 0.2, 0.3, 0.5]


def test_a_step_of_the_walk_leaves_room_for_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two steps of a round it rests three times as long as a step took, and at least two milliseconds."""
    monkeypatch.setattr("worker.delivery.scheduler.due_lanes.MIN_SLICE", 1)
    site.send()
    site.card()

    walking(site, 0.0, 0.01, 0.01, 0.01)

    assert pytest.approx([site.relay.full_scan(), site.relay.full_scan()]) == [0.03, 0.002]


def test_a_round_of_many_steps_finds_every_lane(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step goes on where the last one ended: what was due before the relay began is found by nothing else."""
    monkeypatch.setattr("worker.delivery.scheduler.due_lanes.MIN_SLICE", 1)
    jobs = [site.send(), site.card(), site.send(account="it")]
    site.advance(60)
    site.relay = site.new_relay()
    site.relay.lead()

    for _ in jobs:
        site.relay.full_scan()

    assert sorted(ids(turn(site))) == sorted(parts(*jobs))


def test_a_slow_round_looks_at_more_lanes_a_step(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many each time, up to a limit, and fewer again when there is time."""
    sizes: list[int] = []

    def noted(*given: Any) -> Any:
        sizes.append(given[3])
        return lanes_with_due(*given)

    monkeypatch.setattr(due_lanes, "lanes_with_due", noted)
    spent = (0.3, 0.3, 0.1, 0.01, 0.01, 0.01, 0.0)
    walking(site, *(instant for seconds in spent for instant in (0.0, seconds)))

    for _ in spent:
        site.relay.full_scan()

    # What a round has taken is seen in the next one.
    assert sizes == [100, 200, 400, 400, 200, 100, 100]


def test_what_is_not_due_is_not_offered(site: Site) -> None:
    """Time waits in SQL: a job for later goes when its time has come."""
    job = site.send(due_at=timedelta(seconds=60))

    early = ids(turn(site)) + ids(turn(site, 59))

    assert ([], parts(job)) == (early, ids(turn(site, 1.5)))


def test_more_lanes_than_a_slice_or_a_turn_takes_are_walked_through(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slice after slice, all of them in a round; and no turn looks at more of the found than it has time for."""
    monkeypatch.setattr("worker.delivery.scheduler.due_lanes.MIN_SLICE", 1)
    monkeypatch.setattr("worker.delivery.scheduler.relay.MAX_LANES", 1)
    jobs = [site.send(), site.card(), site.send(account="it")]
    site.advance(3_600)

    found = [sorted(ids(turn(site, 0.1))) for _ in range(4)]

    assert sorted(parts(*jobs)) == sorted(part for turn_ in found for part in turn_)
    assert sum(bool(turn_) for turn_ in found) == 3


def test_it_looks_less_often_the_longer_nothing_came(site: Site) -> None:
    """After a fiftieth of the quiet time: 10 ms while parts come in, 280 ms after a rest."""
    turn(site)
    quiet = []
    for seconds in (0.0, 1.0, 4.0, 600.0):
        site.advance(seconds)
        quiet.append(site.relay.turn())
    site.send()

    assert pytest.approx(quiet) == [0.01, 0.02, 0.1, 0.28]
    assert (site.relay.turn(), site.relay.turn()) == (0.01, 0.01)


def test_parts_that_may_not_go_keep_nothing_awake(site: Site) -> None:
    """They are read in every turn, and found only once."""
    job = site.send()
    turn(site)
    block(site, site.part(job).lane, 600, parked=True)
    site.advance(60)
    site.relay.turn()
    site.advance(60)

    assert site.relay.turn() == 0.28


def test_a_block_that_ends_is_met_at_its_end(site: Site) -> None:
    """However long nothing came: what waited for a limit goes as soon as it has room."""
    site.advance(600)
    turn(site)
    job = site.send()
    block(site, site.part(job).lane, 120.1)
    site.relay.turn()
    site.advance(120)

    assert pytest.approx(0.1) == site.relay.turn()


# -- windows ----------------------------------------------------------------------------------------------------------


def test_a_window_at_the_head_of_the_lane_is_kept_offered(site: Site) -> None:
    """No more than the lane may send soon; as parts are marked, the next ones come in: in full doorbells while half of
    the window is out, and the rest when less is."""
    site.runtime.lane_states.record_call("x", 0.0)
    jobs = [site.send(str(n), f"u{n}") for n in range(22)]
    site.share(2, threads=6)  # four are free, two ids for each of their calls: a window of sixteen
    first = turn(site)
    again = turn(site, 0.3)
    site.ring(*jobs[:3])
    third = turn(site, 0.3)
    site.ring(jobs[3])
    fourth = turn(site, 0.3)
    site.ring(*jobs[4:20])
    last = turn(site, 0.3)

    assert parts(*jobs[:16]) == ids(first)
    assert [(len(ring.ids), ring.calls) for ring in first] == [(4, 2)] * 4
    assert [ids(again), ids(third)] == [[], []]
    assert [tuple(parts(*jobs[16:20]))] == [ring.ids for ring in fourth]
    assert [(tuple(parts(*jobs[20:])), 2)] == [(ring.ids, ring.calls) for ring in last]


def test_behind_a_full_window_only_what_is_more_urgent_is_looked_at_at_once(
    site: Site, looks: list[tuple[str, float]]
) -> None:
    """Producers that keep adding to a backlog cost no look each turn; an urgent part does not wait for one."""
    site.share(2)  # a window of eight
    jobs = [site.send(str(n), f"u{n}") for n in range(9)]
    turn(site)
    lane, looked = site.part(jobs[0]).lane, []

    for priority in ("normal", "bulk", "urgent"):
        job = site.send(priority, priority=priority)
        looks.clear()
        looked.append((turn(site, 0.01), list(looks)))

    assert looked[:2] == [([], []), ([], [])]
    assert (parts(job), [(lane, site.ticks())]) == (ids(looked[2][0]), looked[2][1])


def test_urgent_goes_first_and_in_doorbells_of_its_own(site: Site) -> None:
    """Urgent has its own share; then normal before bulk, the oldest first."""
    bulk, normal, urgent = (site.send(name, priority=name) for name in ("bulk", "normal", "urgent"))
    site.share(50, threads=6)  # four are free, and half of them are the calls of one doorbell

    rings = turn(site)

    assert [(parts(urgent), True, 1), (parts(normal, bulk), False, 2)] == [
        (list(ring.ids), ring.urgent, ring.calls) for ring in rings
    ]


def test_a_backlog_of_bulk_does_not_keep_urgent_out_of_the_window(site: Site) -> None:
    """The urgent one came last and is offered at once."""
    for n in range(10):
        site.send(str(n), f"u{n}", priority="bulk")
    site.share(1)
    turn(site)
    urgent = site.send("now", priority="urgent")

    assert parts(urgent) == ids([ring for ring in turn(site, 0.3) if ring.urgent])


def test_shares_follow_the_threads_alive(site: Site) -> None:
    """Heartbeats of other processes widen the window within a second."""
    for n in range(40):
        site.send(str(n), f"u{n}")
    site.share(2)
    narrow = len(ids(turn(site)))
    with site.database.writing() as connection:
        renew_heartbeat(
            connection, site.database.now, "p2", lease_us=10 * SECOND, threads=4, host="h", pid=1, lanes="{}"
        )

    wide = len(ids(turn(site, 1.1)))

    assert (narrow, wide) == (8, 16)


# -- losing and finding again -----------------------------------------------------------------------------------------


def has_untaken_parts(site: Site, *without: QueueName) -> bool:
    """What the relay says to a process that takes from all queues but some."""
    return site.relay.has_untaken_parts(lambda lane, queue: queue not in without)


def test_the_relay_knows_of_parts_that_no_process_takes(site: Site) -> None:
    """Once they are offered again; when one takes them, there are none any more."""
    jobs = [site.send(str(n)) for n in range(3)]
    turn(site)
    at_first = has_untaken_parts(site)
    turn(site, 5.1)
    untaken = has_untaken_parts(site), has_untaken_parts(site, QueueName.NORMAL)
    site.ring(*jobs)
    turn(site, 0.3)

    assert (at_first, untaken, has_untaken_parts(site)) == (False, (True, False), False)


def test_parts_of_a_blocked_lane_are_not_due_to_be_sent(site: Site) -> None:
    """What cannot be sent is no fault of the process."""
    site.send()
    turn(site)
    turn(site, 5.1)
    block(site, "hr", 60.0)
    turn(site, 5.1)

    assert not has_untaken_parts(site)


def test_a_relay_that_does_not_lead_knows_of_nothing(site: Site) -> None:
    """Another process does."""
    site.send()
    turn(site)
    turn(site, 5.1)
    site.relay.stop()

    assert not has_untaken_parts(site)


def test_a_lost_id_is_offered_again_after_5_10_20_40_and_60_seconds(site: Site) -> None:
    """Nobody took it: each time it waits twice as long, a minute at most."""
    job = site.send()
    turn(site)
    waits = []
    for _ in range(7):
        wait = (site.part(job).offered_until - site.clock.micros) / SECOND
        waits.append(wait)
        assert ids(turn(site, wait - 0.001)) == []
        assert parts(job) == ids(turn(site, 1.1))

    assert waits == [5, 10, 20, 40, 60, 60, 60]


def test_ids_that_are_lost_one_after_the_other_wait_equally_long(site: Site) -> None:
    """What comes while others wait in the broker is offered as at first, and a round doubles the time once."""
    first, waits = site.send("a", "a"), []
    assert parts(first) == ids(turn(site))
    second, third = site.send("b", "b"), site.send("c", "c", due_at=instant(site.clock.micros + 12 * SECOND))
    for seconds, job in ((2, second), (3, first), (2, second), (5, third)):
        assert parts(job) == ids(turn(site, seconds))
        waits.append((site.part(job).offered_until - site.clock.micros) / SECOND)

    assert waits == [5, 10, 10, 10]


def test_an_id_that_is_lost_for_days_is_still_offered() -> None:
    """After a thousand rounds, of a minute each, the doubled seconds would be more than a number can say."""
    backlog = Backlog("hr:1", first="a-0", rounds=5_000)

    assert backlog.offered_for_s([DueBatch(["a-0"], [], "a-0")], 1.0, 5.0, 60.0) == 60


def test_an_id_that_is_lost_behind_a_new_one_waits_no_longer_for_that(site: Site) -> None:
    """The time doubles with what is first in the lane, and that has just been offered."""
    lost = site.send("a", "a")
    turn(site)
    site.send("b", "b", priority="urgent")
    turn(site, 3)

    offered = ids(turn(site, 2))

    assert parts(lost) == offered
    assert site.clock.micros + 5 * SECOND == site.part(lost).offered_until


def test_a_mark_starts_the_doubling_over(site: Site) -> None:
    """A part that came back from the vendor is offered as if for the first time."""
    job = site.send()
    for _ in range(3):
        turn(site, 61)
    site.vendor.says(refused(6000))
    site.ring(job)

    offered = ids(turn(site, 2))

    assert parts(job) == offered
    assert site.clock.micros + 5 * SECOND == site.part(job).offered_until


def test_a_lane_of_which_something_was_taken_is_offered_as_at_first(site: Site) -> None:
    """The others were offered as often and wait no longer for it: the doubling is the lane's, not the part's."""
    first, second, other = site.send("a", "a"), site.send("b", "b"), site.card()
    for _ in range(4):
        turn(site, 61)
    site.ring(first)

    offered = ids(turn(site, 61))

    waits = [(site.part(job).offered_until - site.clock.micros) / SECOND for job in (second, other)]
    assert sorted(parts(second, other)) == sorted(offered)
    assert waits == [5, 60]


def test_ids_that_a_doorbell_left_start_the_doubling_over(site: Site) -> None:
    """A worker had them in hand: the lane is not dead."""
    job = site.send()
    for _ in range(3):
        turn(site, 61)
    with site.database.writing() as connection:
        release_parts(connection, parts(job))

    turn(site, 1)

    assert site.clock.micros + 5 * SECOND == site.part(job).offered_until


def test_a_broker_that_takes_nothing_delays_and_loses_nothing(site: Site) -> None:
    """Publishing failed: the id counts as offered, and is offered again when that has run out."""
    job = site.send()

    def away(rings: Sequence[Doorbell]) -> None:
        raise ConnectionError

    publish, site.publish = site.publish, away
    with pytest.raises(ConnectionError):
        site.relay.turn()
    site.publish = publish

    assert ([], parts(job)) == (ids(turn(site, 4)), ids(turn(site, 1.1)))


@pytest.mark.every_database
def test_an_id_somebody_else_offered_is_not_published_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two relays overlap for a moment: the compare-and-set lets one of them publish."""
    job, both = site.send(), site.send("both", "wangwu")
    other = site.new_relay(lambda: "p2")
    other.lead = lambda: True  # type: ignore[method-assign]
    found: list[list[str]] = []
    mine: list[Doorbell] = []
    doorbells = DoorbellBuilder.doorbells

    def overtaken(batches: DoorbellBuilder, lane_offer: LaneOffer, now: float) -> list[Doorbell]:
        """Between the other's look and its offer this one looks, offers and publishes."""
        monkeypatch.setattr(DoorbellBuilder, "doorbells", doorbells)
        theirs = doorbells(batches, lane_offer, now)
        found.append(ids(theirs))
        mine.extend(turn(site))
        return theirs

    monkeypatch.setattr(DoorbellBuilder, "doorbells", overtaken)
    other.turn()

    assert [parts(job, both)] == found
    assert parts(job, both) == ids(mine)
    assert site.rings == []


def test_a_lane_with_anything_due_is_looked_at_every_200_ms(site: Site, looks: list[tuple[str, float]]) -> None:
    """Also when all of it is in the broker: what an expired offer or a mark makes room for is not left to the round."""
    job = site.send()
    site.relay.full_scan = lambda: 1.0  # type: ignore[method-assign]
    site.advance(0.1)
    first = turn(site)
    lane = site.part(job).lane

    looks.clear()
    for _ in range(3):
        assert turn(site, 0.21) == []
    site.ring(job)
    turn(site, 0.21)
    turn(site, 0.21)  # nothing is due in it any more, so it is not looked at again

    assert parts(job) == ids(first)
    assert {lane} == {looked for looked, _ in looks}
    assert [site.ticks() - 0.21 * n for n in (4, 3, 2, 1)] == pytest.approx([at for _, at in looks])


def test_normal_and_bulk_share_a_window(site: Site) -> None:
    """Eight places: with six normal ones due, two of the bulk, the normal ones first."""
    site.share(2)  # two threads of four are free, two ids a doorbell: a window of eight
    bulk = [site.send(f"b{n}", f"b{n}", priority="bulk") for n in range(6)]
    normal = [site.send(f"n{n}", f"n{n}") for n in range(6)]

    offered = ids(turn(site))

    assert set(parts(*normal, *bulk[:2])) == set(offered)
    assert parts(*normal) == [part for part in offered if part in parts(*normal)]
    assert parts(normal[0]) == offered[:1]


def test_a_window_full_of_normal_parts_has_a_place_for_bulk(site: Site) -> None:
    """The tenth that is offered is bulk: else it would wait as long as anybody sends."""
    site.share(2)  # a window of eight
    for n in range(20):
        site.send(f"n{n}", f"n{n}")
    bulk = [site.send(f"b{n}", f"b{n}", priority="bulk") for n in range(3)]

    first = ids(turn(site))
    for part in first:
        site.sql("update worker_parts set state = 2 where id = :id", id=part)
    rings = turn(site, 0.3)
    second = ids(rings)

    assert (8, parts(bulk[0])) == (len(first), [part for part in [*first, *second] if part in parts(*bulk)])
    assert parts(bulk[0]) == second[1:2]
    assert {ring.bulk for ring in rings} == {False}, "bulk's own queue is emptied after theirs"


# -- accounts ---------------------------------------------------------------------------------------------------------


def many_lanes(site: Site, count: int, account: str, lanes: int, **options: Any) -> list[str]:
    """Jobs of an account, spread over lanes of their own."""
    jobs = [site.send(f"{account}{n}", f"u{n}", account=account, **options) for n in range(count)]
    for n, job in enumerate(jobs):
        site.sql("update worker_parts set lane = :lane where job_id = :job", job=job, lane=f"{account}:{n % lanes}")
    return jobs


def of_account(site: Site, rings: Sequence[Doorbell]) -> Counter[str]:
    return Counter(ring.lane.partition(":")[0] for ring in rings for _ in ring.ids)


def test_accounts_share_by_weight(site: Site) -> None:
    """Three times the weight, three times the window."""
    site.share(1, threads=10)
    site.relay = site.new_relay(lambda: "p1", weight={"hr": 3.0, "it": 1.0}.__getitem__)
    many_lanes(site, 30, "hr", 1)
    many_lanes(site, 30, "it", 1)

    assert of_account(site, turn(site)) == {"hr": 12, "it": 4}


@pytest.mark.fewer_databases("an account's share is decided in Python")
def test_an_account_with_many_lanes_does_not_push_out_one_with_one(site: Site) -> None:
    """Both have the same weight, so both have as many doorbells out, whatever lanes they come from; all lanes go."""
    site.share(1, threads=10)
    jobs = many_lanes(site, 60, "hr", 60)
    many_lanes(site, 30, "it", 1)

    first = turn(site)
    rounds = [first]
    for _ in range(40):
        site.sql("update worker_parts set state = 2 where offered_until is not null")
        rounds.append(turn(site, 0.3))

    assert of_account(site, first) == {"hr": 8, "it": 8}
    assert all(of_account(site, rings)["hr"] <= 16 for rings in rounds)
    assert set(parts(*jobs)) <= {part for rings in rounds for part in ids(rings)}


def test_urgent_of_a_full_account_does_not_wait(site: Site) -> None:
    """Its doorbells are out, in sixty lanes; an urgent part in yet another one goes at once."""
    site.share(1, threads=4)
    many_lanes(site, 60, "hr", 60)
    turn(site)
    [urgent] = many_lanes(site, 1, "hr", 1, priority="urgent")
    site.sql("update worker_parts set lane = 'hr:new' where job_id = :job", job=urgent)

    assert parts(urgent) == ids(turn(site, 0.05))


# -- queues ------------------------------------------------------------------------------------------------------------


def test_bulk_and_files_have_queues_of_their_own(site: Site) -> None:
    """Not what is urgent, and not a doorbell in which something normal is."""
    asked = [site.upload(), site.upload(PNG + b"x", priority="urgent"), site.send("bulk", priority="bulk"), site.card()]

    rings = {ring.ids[0]: (ring.urgent, ring.files, ring.bulk) for ring in turn(site)}

    expected = [(False, True, False), (True, False, False), (False, False, True), (False, False, False)]
    assert dict(zip(parts(*asked), expected, strict=True)) == rings


def others(site: Site, *queues: str, threads: int = 32, lanes: dict[str, list[int]] | None = None) -> None:
    """A living process that takes from these queues only."""
    told = {"threads": threads, "lanes": json.dumps(lanes or {}), "queues": queues}
    with site.database.writing() as connection:
        renew_heartbeat(connection, site.database.now, queues[0], lease_us=10 * SECOND, host="h", pid=1, **told)  # type: ignore[arg-type]


@pytest.mark.parametrize(("call_ms", "most"), [(20, 4), (20_000, 2)])
def test_a_hanging_lane_cannot_hold_the_threads_of_its_queue(site: Site, call_ms: int, most: int) -> None:
    """32 threads for urgent parts alone and four for all: a lane has no more doorbells out than two of four threads
    can have in work and behind them, and one that takes 20 s a call holds one thread."""
    jobs = [site.send(str(n), f"u{n}") for n in range(40)]
    lane = site.part(jobs[0]).lane
    others(site, "urgent", lanes={lane: [1, call_ms, 1_000]})

    assert most == sum(ring.calls for ring in turn(site))
    assert turn(site, 0.3) == []


@pytest.mark.parametrize("odd", ["{", "[]", '{"hr:1": 7}', '{"hr:1": [1]}', '{"hr:1": ["a", "b"]}', "[" * 100_000])
def test_a_heartbeat_that_cannot_be_read_stops_nobody(site: Site, odd: str) -> None:
    """A process of which nothing is known but that it lives."""
    with site.database.writing() as connection:
        about: dict[str, Any] = {"lease_us": 10**8, "threads": 4, "host": "h", "pid": 1, "unusable": odd}
        renew_heartbeat(connection, site.database.now, "odd", lanes=odd, **about)
    site.sql("update worker_processes set health = :odd where id = 'odd'", odd=odd)
    job = site.send()

    assert parts(job) == ids(turn(site))


def test_bulk_with_workers_of_its_own_has_their_threads(database: Database, driven_clock: DrivenClock) -> None:
    """Sixty doorbells of bulk alone for thirty threads; normal parts that join it have those of their own queue, and go
    beside it."""
    with planted(database, driven_clock, threads=4, queues=lambda: ["urgent", "normal"]) as site:
        site.share(1)
        bulk = [site.send(f"b{n}", f"u{n}", priority="bulk") for n in range(80)]
        others(site, "bulk")

        first = turn(site)
        card = site.card()
        second = turn(site, 0.1)
        others(site, "bulk")
        again = turn(site, 5)

    assert (len(ids(first)), {ring.bulk for ring in first}) == (60, {True})
    assert set(ids(first)) <= set(parts(*bulk))
    assert [(parts(card), False)] == [(list(ring.ids), ring.bulk) for ring in second]
    # Nobody took them: they go with the others now, as many as those have room for.
    assert {ring.bulk for ring in again} == {False}
    assert 0 < len(again) <= 5


def test_what_nobody_took_from_a_queue_of_its_own_goes_with_the_others(site: Site) -> None:
    """No worker empties that queue, or all are busy with others: after the offer's time it rings as normal."""
    upload, bulk = site.upload(), site.send("bulk", priority="bulk")
    turn(site)

    again = turn(site, 5.1)

    assert {part_id(upload, 0), part_id(bulk, 0)} == set(ids(again))
    assert {(ring.urgent, ring.files, ring.bulk) for ring in again} == {(False, False, False)}


def test_kinds_are_asked_once_a_lane(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """And for all new lanes of a turn together."""
    asked: list[int] = []
    ask = lane_offer.kind_of_lanes
    monkeypatch.setattr(lane_offer, "kind_of_lanes", lambda c, found: asked.append(len(found)) or ask(c, found))
    for _ in range(2):
        jobs = [site.send(), site.card(), site.send(account="it")]
        turn(site, 0.3)
        for job in jobs:
            site.ring(job)
        turn(site, 0.3)

    assert asked == [3]


# -- slow vendors -----------------------------------------------------------------------------------------------------


def slow_turn(site: Site) -> list[Doorbell]:
    """One turn after a heartbeat that tells how long calls take."""
    site.advance(1.1)
    site.runtime.lease.beat(site.runtime.lane_states.summary())
    return turn(site)


@pytest.mark.fewer_databases("a lane's share is decided in Python")
@pytest.mark.parametrize(("call_s", "bells"), [(5.0, 14), (1.0, 60)])
@pytest.mark.parametrize("priority", ["normal", "bulk"])
def test_a_slow_lane_has_no_more_threads_than_its_share(
    database: Database, driven_clock: DrivenClock, call_s: float, bells: int, priority: str
) -> None:
    """Each thread that takes a part makes room in the broker; its call in flight still counts, until it ends. Two for
    each of its seven, or thirty, threads.
    """
    with planted(database, driven_clock, threads=32) as site:
        for n in range(200):
            site.send(f"n{n}", f"u{n}", priority=priority)
        lane = site.rows("select lane from worker_parts limit 1")[0].lane
        site.runtime.lane_states.record_call(lane, call_s)
        site.runtime.lane_states.record_cycle(lane, call_s)
        taken: list[str] = []

        for _ in range(30):
            rung = ids(slow_turn(site))
            taken += rung
            for part in rung:
                site.sql("update worker_parts set state = 1 where id = :id", id=part)

        assert bells == len(taken)
        site.sql("update worker_parts set state = 2 where id = :id", id=taken[0])
        assert len(ids(slow_turn(site))) == 1


# -- pacing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minute", "second", "waits"), [(0, 0, True), (30, 59, True), (1, 0, False), (29, 59, False)])
def test_bulk_keeps_off_minutes_0_and_30(site: Site, minute: int, second: int, waits: bool) -> None:
    """As the vendor advises; it is due at random in the minutes after, and normal parts go at once."""
    site.relay = site.new_relay(lambda: "p1", pacing=Pacing(random.Random(1)))
    hour = 3_600 * SECOND
    site.clock.micros = site.clock.micros // hour * hour + (minute * 60 + second) * SECOND
    site.runtime.lease.beat()
    bulk = [site.send(f"b{n}", f"b{n}", priority="bulk") for n in range(6)]
    normal = site.send("normal")

    offered = ids([*turn(site), *turn(site), *turn(site)])

    start = site.clock.micros // (hour // 2) * (hour // 2)
    due = [site.part(job).not_before - start for job in bulk]
    assert set(parts(normal) if waits else parts(normal, *bulk)) == set(offered)
    if waits:
        assert all(60 * SECOND <= instant <= 300 * SECOND for instant in due)
        assert len(bulk) == len(set(due))
        site.advance(301)
        assert set(parts(*bulk)) <= set(ids([*turn(site), *turn(site, 0.3)]))


@pytest.mark.every_database
def test_bulk_that_the_broker_lost_keeps_off_minute_0_too(site: Site) -> None:
    """Put off like others of its kind when its offer is over, and new when it is due again."""
    site.relay = site.new_relay(lambda: "p1", pacing=Pacing(random.Random(1)))
    hour = 3_600 * SECOND
    site.clock.micros = site.clock.micros // hour * hour - 3 * SECOND
    site.runtime.lease.beat()
    job = site.send("bulk", priority="bulk")
    before = ids(turn(site))
    site.advance(6)
    in_minute_0 = ids([*turn(site), *turn(site)])
    part = site.part(job)
    site.advance(301)
    after = ids([*turn(site), *turn(site, 0.3)])

    assert (parts(job), [], parts(job)) == (before, in_minute_0, after)
    assert (part.offered_until, part.not_before >= site.clock.micros // hour * hour + 60 * SECOND) == (None, True)


@pytest.mark.parametrize(("seconds", "waits"), [(30, False), (359, False), (361, True)])
def test_bulk_that_would_end_first_goes_in_a_busy_minute(site: Site, seconds: int, waits: bool) -> None:
    """Nothing is lost for politeness: put off by at most five minutes, it needs one more to be sent in."""
    site.relay = site.new_relay(lambda: "p1", pacing=Pacing(random.Random(1)))
    site.clock.micros = site.clock.micros // (3_600 * SECOND) * 3_600 * SECOND
    site.runtime.lease.beat()
    job = site.send("bulk", priority="bulk", expires_at=timedelta(seconds=seconds))

    offered = ids([*turn(site), *turn(site)])

    assert ([] if waits else parts(job)) == offered


# -- the lease --------------------------------------------------------------------------------------------------------


def test_of_two_relays_one_is_active(site: Site) -> None:
    """The other one waits a second between its looks and offers nothing."""
    other = site.new_relay(lambda: "p2")
    site.relay.turn()
    site.send()
    site.advance(0.1)

    pause = other.turn()

    assert (site.relay.active, other.active, pause) == (True, False, 1.0)
    assert site.rings == []


def test_a_relay_that_is_gone_is_replaced_when_its_lease_has_run_out(site: Site) -> None:
    """Within ten seconds, not before; what it had left is offered by the new one."""
    other = site.new_relay(lambda: "p2")
    site.relay.turn()
    job = site.send()

    site.advance(10)
    other.turn()
    before = other.active
    site.advance(0.1)
    other.lead()
    other.full_scan()
    other.turn()

    assert (before, other.active) == (False, True)
    assert parts(job) == ids(site.rings)


# -- blocks and probes ------------------------------------------------------------------------------------------------


def block(site: Site, lane: str, delay: float, *, parked: bool = False) -> None:
    found = LaneBlock(lane, "send text", delay, "why", "do it" if parked else None, parked)
    with site.database.writing() as connection:
        change_lanes(connection, site.database.now, [found])


@pytest.mark.parametrize("account_wide", [False, True], ids=["lane", "account"])
def test_a_blocked_lane_is_skipped_and_others_go_on(site: Site, account_wide: bool) -> None:
    """No part of it is offered before its time; its parts are not touched."""
    job, other = site.send(), site.send(account="it")
    due = site.part(job).not_before
    block(site, "hr" if account_wide else site.part(job).lane, 60)

    during = ids(turn(site)) + ids(turn(site, 59))
    after = ids(turn(site, 2))

    assert parts(other) + parts(other) == during
    assert (parts(job), due) == (after, site.part(job).not_before)


def test_a_blocked_lane_is_offered_in_the_turn_after_its_block(site: Site) -> None:
    """At once, not when the walk over all lanes comes by."""
    jobs = [site.send(str(n)) for n in range(3)]
    lane = site.part(jobs[0]).lane
    site.relay.turn()
    site.rings.clear()
    site.sql("update worker_parts set offered_until = null")
    with site.database.writing() as connection:
        full = LaneBlock(lane, "send text", 30.0, "full", limit_name="app_day")
        change_lanes(connection, site.database.now, [full])
    site.ticks.advance(1)
    site.relay.turn()
    assert site.rings == []
    site.advance(5)
    site.send(account="it")  # newer than anything of the blocked lane: the walk by time is past that
    site.relay.turn()
    assert {account_of(ring.lane) for ring in site.rings} == {"it"}
    site.sql("update worker_parts set state = 8 where lane <> :lane", lane=lane)
    site.rings.clear()

    site.advance(24.9)
    site.relay.turn()
    assert site.rings == []
    site.advance(1.2)
    site.relay.turn()

    assert {lane} == {ring.lane for ring in site.rings}


def test_a_parked_lane_is_probed_with_one_job_an_interval(site: Site) -> None:
    """One id, marked as a probe; nothing else of the lane until the next interval."""
    jobs = [site.send(str(n), f"u{n}") for n in range(3)]
    block(site, site.part(jobs[0]).lane, 600, parked=True)

    rings = [turn(site), turn(site, 601), turn(site, 10), turn(site, 580), turn(site, 21)]

    assert [len(found) for found in rings] == [0, 1, 0, 0, 1]
    assert [(parts(jobs[0]), True)] * 2 == [(list(ring.ids), ring.probe) for found in rings for ring in found]


def test_a_parked_account_is_probed_through_one_of_its_lanes(site: Site) -> None:
    """Two lanes wait for the same person: one job tries, not one a lane."""
    text, card = site.send(), site.card()
    block(site, "hr", 600, parked=True)
    turn(site)

    rings = turn(site, 601)

    assert len(rings) == 1
    assert rings[0].probe
    assert ids(rings)[0] in parts(text, card)


def test_a_parked_lane_without_a_job_keeps_its_probe(site: Site, looks: list[tuple[str, float]]) -> None:
    """The probe is not spent on nothing: the next job that comes tries at once."""
    job = site.send()
    lane = site.part(job).lane
    site.relay.lead()
    site.relay.full_scan()  # finds the lane, which has nothing due by the time its head is read
    block(site, lane, 600, parked=True)
    site.sql("update worker_parts set not_before = :later", later=site.clock.micros + 700 * SECOND)

    nothing = turn(site, 601)
    looked = [one for one, _ in looks]

    assert ([], [lane]) == (nothing, looked)
    assert parts(job) == ids(turn(site, 100))


def test_lanes_that_filled_a_parked_account_keep_no_other_lane_from_being_its_probe(site: Site) -> None:
    """Their doorbells were put aside, and their jobs cancelled; the only job that is left comes later."""
    site.share(1, threads=4)
    many_lanes(site, 60, "hr", 60)
    turn(site)
    block(site, "hr", 600, parked=True)
    site.sql("update worker_parts set state = 8")
    [job] = many_lanes(site, 1, "hr", 1)
    site.sql("update worker_parts set lane = 'hr:new' where job_id = :job", job=job)

    assert parts(job) == ids([*turn(site, 601), *turn(site, 1)])


def test_the_times_are_settings() -> None:
    """Every wait of the relay has a name."""
    times, settings = RelayTimes(), DeliverySettings()

    assert (times.shortest_poll_s, times.poll_s, times.longest_poll_s, times.round_s) == (0.01, 0.02, 0.28, 1.0)
    assert (settings.lease_s, settings.republish_after_s, settings.offer_max_s) == (10.0, 5.0, 60.0)


def test_accounts_that_have_their_share_out_keep_no_other_from_being_looked_at(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn looks at one lane only, and a full account's waiting lanes stand before the other's."""
    monkeypatch.setattr("worker.delivery.scheduler.relay.MAX_LANES", 1)
    site.share(1, threads=4)
    many_lanes(site, 30, "hr", 30)
    for _ in range(8):
        turn(site)
    [other] = many_lanes(site, 1, "it", 1)

    assert parts(other) == ids([*turn(site, 0.02), *turn(site, 0.02)])
