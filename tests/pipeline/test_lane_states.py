"""What one process knows of its lanes without asking SQL."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.runtime import Ticks
from worker.delivery.sender import lane_states as gates_module
from worker.delivery.sender.lane_states import YOUNG_S, LaneStates
from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import SECOND, Feedback, LaneBlock, LaneRules, LaneState, Resume, account_of


@contextmanager
def in_flight(lane_states: LaneStates, lane: str, deadline_s: float) -> Iterator[None]:
    """A call of the lane, as long as the block lasts."""
    lane_states.begin_call(lane, deadline_s)
    yield
    lane_states.end_call(lane)


def block(lane_states: LaneStates, lane: str, delay: float = 0.0, **fields: Any) -> None:
    """A call of the lane was refused or failed."""
    lane_states.apply(LaneBlock(lane, "send text", delay, "why", **fields))


def answer(lane_states: LaneStates, lane: str) -> None:
    """A call of the lane that was marked just now has been carried out."""
    for name in lane_states.needs_feedback(lane):
        lane_states.apply(Feedback(name, lane_states.clock(), accepted=True, final=True))


def learn(lane_states: LaneStates, *names: str, **paces: Any) -> None:
    """SQL says nothing of these lanes and accounts, but for the paces given as `hr_1={...}`, in seconds from now."""
    now, said = lane_states.clock(), dict[str, LaneState]()
    for name, fields in paces.items():
        lane = name.replace("_", ":")
        until = now + int(fields.pop("blocked_s", 0) * SECOND)
        said[lane] = LaneState(lane, account_of(lane), blocked_until=until, **fields)
    lane_states.update([*names, *said], said)


def test_a_closed_lane_opens_by_itself() -> None:
    """Closed for so long, neither shorter nor longer; a shorter block does not open it earlier."""
    ticks = Ticks()
    lane_states = LaneStates(ticks)

    block(lane_states, "hr:1", 60)
    block(lane_states, "hr:1", 5)
    ticks.advance(59.9)
    before = lane_states.is_closed("hr:1")
    ticks.advance(0.2)

    assert (before, lane_states.is_closed("hr:1")) == (True, False)


def test_an_accounts_block_closes_all_its_lanes_and_no_others() -> None:
    """`hr` closes hr:1 and hr:2, not it:1; a lane closes itself alone."""
    lane_states = LaneStates(Ticks())

    block(lane_states, "hr", 60)
    block(lane_states, "it:1", 60)

    assert [lane_states.is_closed(lane) for lane in ("hr:1", "hr:2", "it:1", "it:2")] == [True, True, True, False]


def test_a_block_that_sql_does_not_know_yet_is_kept() -> None:
    """Our own block may still be on its way into SQL: its not being there proves nothing."""
    ticks = Ticks()
    lane_states = LaneStates(ticks)
    block(lane_states, "hr:1", 600)
    block(lane_states, "hr:2", 600)

    ticks.advance(YOUNG_S - 0.1)
    learn(lane_states, "hr:1", hr_2={"blocked_s": 1})

    assert (lane_states.is_closed("hr:1"), lane_states.is_closed("hr:2")) == (True, True)
    ticks.advance(1.2)
    assert lane_states.is_closed("hr:2")


def test_a_block_that_was_lifted_or_shortened_in_sql_is_so_here() -> None:
    """Another process's probe or a person opened it: nobody waits on for a block that is gone."""
    ticks = Ticks()
    lane_states = LaneStates(ticks)
    block(lane_states, "hr:1", 600)
    block(lane_states, "hr:2", 600)

    ticks.advance(YOUNG_S)
    learn(lane_states, "hr:1", hr_2={"blocked_s": 2})
    lifted, shortened = lane_states.is_closed("hr:1"), lane_states.is_closed("hr:2")
    ticks.advance(2.1)

    assert (lifted, shortened, lane_states.is_closed("hr:2")) == (False, True, False)


def test_a_short_block_of_ours_that_is_over_does_not_hide_sqls_next_one() -> None:
    """Closed for a second, over, and blocked by another process before five seconds have passed."""
    ticks = Ticks()
    lane_states = LaneStates(ticks)
    block(lane_states, "hr:1", 1)
    ticks.advance(2)
    learn(lane_states, "hr:1")

    learn(lane_states, hr_1={"blocked_s": 60})

    assert lane_states.is_closed("hr:1")


