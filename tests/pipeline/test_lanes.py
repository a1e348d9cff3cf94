"""Blocks of lanes and accounts in SQL: which one wins, what stays parked, and the one probe."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.support.noise import plain
from tests.support.waiting import until_waiting
from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import (
    Feedback,
    LaneBlock,
    LaneChange,
    LaneRules,
    LaneState,
    Resume,
    SlowStart,
    with_accounts,
)
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes, change_lanes_at, claim_probe, read_lane_states, waiting_lanes

SECOND = 1_000_000


def a_block(delay: float, reason: str = "45009", lane: str = "hr:1", **fields: Any) -> LaneBlock:
    return LaneBlock(lane, "send text", delay, reason, **fields)


def a_parking(delay: float = 600.0, reason: str = "43012") -> LaneBlock:
    return a_block(delay, reason, remedy="configure it", parked=True)


def write(database: Database, *changes: LaneChange) -> None:
    database.run(lambda connection: change_lanes(connection, database.now, changes))


def row(database: Database, lane: str = "hr:1") -> SimpleNamespace:
    with database.reading() as connection:
        return row_in(connection, lane)


def row_in(connection: Connection, lane: str = "hr:1") -> SimpleNamespace:
    found = connection.execute(text("select * from worker_lanes where lane = :lane"), {"lane": lane}).mappings()
    return SimpleNamespace(**{name: plain(value) for name, value in found.one().items()})


def known(database: Database, *names: str) -> dict[str, LaneState]:
    """What is read of them, in microseconds from now."""
    with database.reading() as connection:
        return read_lane_states(connection, database.now, names or ("hr:1", "hr:2", "hr:3", "hr"), lambda: 0)


def parked(database: Database) -> set[str]:
    return {lane for lane, pace in known(database).items() if pace.parked}


def left(database: Database) -> dict[str, float]:
    return {lane: pace.blocked_until / SECOND for lane, pace in known(database).items() if pace.blocked_until > 0}


def test_lanes_that_wait_for_the_same_are_counted_together(database: Database) -> None:
    """Blocked for longer than a moment, parked, or held by a breaker; a lane alone is named."""
    block = a_block(60, "used up", "hr:0")
    write(
        database,
        *(a_block(60, block.reason, f"hr:{n}") for n in range(3)),
        a_block(0.5, "brief", "hr:9"),
        a_parking(),
        *(a_block(0, "refused", "it", failed=True) for _ in range(9)),
    )
    with database.reading() as connection:
        waiting = waiting_lanes(connection, database.now)

    assert sorted(
        (one.account, one.parked, one.broken, plain(one.reason), one.count, one.lane)
        for one in waiting
        if one.account == "hr"
    ) == [("hr", False, False, "used up", 2, None), ("hr", True, False, "43012", 1, "hr:1")]
    assert [(one.parked, one.broken, one.lane) for one in waiting if one.account == "it"] == [(False, True, "it")]


@pytest.mark.parametrize("fields", [{"parked": True}, {"failed": True}])
def test_a_remedy_that_is_longer_than_its_column_blocks_too(database: Database, fields: dict[str, bool]) -> None:
    """Such as one that holds the places of an error in the application's function for the secret of a proxy."""
    write(database, *5 * [a_block(60.0, remedy="read > " * 100, **fields)])

    assert ("read > " * 100)[:300] == row(database).remedy


@pytest.mark.parametrize("delays", [(60, 5), (5, 60)])
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_the_later_end_wins(
    database: Database, driven_clock: DrivenClock, delays: tuple[int, int], together: bool
) -> None:
    """In one batch or in two, in whichever order they come."""
    blocks = [a_block(delay, f"for {delay}") for delay in delays]

    for batch in [blocks] if together else [[block] for block in blocks]:
        write(database, *batch)

    assert left(database) == {"hr:1": 60.0}
    assert row(database).reason == "for 60"


@pytest.mark.parametrize("delay", [5, 3_600])
def test_a_passing_limit_does_not_lift_a_parking(database: Database, driven_clock: DrivenClock, delay: float) -> None:
    """The answer of a call that was in flight says "wait a little": the person is still needed."""
    write(database, a_parking())

    write(database, a_block(delay))

    found = row(database)
    assert (bool(found.parked), found.reason, found.remedy) == (True, "43012", "configure it")
    assert {"hr:1": max(600.0, delay)} == left(database)


def test_a_parking_whose_probe_is_due_survives_a_passing_limit(database: Database, driven_clock: DrivenClock) -> None:
    """A connection that failed meanwhile must not open the lane without a probe."""
    write(database, a_parking())
    driven_clock.advance(600)

    write(database, a_block(2, "no connection"))

    assert parked(database) == {"hr:1"}


def test_a_parking_takes_over_a_passing_limit(database: Database, driven_clock: DrivenClock) -> None:
    """The wider reason is the one people read, and the block lasts as long as the longer of the two."""
    write(database, a_block(3_600))

    write(database, a_parking())

    found = row(database)
    assert (bool(found.parked), found.reason) == (True, "43012")
    assert left(database) == {"hr:1": 3_600.0}


def test_an_old_block_says_nothing_any_more(database: Database, driven_clock: DrivenClock) -> None:
    """A new block after an old one's end is the new one alone."""
    write(database, a_block(3_600, "old"))
    driven_clock.advance(3_600)

    write(database, a_block(2, "new"))

    assert (row(database).reason, left(database)) == ("new", {"hr:1": 2.0})


def test_the_probe_is_taken_once_an_interval(database: Database, driven_clock: DrivenClock) -> None:
    """Not before the block has run out, then by one, then not before the next interval."""
    write(database, a_parking())

    def take() -> bool:
        return database.run(lambda connection: claim_probe(connection, database.now, "hr:1", 600 * SECOND))

    early = take()
    driven_clock.advance(600)
    accepted = [take(), take()]
    driven_clock.advance(600)

    assert (early, accepted, take()) == (False, [True, False], True)


