"""One doorbell with several calls in flight."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from rig.stack import LIMIT_S, until
from tests.support.runtime import ScriptedVendor, Site, Ticks, planted
from tests.support.scripted_transport import ScriptedTransport
from worker.delivery.sender import attempt, doorbell_sender
from worker.delivery.sender.in_flight import InFlight
from worker.delivery.sender.prepare import render
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.slots import CallSlots
from worker.domain.call import Request
from worker.domain.job import part_id
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import JobPart, load_parts
from worker.transport.pending_call import PendingCall

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def ticks() -> Ticks:
    """The process's clock."""
    return Ticks()


SOON_S = LIMIT_S / 5
"""Seconds for what does not wait: less than a doorbell does in these tests."""
Picks = Callable[[list[PendingCall]], list[PendingCall]]


class Airspace(ScriptedTransport):
    """Calls stay in flight until somebody waits: then one ends, the oldest unless told otherwise."""

    def __init__(self, vendor: ScriptedVendor) -> None:
        super().__init__(vendor)
        self.picks: Picks = lambda calls: calls[:1]
        self.in_flight: list[int] = []
        """How many calls were in flight at each wait."""

    def await_any(self, calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
        """One call; none ends while another slot is free."""
        self.in_flight.append(len(calls))
        return [] if timeout_s is not None else self.picks(list(calls))


@contextmanager
def together(database: Database, clock: DrivenClock, **settings: Any) -> Iterator[tuple[Site, Airspace]]:
    """A site whose calls stay in flight."""
    vendor = ScriptedVendor()
    air = Airspace(vendor)
    with planted(database, clock, transport=air, **settings) as site:
        site.vendor = vendor
        yield site, air


def texts(site: Site, number: int) -> list[str]:
    """Jobs of one lane."""
    return [site.send(f"text {n}", f"u{n}") for n in range(number)]


def batches_of_marks(site: Site) -> list[int]:
    """How many calls are marked together, from now on."""
    sizes, mark = [], site.runtime.writer.mark

    def noted(marks: Any) -> Any:
        sizes.append(len(marks))
        return mark(marks)

    site.runtime.writer.mark = noted  # type: ignore[method-assign]
    return sizes


def test_as_many_are_in_flight_as_the_doorbell_says(database: Database, driven_clock: DrivenClock) -> None:
    """Four at once; the next go together when half of the slots are free, and each is called once."""
    with together(database, driven_clock) as (site, air):
        jobs, marks = texts(site, 10), batches_of_marks(site)
        site.runtime.lane_states.record_cycle(site.part(jobs[0]).lane, 0.01)

        assert site.ring(*jobs, calls=4) == 10

        assert {site.state(job) for job in jobs} == {"accepted"}
        assert (max(air.in_flight), len(site.calls())) == (4, 10)
        assert marks[0] == 4
        assert 10 == sum(marks) > len(marks)
        assert site.runtime.lane_states.in_flight() == 0
        assert air.open == 0


def test_one_that_hangs_holds_its_own_slot_alone(database: Database, driven_clock: DrivenClock) -> None:
    """The first call ends last, and the nine behind it do not wait for it."""
    with together(database, driven_clock) as (site, air):
        jobs, ended, begun = texts(site, 10), [], []

        def all_but_the_first(calls: list[PendingCall]) -> list[PendingCall]:
            begun.append(calls[0])
            first = begun[0]
            ended.append(len(site.rows("select 1 from worker_attempts where outcome is not null")))
            return [call for call in calls if call is not first][:1] or [first]

        air.picks = all_but_the_first
        site.ring(*jobs, calls=3)

        assert {site.state(job) for job in jobs} == {"accepted"}
        assert len(ended) == 10


def test_a_bound_of_the_lane_holds_for_one_thread_too(database: Database, driven_clock: DrivenClock) -> None:
    """Two calls in flight at most, whatever the doorbell says; what has no room is left."""
    with together(database, driven_clock) as (site, air):
        jobs = texts(site, 6)
        site.sql(
            "insert into worker_lanes (lane, account, label, blocked_until, reason, parked, blocked_at, calls)"
            " values (:lane, 'hr', 'send text', 0, '', false, 0, 2)",
            lane=site.part(jobs[0]).lane,
        )

        made = site.ring(*jobs, calls=6)

        assert max(air.in_flight) == 2
        assert made == [site.state(job) for job in jobs].count("accepted")
        assert {"accepted", "queued"} >= {site.state(job) for job in jobs}


def test_an_error_of_ours_ends_its_own_part_alone(database: Database, driven_clock: DrivenClock) -> None:
    """One answer cannot be read: its part is in doubt, and those that were in flight beside it are recorded."""
    with together(database, driven_clock) as (site, air):
        jobs, channel = texts(site, 3), site.runtime.channel("wecom_app")
        bad = f"{jobs[0]}-0"

        class Broken:
            def __getattr__(self, name: str) -> Any:
                return getattr(channel, name)

            def outcome(self, part: Any, *given: Any) -> Any:
                if part.id == bad:
                    raise RuntimeError("cannot read")
                return channel.outcome(part, *given)

        site.runtime.channel = lambda name: Broken()  # type: ignore[assignment,return-value]
        air.picks = lambda calls: calls
        with pytest.raises(RuntimeError):
            site.ring(*jobs, calls=3)
        site.settle()

        assert sorted((site.state(job) for job in jobs), reverse=True) == ["unknown", "accepted", "accepted"]
        assert (site.runtime.lane_states.in_flight(), air.open) == (0, 0)


def test_none_stays_in_flight_when_waiting_fails(database: Database, driven_clock: DrivenClock) -> None:
    """Then every call waits for itself, and is recorded."""
    with together(database, driven_clock) as (site, air):
        jobs = texts(site, 3)

        def fails(calls: list[PendingCall]) -> list[PendingCall]:
            raise OSError("too many files")

        air.picks = fails
        with pytest.raises(OSError, match="too many"):
            site.ring(*jobs, calls=3)
        site.settle()

        assert [site.state(job) for job in jobs] == ["accepted"] * 3
        assert site.runtime.lane_states.in_flight() == 0


def test_a_call_that_cannot_begin_is_in_doubt_and_not_in_flight(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three raises as it begins: the two beside it, which were marked, are called and land."""
    with together(database, driven_clock) as (site, air):
        jobs, made = texts(site, 3), ScriptedTransport._call

        def call(transport: ScriptedTransport, request: Request, deadline: float | None) -> Any:
            result = made(transport, request, deadline)
            if len(site.calls()) == 2:
                raise RuntimeError("no socket")
            return result

        monkeypatch.setattr(ScriptedTransport, "_call", call)
        with pytest.raises(RuntimeError):
            site.ring(*jobs, calls=3)
        site.settle()

        assert sorted(site.state(job) for job in jobs) == ["accepted", "accepted", "unknown"]
        assert (site.runtime.lane_states.in_flight(), air.open) == (0, 0)


def test_a_process_has_as_many_calls_in_flight_as_threads(database: Database, driven_clock: DrivenClock) -> None:
    """A doorbell that may make eight calls at once gets the two slots that there are."""
    with together(database, driven_clock, threads=2) as (site, air):
        site.ring(*texts(site, 6), calls=8)

        assert max(air.in_flight) == 2


def test_a_doorbell_without_a_slot_goes_before_those_that_want_more() -> None:
    """All three are taken: whoever has some gets none of what is freed while another one waits for its first."""
    slots = CallSlots(3)
    assert (slots.take_first("hr:1", 6, 0), slots.take_more(5), slots.take_first("hr:2", 1, 0)) == (1, 2, 0)

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(slots.take_first, "hr:2", 3, LIMIT_S)
        until(lambda: slots.has_waiting, "the second doorbell waits")
        assert slots.take_more(5) == 0
        slots.give_back(1)
        assert second.result(LIMIT_S) == 1

    slots.give_back(2)
    assert (slots.take_more(5), slots.take_first("hr:3", 1, 0)) == (2, 0)


def test_doorbells_of_a_lane_take_turns_where_slots_are_short() -> None:
    """The second waits although slots are free, in which the first would begin; a third waits behind it."""
    slots = CallSlots(8)
    assert (slots.take_first("hr:1", 6, 0), slots.take_more(5)) == (1, 5)

    with ThreadPoolExecutor(3) as pool:
        second = pool.submit(slots.take_first, "hr:1", 4, LIMIT_S)
        until(lambda: len(slots._waiting) == 1, "the second waits")
        third = pool.submit(slots.take_first, "hr:1", 6, LIMIT_S)
        until(lambda: len(slots._waiting) == 2, "the third waits")
        assert not slots.has_waiting, "nobody gives a slot up for it"
        other = pool.submit(slots.take_first, "hr:2", 8, LIMIT_S)
        assert other.result(SOON_S) == 1, "another lane's does not wait behind them"
        assert slots.take_more(1) == 1
        slots.stop_starting("hr:1", 6)
        assert [slots._is_turn(one) for one in slots._waiting] == [True, False]
        slots.give_back(2)
        assert second.result(SOON_S) == 1
        # There is another slot, but it is not its turn.
        assert (slots._free, slots.has_waiting) == (1, False)
        slots.stop_starting("hr:1", 4)
        assert third.result(SOON_S) == 1


@pytest.mark.parametrize(("wanted", "urgent", "patience_s"), [(3, False, LIMIT_S), (6, True, LIMIT_S), (6, False, 0)])
def test_a_doorbell_that_leaves_the_first_its_slots_takes_no_turn(wanted: int, urgent: bool, patience_s: float) -> None:
    """Both find what they want, but for an eighth; or it is urgent; or it waited long enough. Alone it may want any."""
    slots = CallSlots(8)

    with ThreadPoolExecutor(1) as pool:
        assert slots.take_first("hr:1", 6, 0) == 1
        assert pool.submit(slots.take_first, "hr:1", wanted, patience_s, urgent=urgent).result(SOON_S) == 1
        slots.stop_starting("hr:1", 6)
        slots.stop_starting("hr:1", wanted)
        assert pool.submit(slots.take_first, "hr:1", 12, LIMIT_S).result(SOON_S) == 1


@pytest.mark.fewer_databases("what two threads of one process share is not in the database")
@pytest.mark.parametrize("priority", ["urgent", "normal"])
def test_a_second_doorbell_waits_until_the_first_lands_a_call_or_begins_its_last(
    sqlite_database: Database, driven_clock: DrivenClock, priority: str
) -> None:
    """The first has both slots. It gives one up for urgent parts when its first call has landed, although it has more
    to do; others of its lane go behind all of its own.
    """
    with together(sqlite_database, driven_clock, threads=2, doorbell_s=LIMIT_S) as (site, air):
        jobs, slots = texts(site, 6), site.bell._slots
        other = site.send("other", "u9", priority=priority)
        begun, may_land, counts = threading.Event(), threading.Event(), list[int]()

        def one_at_a_time(calls: list[PendingCall]) -> list[PendingCall]:
            begun.set()
            counts.append(site.runtime.lane_states.in_flight())
            may_land.wait(LIMIT_S)
            if priority == "urgent" and len(counts) > 1:
                # However late the thread of the second wakes up, the slot that was given up is its own.
                until(lambda: [body for body in site.bodies() if body["text"]["content"] == "other"], "it has a slot")
            return calls[:1]

        air.picks = one_at_a_time
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(site.ring, *jobs, calls=2)
            begun.wait(LIMIT_S)
            second = pool.submit(site.ring, other)
            until(lambda: slots._waiting, "the second doorbell waits")
            assert (priority == "urgent", "queued") == (slots.has_waiting, site.state(other))
            may_land.set()
            assert (first.result(LIMIT_S), second.result(LIMIT_S)) == (6, 1)

        assert max(counts) == 2
        assert {site.state(job) for job in [*jobs, other]} == {"accepted"}
        assert (priority == "normal") == (site.bodies()[-1]["text"]["content"] == "other")


def test_a_doorbell_that_gets_no_slot_leaves_its_parts(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every slot is taken by calls that hang: it waits once, and its parts are offered again, perhaps elsewhere."""
    with together(database, driven_clock, threads=1, doorbell_s=1e-6) as (site, _air):
        jobs, slots = texts(site, 2), site.bell._slots
        assert slots.take_first("hr:1", 1, 0) == 1
        waits, first = list[float](), slots.take_first

        def noted(lane: str, wanted: int, patience_s: float, **more: bool) -> int:
            waits.append(patience_s)
            return first(lane, wanted, patience_s, **more)

        monkeypatch.setattr(slots, "take_first", noted)
        assert site.ring(*jobs, calls=2) == 0
        assert [attempt.FIRST_SLOT_PATIENCE * 1e-6] == waits
        assert [site.state(job) for job in jobs] == ["queued", "queued"]
        slots.give_back(1)
        assert site.ring(*jobs, calls=2) == 2


def test_a_slot_is_given_up_only_for_a_call_that_has_landed(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another doorbell waits all the time, also while this one waits in vain for calls to land."""
    monkeypatch.setattr(CallSlots, "has_waiting", True)
    with together(database, driven_clock, threads=4) as (site, air):
        jobs, slots, freed = texts(site, 12), site.bell._slots, list[int]()
        site.runtime.lane_states.record_cycle(site.part(jobs[0]).lane, 0.4)
        monkeypatch.setattr(slots, "give_back", lambda few, free=slots.give_back: (freed.append(few), free(few)))

        site.ring(*jobs, calls=4)

        assert min(freed) == 0
        assert (max(air.in_flight), slots.take_first("hr:1", 1, 0) + slots.take_more(9)) == (4, 4)
        assert {site.state(job) for job in jobs} == {"accepted"}


def test_a_doorbell_that_prepares_holds_one_slot_beside_its_calls(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a part needs may take seconds: others have the rest, and calls that have ended are recorded meanwhile."""
    with together(database, driven_clock, threads=4, doorbell_s=60) as (site, air):
        jobs, slots, held = texts(site, 12), site.bell._slots, list[tuple[int, int]]()
        site.runtime.lane_states.record_cycle(site.part(jobs[0]).lane, 0.4)
        waits = air.await_any

        def await_any(calls: Collection[PendingCall], timeout_s: float | None = None) -> list[PendingCall]:
            return list(calls)[:1] if timeout_s == 0 else waits(calls, timeout_s)

        def takes_long(runtime: Runtime, flight: InFlight) -> None:
            render(runtime, flight)
            site.ticks.advance(1)
            free = slots.take_more(9)
            slots.give_back(free)
            held.append((4 - free, site.runtime.lane_states.in_flight()))

        monkeypatch.setattr(air, "await_any", await_any)
        monkeypatch.setattr(attempt, "render", takes_long)
        monkeypatch.setattr(site.bell, "_calls_ahead", lambda lane, slots: 4)
        site.ring(*jobs, calls=4)

        first, later = held[:4], held[4:]
        assert first == [(1, 0)] * 4
        assert {(1, 0), (2, 1)} < set(later)
        assert all(slots_held <= 1 + max(1, in_flight) for slots_held, in_flight in later)


def test_a_part_holds_its_slot_from_its_preparation_on(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doorbells are sized by it, so what precedes the connection counts."""
    with together(database, driven_clock) as (site, _air):
        job = site.send()

        def takes_long(runtime: Runtime, flight: InFlight) -> None:
            render(runtime, flight)
            site.ticks.advance(1)

        monkeypatch.setattr(attempt, "render", takes_long)
        site.ring(job)

        assert 1 <= site.runtime.lane_states.cycle_s(site.part(job).lane) < 2


def test_a_file_behind_a_url_is_fetched_with_no_call_in_flight(database: Database, driven_clock: DrivenClock) -> None:
    """It may take a minute, in which the answers of other calls would not be read."""
    with together(database, driven_clock) as (site, _air):
        job = site.send()
        with site.database.reading() as connection:
            [part] = load_parts(connection, site.database.now, [part_id(job, 0)])
        remote = replace(part, message={"files": {"image": {"url": "https://example.com/a.png"}}})

        assert [
            doorbell_sender._is_exclusive(one) for one in (part, remote, replace(remote, spec={"fetched": {}}))
        ] == [
            False,
            True,
            False,
        ]


def test_large_documents_are_sent_one_at_a_time(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may be megabytes in memory, whatever the doorbell says."""

    def load_large(*given: Any) -> list[JobPart]:
        return [replace(part, holds_bytes=True) for part in load_parts(*given)]

    with together(database, driven_clock) as (site, air):
        monkeypatch.setattr(doorbell_sender, "load_parts", load_large)
        jobs = texts(site, 4)

        site.ring(*jobs, calls=4)

        assert {site.state(job) for job in jobs} == {"accepted"}
        assert max(air.in_flight) == 1


def test_a_mark_has_its_end_although_another_was_refused(database: Database, driven_clock: DrivenClock) -> None:
    """The room of the refused one cannot be returned, the database being away: the marked one is queued again."""
    with together(database, driven_clock) as (site, _air):
        jobs, give_back = texts(site, 2), site.runtime.governor.give_back
        mark, away = site.runtime.writer.mark, [OSError("away")]

        def one_refused(marks: Any) -> Any:
            return [None, *mark(marks[1:])]

        def give_back_later(permits: Any) -> None:
            if away:
                raise away.pop()
            give_back(permits)

        site.runtime.writer.mark = one_refused  # type: ignore[method-assign]
        site.runtime.governor.give_back = give_back_later  # type: ignore[method-assign]
        with pytest.raises(OSError, match="away"):
            site.ring(*jobs, calls=2)
        site.settle()

        assert [(site.state(job), site.part(job).claim) for job in jobs] == [("queued", 0), ("queued", 1)]


def test_what_was_not_tried_does_not_wait_for_a_call_that_hangs(
    database: Database, driven_clock: DrivenClock, ticks: Ticks
) -> None:
    """The time of the doorbell is over while two calls are in flight: the others may be offered at once."""
    with together(database, driven_clock, ticks=ticks) as (site, air):
        jobs, left = texts(site, 8), []
        site.runtime.lane_states.record_cycle(site.part(jobs[0]).lane, 0.4)

        def late(calls: list[PendingCall]) -> list[PendingCall]:
            ticks.advance(3)
            free = "select 1 from worker_parts where state = 0 and coalesce(offered_until, 0) < 2000000000000000"
            left.append(len(site.rows(free)))
            return calls[:1]

        air.picks = late
        site.sql("update worker_parts set offered_until = 2000000000000000")
        site.ring(*jobs, calls=2)

        assert left == [0, 5, 5]