def test_what_is_told_of_one_lane_leaves_the_others_as_they_are() -> None:
    """A doorbell asks about its own lane and account: of what others know it has heard nothing."""
    ticks = Ticks()
    lane_states = LaneStates(ticks)
    learn(lane_states, hr_1={"blocked_s": 60, "calls": 1}, hr_2={"calls": 2})
    ticks.advance(YOUNG_S)

    learn(lane_states, "hr:2", "hr")

    assert [lane_states.is_closed(lane) for lane in ("hr:1", "hr:2")] == [True, False]
    assert [lane_states.capacity(lane).calls for lane in ("hr:1", "hr:2")] == [0, None]
    assert [lane_states.needs_feedback(lane) for lane in ("hr:1", "hr:2")] == [("hr:1",), ()]


def test_failures_of_an_account_grow_to_a_minute_and_are_forgotten() -> None:
    """2, 4, ... 60 s with jitter between half and whole; one connection starts it over."""
    ticks, delays = Ticks(), []
    lane_states, rng = LaneStates(ticks), random.Random(1)

    for _ in range(12):
        delays.append(lane_states.record_unreachable("hr", rng) or 0.0)
        ticks.advance(60.0)
    lane_states.record_reached("hr")
    lane_states.record_reached("it")
    again = lane_states.record_unreachable("hr", rng)

    for count, delay in enumerate(delays, start=1):
        most = min(60.0, 2.0**count)
        assert most / 2 <= delay <= most
    assert again is not None
    assert again <= 2.0


def test_a_fault_that_many_threads_meet_at_once_is_one() -> None:
    """Sixteen threads could not connect in one instant: one of them stops the process, for two seconds at most."""
    ticks = Ticks()
    lane_states, meet = LaneStates(ticks), threading.Barrier(16)

    def fail(seed: int) -> float | None:
        meet.wait(120)
        return lane_states.record_unreachable("hr", random.Random(seed))

    with ThreadPoolExecutor(16) as pool:
        delays = [delay for delay in pool.map(fail, range(16)) if delay is not None]
    closed = lane_states.is_closed("hr:1")
    ticks.advance(2.0)

    assert len(delays) == 1
    assert (closed, lane_states.is_closed("hr:1")) == (True, False)


def test_calls_in_a_row_that_tell_of_an_ill_vendor_stop_this_process() -> None:
    """The third closes the lane, and its account nowhere; one that goes well in between starts the count over."""
    ticks = Ticks()
    lane_states = LaneStates(ticks, rules=LaneRules(failures=3))

    for name in ("hr:1", "hr:1", "it:2"):
        block(lane_states, name, failed=True)
    answer(lane_states, "hr:1")
    for _ in range(2):
        block(lane_states, "hr:1", failed=True)
    before = lane_states.is_closed("hr:1")
    block(lane_states, "hr:1", failed=True)
    closed = [lane_states.is_closed(lane) for lane in ("hr:1", "it:2", "hr")]
    ticks.advance(2.0)

    assert (before, closed) == (False, [True, False, False])
    assert not lane_states.is_closed("hr:1")
    assert lane_states.capacity("hr:1").calls == 1


def test_a_row_of_a_lane_that_is_not_used_any_more_is_forgotten() -> None:
    """Two failures, a minute without a call, one more: no three in a row."""
    ticks = Ticks()
    lane_states = LaneStates(ticks, rules=LaneRules(failures=3))
    used(lane_states, "hr:1")
    for _ in range(2):
        block(lane_states, "hr:1", failed=True)
    ticks.advance(61)

    lane_states.summary()
    block(lane_states, "hr:1", failed=True)

    assert not lane_states.is_closed("hr:1")
    assert lane_states.failures_in_a_row("hr:1") == 1


def test_what_sql_counts_in_a_row_is_known_here() -> None:
    """Of a lane, and for all lanes of an account; until SQL says otherwise."""
    lane_states = LaneStates(Ticks())

    learn(lane_states, hr_1={"failures": 3}, hr={"failures": 1}, it={"failures": 2})
    told = [lane_states.failures_in_a_row(lane) for lane in ("hr:1", "hr:2", "it:1", "ext:1")]
    learn(lane_states, "hr:1", "hr")

    assert told == [3, 1, 2, 0]
    assert lane_states.failures_in_a_row("hr:1") == 0