def test_what_is_not_parked_has_no_probe(database: Database, driven_clock: DrivenClock) -> None:
    """A limit that ran out needs none, and an unknown lane has none."""
    write(database, a_block(1))
    driven_clock.advance(2)

    accepted = [
        database.run(lambda connection, lane=lane: claim_probe(connection, database.now, lane, SECOND))  # type: ignore[misc]
        for lane in ("hr:1", "hr:9")
    ]

    assert accepted == [False, False]


def test_a_person_frees_a_lane(database: Database, driven_clock: DrivenClock) -> None:
    """Free at once, and no longer parked."""
    write(database, a_parking(), a_block(60, lane="hr:2"))

    database.run(lambda connection: change_lanes(connection, database.now, [Resume("hr:1", "a person resumed it")]))

    assert parked(database) == set()
    assert left(database) == {"hr:2": 60.0}


def test_what_is_merely_used_up_is_told_apart(database: Database, driven_clock: DrivenClock) -> None:
    """From what the vendor said, and from what waits for a person."""
    blocks = [
        LaneBlock("hr:1", "send text", 60.0, "full", limit_name="app_day"),
        LaneBlock("hr:2", "send card", 60.0, "45009"),
        LaneBlock("hr:3", "recall", 60.0, "48002", parked=True),
    ]
    with database.writing() as connection:
        change_lanes(connection, database.now, blocks)
        change_lanes(connection, database.now, [LaneBlock("hr:3", "recall", 90.0, "full", limit_name="app_day")])

    found = known(database)

    assert {lane: pace.limit_name for lane, pace in found.items()} == {"hr:1": "app_day", "hr:2": None, "hr:3": None}


@pytest.mark.parametrize(
    "trouble",
    [a_block(0, "no answer", failed=True), a_block(60, penalty=Penalty.FREQUENCY)],
    ids=["a failure", "a step"],
)
def test_a_lane_that_may_call_is_told_of_while_its_trouble_counts(
    database: Database, driven_clock: DrivenClock, trouble: LaneBlock
) -> None:
    """Failures in a row, or how far its penalty went: the answer to its next call changes them."""
    write(database, trouble)
    driven_clock.advance(61)
    database.run(lambda connection: connection.execute(text("update worker_lanes set calls = null, parked = false")))

    assert list(known(database, "hr:1")) == ["hr:1"]


def test_only_what_was_asked_about_is_told(database: Database, driven_clock: DrivenClock) -> None:
    """A doorbell asks about two names, however many lanes are at work."""
    write(database, a_block(60), a_block(60, lane="hr:2"), a_block(60, lane="hr"))

    assert [set(known(database, *names)) for names in (("hr:2", "hr"), ("it:1",))] == [{"hr", "hr:2"}, set()]
    assert with_accounts(["hr:1.a", "hr", "it"]) == {"hr:1.a", "hr", "it"}


@pytest.mark.fewer_databases("the order is that of a list in memory")
def test_answers_of_one_commit_are_weighed_in_their_order(sqlite_database: Database) -> None:
    """Five that say the vendor is ill, each with a good one behind it: no two in a row, so nothing rests."""
    block = LaneBlock("hr:1", "send text", 0.0, "-1", failed=True)
    good = [Feedback(name, 1, accepted=True, final=True) for name in ("hr:1", "hr")]

    steps = sqlite_database.run(lambda c: change_lanes_at(c, 1_000_000, [block, *good] * 5, LaneRules(failures=2)))

    assert steps == []
    assert known(sqlite_database) == {}


@pytest.mark.fewer_databases("decided in memory, over rows that other tests write on each")
@pytest.mark.parametrize(("lanes", "rest"), [(["hr:1"] * 9, ["hr:1"]), (["hr:1", "hr:2", "hr:3"], ["hr"])])
def test_one_ill_lane_rests_alone_and_more_rest_their_account(
    sqlite_database: Database, lanes: list[str], rest: list[str]
) -> None:
    """Three in a row: nine of one lane are its own, three of three lanes are the account's."""
    blocks = [LaneBlock(lane, "send text", 0.0, "-1", failed=True, marked_at=1_000_000) for lane in lanes]

    steps = sqlite_database.run(lambda c: change_lanes_at(c, 1_000_000, blocks, LaneRules(failures=3)))

    assert rest == [step.lane for step in steps]


@pytest.mark.every_database
@pytest.mark.fewer_databases("two transactions that write at a time, which SQLite has not")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (a_block(4, penalty=Penalty.FREQUENCY), a_block(4, penalty=Penalty.FREQUENCY)),
        (a_parking(), SlowStart("hr:1")),
        (a_parking(), a_block(1, failed=True)),
    ],
    ids=["two 45009", "parked, then begun slowly", "parked, then failed"],
)
def test_two_processes_change_a_lane_that_has_no_row(
    server_database: Database, first: LaneBlock, second: LaneChange
) -> None:
    """The second one waits for the first one's row: it is blocked once, and what blocked it stays."""
    with ThreadPoolExecutor(1) as pool:
        with server_database.writing() as connection:
            change_lanes(connection, server_database.now, [first])
            blocked = row_in(connection)
            other = pool.submit(write, server_database, second)
            until_waiting(server_database)
        other.result(60)

    after = row(server_database)
    with server_database.reading() as connection:
        events = connection.execute(text("select count(*) from worker_lane_events")).scalar()
    assert (blocked.blocked_until, blocked.parked, blocked.step, 1) == (
        after.blocked_until,
        after.parked,
        after.step,
        events,
    )
