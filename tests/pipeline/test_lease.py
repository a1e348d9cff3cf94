"""A process's incarnation and lease: who may act, when it stops by its own clock, and how it comes back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from tests.support.runtime import Ticks
from worker.delivery.sender.lane_states import LaneStates
from worker.delivery.sender.lease import Lease
from worker.outbox.engine.clock import DrivenClock, boot_clock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.processes import (
    ALL_QUEUES,
    end_lapsed_processes,
    end_processes,
    living_processes,
    recently_died,
)

SECOND = 1_000_000


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


def a_life(database: Database, clock: Callable[[], float]) -> Lease:
    numbers = count(1)
    return Lease(database, threads=4, clock=clock, new_id=lambda: f"p{next(numbers)}")


def processes(database: Database) -> list[SimpleNamespace]:
    with database.reading() as connection:
        rows = connection.execute(text("select * from worker_processes order by id")).mappings()
        return [SimpleNamespace(**row) for row in rows]


def test_nobody_acts_before_the_first_heartbeat(database: Database, ticks: Ticks) -> None:
    """A lease that was never taken allows nothing."""
    assert not a_life(database, ticks).may_act()


def test_a_heartbeat_tells_who_and_for_how_long(database: Database, driven_clock: DrivenClock, ticks: Ticks) -> None:
    """Ten seconds by the database's clock, with threads and lanes; the next one moves the same row."""
    lease = a_life(database, ticks)

    lease.beat()
    driven_clock.advance(3)
    lease.beat({"hr:1": [2, 40]})

    [row] = processes(database)
    assert ("p1", driven_clock.micros + 10 * SECOND, 4, '{"hr:1": [2, 40]}', None) == (
        row.id,
        row.alive_until,
        row.threads,
        row.lanes,
        row.ended_at,
    )


def test_a_heartbeat_tells_what_the_process_takes(database: Database, ticks: Ticks) -> None:
    """With each beat, for that may change; one of the release before tells nothing, and takes from all queues."""
    queues: list[str] | None = ["urgent", "hooks"]
    lease = Lease(database, threads=4, clock=ticks, new_id=lambda: "p1", queues=lambda: queues)

    def told() -> frozenset[str]:
        lease.beat()
        with database.reading() as connection:
            [process] = living_processes(connection, database.now)
        return process.queues

    first, queues = told(), []
    none, queues = told(), None

    assert (first, none, told()) == ({"urgent", "hooks"}, frozenset(), ALL_QUEUES)


def test_it_stops_by_its_own_clock_before_anybody_may_call_it_dead(database: Database, ticks: Ticks) -> None:
    """Nine of the ten seconds, counted from before the heartbeat: SQL's clock is not asked."""
    lease = a_life(database, ticks)
    lease.beat()

    ticks.advance(8.99)
    before = lease.may_act("p1")
    ticks.advance(0.01)

    assert (before, lease.may_act("p1")) == (True, False)


def test_a_slow_heartbeat_counts_from_its_start(database: Database, ticks: Ticks) -> None:
    """The renewal took five seconds: four are left, not nine."""
    lease = a_life(database, SlowClock(ticks, 5.0))
    lease.beat()

    ticks.advance(3.9)
    before = lease.may_act()
    ticks.advance(0.2)

    assert (before, lease.may_act()) == (True, False)


class SlowClock:
    """The first reading is followed by a pause: what a slow commit looks like."""

    def __init__(self, ticks: Ticks, pause_s: float) -> None:
        self._ticks, self._pause_s = ticks, pause_s

    def __call__(self) -> float:
        now = self._ticks()
        self._ticks.advance(self._pause_s)
        self._pause_s = 0.0
        return now


def test_after_a_lapse_it_comes_back_as_somebody_else(database: Database, ticks: Ticks) -> None:
    """The old incarnation may be called dead at any time; what it marked is not the new one's."""
    lease = a_life(database, ticks)
    lease.beat()
    ticks.advance(9.5)

    lease.beat()

    assert (lease.incarnation, lease.may_act("p2"), lease.may_act("p1")) == ("p2", True, False)
    assert [row.id for row in processes(database)] == ["p1", "p2"]


def told_of(database: Database) -> tuple[list[str], list[str]]:
    """The processes that are listed as living and as dead."""
    with database.reading() as connection:
        return [one.id for one in living_processes(connection, database.now)], [
            one.id for one in recently_died(connection, database.now)
        ]