def test_a_failure_that_sql_does_not_have_yet_is_kept_beside_what_it_says() -> None:
    """Our own failure and another process's bound both count; later SQL alone does."""
    ticks = Ticks()
    lane_states = LaneStates(ticks)
    block(lane_states, "hr:1", failed=True)

    learn(lane_states, hr_1={"calls": 4})
    both = lane_states.failures_in_a_row("hr:1"), lane_states.capacity("hr:1").calls
    ticks.advance(YOUNG_S)
    learn(lane_states, "hr", hr_1={"calls": 8})

    assert (both, (lane_states.failures_in_a_row("hr:1"), lane_states.capacity("hr:1").calls)) == ((1, 4), (0, 8))


def test_a_penalty_and_its_end_are_known_before_sql_has_them() -> None:
    """45035: one call at a time at once; a person's word lifts a block, and the next answer is to tell SQL."""
    lane_states = LaneStates(Ticks())

    block(lane_states, "hr:1", 2.0, penalty=Penalty.SERIAL)
    closed = lane_states.is_closed("hr:1")
    lane_states.apply(Resume("hr:1", "a probe was accepted"))

    assert (closed, lane_states.is_closed("hr:1")) == (True, False)
    assert (lane_states.capacity("hr:1").calls, lane_states.needs_feedback("hr:1")) == (1, ("hr:1",))


def test_the_summary_tells_calls_in_flight_and_latency() -> None:
    """What a heartbeat carries: per lane the calls in flight, a call's and a part's whole way's time, in whole
    milliseconds, newest samples weighing a fifth."""
    lane_states = LaneStates(Ticks())

    lane_states.record_call("hr:1", 0.1)
    lane_states.record_call("hr:1", 0.2)
    lane_states.record_cycle("hr:1", 0.2)
    lane_states.record_cycle("hr:1", 0.7)
    with in_flight(lane_states, "hr:1", 20.0), in_flight(lane_states, "hr:2", 20.0):
        out = lane_states.in_flight()
        summary = lane_states.summary()

    assert out == 2
    assert [pytest.approx(lane_states.cycle_s(lane)) for lane in ("hr:1", "hr:9")] == [0.3, 0.1]
    assert summary == {"hr:1": [1, 120, 300, 0], "hr:2": [1, 0, 0, 0]}
    assert lane_states.in_flight() == 0


def test_the_last_deadline_of_a_call_is_known() -> None:
    """A drain waits for the longest call, an upload's deadline being as long as its file."""
    now = [100.0]
    lane_states = LaneStates(lambda: now[0])
    with in_flight(lane_states, "hr:1", 20.0), in_flight(lane_states, "hr:2", 90.0):
        now[0] += 30.0

    assert lane_states.until_last_deadline_s() == 60.0
    now[0] += 100.0
    assert lane_states.until_last_deadline_s() == 0.0


def test_a_lane_without_room_lets_calls_go_that_have_a_permit() -> None:
    """Whoever reserved before may go, unless something else stands in the way for longer; also where SQL says it."""
    ticks = Ticks()
    lane_states = LaneStates(ticks)
    block(lane_states, "hr:1", 60, limit_name="app_day")
    block(lane_states, "hr:2", 60, limit_name="app_day")
    block(lane_states, "hr:2", 90)

    def may_go(*lanes: str) -> list[bool]:
        return [lane_states.capacity(lane, has_permit=True).calls != 0 for lane in lanes]

    assert [lane_states.is_closed("hr:1"), lane_states.is_closed("hr:2")] == [True, True]
    assert may_go("hr:1", "hr:2") == [True, False]
    ticks.advance(90)
    assert may_go("hr:1", "hr:2") == [True, True]
    learn(lane_states, hr_1={"blocked_s": 60}, hr_3={"blocked_s": 60, "limit_name": "app_day"}, it={"blocked_s": 60})
    assert may_go("hr:1", "hr:3", "it:1") == [False, True, False]
    lane_states.unblock("hr:1")
    assert may_go("hr:1") == [True]


def test_each_call_in_flight_takes_from_the_bound_of_its_lane() -> None:
    """The vendor has refused more of them at a time."""
    lane_states = LaneStates(Ticks())
    learn(lane_states, hr_1={"calls": 3})

    with in_flight(lane_states, "hr:1", 20), in_flight(lane_states, "hr:1", 20):
        during = lane_states.capacity("hr:1").calls

    assert (during, lane_states.capacity("hr:1").calls) == (1, 3)


# -- lanes that are not used any more ---------------------------------------------------------------------------------


def used(lane_states: LaneStates, lane: str) -> None:
    """One call of a lane that the vendor took."""
    lane_states.update([lane], {lane: LaneState(lane, account_of(lane), calls=4)})
    with in_flight(lane_states, lane, 20):
        lane_states.record_call(lane, 0.5)
    lane_states.record_cycle(lane, 0.7)
    lane_states.record_success(lane)


def test_a_lane_that_is_not_used_for_a_minute_is_forgotten() -> None:
    """Lanes may be as many as chats: the heartbeat tells of those in use, and nothing is kept of the others."""
    ticks = Ticks()
    lane_states = LaneStates(ticks)
    used(lane_states, "hr:old")
    ticks.advance(30)
    used(lane_states, "hr:new")
    both = lane_states.summary()
    ticks.advance(31)

    assert both == {"hr:old": [0, 500, 700, 0, 30], "hr:new": [0, 500, 700, 0, 0]}
    assert lane_states.summary() == {"hr:new": [0, 500, 700, 0, 31]}
    assert [lane_states.capacity(lane).calls for lane in ("hr:old", "hr:new")] == [None, 4]
    assert [lane_states.needs_feedback(lane) for lane in ("hr:old", "hr:new")] == [(), ("hr:new",)]


def test_a_lane_counts_as_silent_no_earlier_than_it_is_forgotten() -> None:
    """A longer `cold_after_s` keeps the last success as long."""
    ticks = Ticks()
    lane_states = LaneStates(ticks, 300)
    used(lane_states, "hr:1")

    ticks.advance(299)

    assert lane_states.summary() == {"hr:1": [0, 500, 700, 0, 299]}


def test_a_lane_with_a_call_in_flight_or_a_block_is_not_forgotten() -> None:
    """An upload may take longer than a minute, and what stands on its account meanwhile is still noted."""
    ticks = Ticks()
    lane_states = LaneStates(ticks)
    with in_flight(lane_states, "hr:up", 600):
        block(lane_states, "hr", failed=True)
        block(lane_states, "hr:no", 600)
        ticks.advance(90)

        assert lane_states.summary() == {"hr:up": [1, 0, 0, 0]}
        assert lane_states.needs_feedback("hr:up") == ("hr",)
        assert lane_states.is_closed("hr:no")


def test_whether_an_account_is_full_does_not_cost_its_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked before every call: however many lanes the account has had, the same work."""
    lane_states = LaneStates(Ticks())
    for n in range(2_000):
        used(lane_states, f"hr:{n}")
    learn(lane_states, hr={"calls": 2})
    asked: list[str] = []
    account_of = gates_module.account_of
    monkeypatch.setattr(gates_module, "account_of", lambda lane: asked.append(lane) or account_of(lane))

    with in_flight(lane_states, "hr:1", 20), in_flight(lane_states, "hr:2", 20):
        asked.clear()
        full, looked_up = lane_states.capacity("hr:3").calls, len(asked)

    assert (full, lane_states.capacity("hr:3").calls) == (0, 2)
    assert looked_up == 1


def test_a_call_begins_while_a_heartbeat_is_put_together() -> None:
    """However many lanes it has to look at: the lock that every call takes is free meanwhile."""
    lane_states, began = LaneStates(Ticks()), threading.Event()

    def call() -> None:
        with in_flight(lane_states, "hr:2", 20):
            began.set()

    class Seconds(float):
        def __mul__(self, factor: float) -> float:
            threading.Thread(target=call, daemon=True).start()
            assert began.wait(120)
            return float(self) * factor

    used(lane_states, "hr:1")
    lane_states.record_call("hr:0", Seconds(0.5))

    assert lane_states.summary()["hr:0"] == [0, 500, 0, 0]