@pytest.mark.parametrize("is_buried", [False, True], ids=["at once", "after others have called it dead"])
def test_who_was_cut_off_from_the_database_is_listed_as_living_with_its_next_heartbeat(
    database: Database, driven_clock: DrivenClock, ticks: Ticks, is_buried: bool
) -> None:
    """As long as it has run, and as nothing else: neither silent nor dead, though its old incarnation is."""
    lease = a_life(database, ticks)
    lease.beat()
    for clock in (driven_clock, ticks):
        clock.advance(28)
    if is_buried:
        database.run(lambda connection: end_lapsed_processes(connection, database.now, ["p1"]))
    away = told_of(database)

    lease.beat()
    back = told_of(database)
    database.run(lambda connection: end_lapsed_processes(connection, database.now, ["p1"]))

    assert (([], ["p1"]) if is_buried else (["p1"], [])) == away
    assert [back, told_of(database)] == [(["p2"], [])] * 2
    with database.reading() as connection:
        assert [one.age_s for one in living_processes(connection, database.now)] == [28.0]


def test_a_process_that_died_is_told_of_beside_its_successor_under_the_same_number(
    database: Database, driven_clock: DrivenClock, ticks: Ticks
) -> None:
    """As in a container that was killed and started again: host and number are those of before."""
    a_life(database, ticks).beat()
    driven_clock.advance(28)
    database.run(lambda connection: end_lapsed_processes(connection, database.now, ["p1"]))
    Lease(database, threads=4, clock=ticks, new_id=lambda: "next").beat()

    assert told_of(database) == (["next"], ["p1"])


def test_who_was_called_dead_while_it_renewed_comes_back_as_somebody_else(database: Database, ticks: Ticks) -> None:
    """The renewal's commit came too late: under the ended incarnation every mark would be doubted in flight."""
    lease = a_life(database, ticks)
    lease.beat()
    with database.writing() as connection:
        end_processes(connection, database.now, ["p1"])

    lease.beat()

    assert (lease.incarnation, lease.may_act("p2")) == ("p2", True)
    assert [row.id for row in processes(database) if row.ended_at is None] == ["p2"]


def test_a_process_found_dead_that_renewed_meanwhile_lives_on(
    database: Database, driven_clock: DrivenClock, ticks: Ticks
) -> None:
    """Between looking and burying it renewed: the burial finds it alive and leaves it."""
    lease = a_life(database, ticks)
    lease.beat()

    with database.writing() as connection:
        end_lapsed_processes(connection, database.now, ["p1"])
    alive = [row.id for row in processes(database) if row.ended_at is None]
    driven_clock.advance(10)
    with database.writing() as connection:
        end_lapsed_processes(connection, database.now, ["p1"])

    assert alive == ["p1"]
    assert [driven_clock.micros] == [row.ended_at for row in processes(database)]


def test_a_clean_end_is_an_end_at_once(database: Database, ticks: Ticks) -> None:
    """Nobody has to wait for the lease to run out, and nothing is marked any more."""
    lease = a_life(database, ticks)
    lease.beat()

    lease.end()

    assert not lease.may_act()
    with database.reading() as connection:
        assert living_processes(connection, database.now) == []


def test_a_heartbeat_after_the_end_brings_nobody_back(database: Database, ticks: Ticks) -> None:
    """Such as one that a slow machine kept back while the process ended: it would count as dead, and be told of."""
    lease = a_life(database, ticks)
    lease.beat()
    lease.end()

    lease.beat()

    assert not lease.may_act()
    with database.reading() as connection:
        assert living_processes(connection, database.now) == []


def test_the_clock_runs_on_while_the_machine_sleeps() -> None:
    """CLOCK_BOOTTIME where there is one: never behind the monotonic clock."""
    first, second = boot_clock(), boot_clock()

    assert 0 < first <= second


def test_a_heartbeat_is_as_long_as_the_lanes_in_use_are_many(database: Database, ticks: Ticks) -> None:
    """Of 100,000 chats in a day and 200 in the last minute it tells of 200: under 50 kB in the row, every 3 s."""
    lease, lane_states = a_life(database, ticks), LaneStates(ticks)
    for chats in (99_800, 200):
        ticks.advance(3_600)
        for n in range(chats):
            lane = f"message-push-of-the-sales-department:{chats:08x}{n:08x}"
            lane_states.record_call(lane, 0.123)
            lane_states.record_success(lane)

    lease.beat(lane_states.summary())

    [row] = processes(database)
    assert 10_000 < len(row.lanes.encode()) < 50_000
