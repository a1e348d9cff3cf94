"""What one process knows of its lanes without asking SQL."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.support.plant import Ticks
from worker.delivery import gates as gates_module
from worker.delivery.gates import YOUNG_S, Gates


def test_a_closed_lane_opens_by_itself() -> None:
    """Closed for so long, neither shorter nor longer; a shorter block does not open it earlier."""
    ticks = Ticks()
    gates = Gates(ticks)

    gates.close("hr:1", 60)
    gates.close("hr:1", 5)
    ticks.advance(59.9)
    before = gates.closed("hr:1")
    ticks.advance(0.2)

    assert (True, False) == (before, gates.closed("hr:1"))


def test_an_accounts_block_closes_all_its_lanes_and_no_others() -> None:
    """`hr` closes hr:1 and hr:2, not it:1; a lane closes itself alone."""
    gates = Gates(Ticks())

    gates.close("hr", 60)
    gates.close("it:1", 60)

    assert [True, True, True, False] == [gates.closed(lane) for lane in ("hr:1", "hr:2", "it:1", "it:2")]


def test_what_sql_says_is_taken_over() -> None:
    """Blocks of other processes close the gate, with the time they have to go."""
    ticks = Ticks()
    gates = Gates(ticks)

    gates.learn(["hr:1"], {"hr:1": 30_000_000})
    ticks.advance(29.9)

    assert gates.closed("hr:1")
    ticks.advance(0.2)
    assert not gates.closed("hr:1")


def test_a_block_that_sql_does_not_know_yet_is_kept() -> None:
    """Our own block may still be on its way into SQL: its not being there proves nothing."""
    ticks = Ticks()
    gates = Gates(ticks)
    gates.close("hr:1", 600)
    gates.close("hr:2", 600)

    ticks.advance(YOUNG_S - 0.1)
    gates.learn(["hr:1", "hr:2"], {"hr:2": 1_000_000})

    assert (True, True) == (gates.closed("hr:1"), gates.closed("hr:2"))
    ticks.advance(1.2)
    assert gates.closed("hr:2")


def test_a_block_that_was_lifted_or_shortened_in_sql_is_so_here() -> None:
    """Another process's probe or a person opened it: nobody waits on for a block that is gone."""
    ticks = Ticks()
    gates = Gates(ticks)
    gates.close("hr:1", 600)
    gates.close("hr:2", 600)

    ticks.advance(YOUNG_S)
    gates.learn(["hr:1", "hr:2"], {"hr:2": 2_000_000})
    lifted, shortened = gates.closed("hr:1"), gates.closed("hr:2")
    ticks.advance(2.1)

    assert (False, True, False) == (lifted, shortened, gates.closed("hr:2"))


def test_a_short_block_of_ours_that_is_over_does_not_hide_sqls_next_one() -> None:
    """Closed for a second, over, and blocked by another process before five seconds have passed."""
    ticks = Ticks()
    gates = Gates(ticks)
    gates.close("hr:1", 1)
    ticks.advance(2)
    gates.learn(["hr:1"])

    gates.learn(["hr:1"], {"hr:1": 60_000_000})

    assert gates.closed("hr:1")


def test_what_is_told_of_one_lane_leaves_the_others_as_they_are() -> None:
    """A doorbell asks about its own lane and account: of what others know it has heard nothing."""
    ticks = Ticks()
    gates = Gates(ticks)
    gates.learn(["hr:1", "hr:2"], {"hr:1": 60_000_000}, {"hr:1": 1, "hr:2": 2}, uneasy={"hr:1", "hr:2"})
    ticks.advance(YOUNG_S)

    gates.learn(["hr:2", "hr"])

    assert [True, False] == [gates.closed(lane) for lane in ("hr:1", "hr:2")]
    assert [True, False] == [gates.is_bound(lane) for lane in ("hr:1", "hr:2")]
    assert [("hr:1",), ()] == [gates.uneasy(lane) for lane in ("hr:1", "hr:2")]


def test_a_block_lifted_by_hand_opens_at_once() -> None:
    """A probe got through."""
    gates = Gates(Ticks())
    gates.close("hr:1", 600)

    gates.open("hr:1")
    gates.open("hr:1")

    assert not gates.closed("hr:1")


def test_failures_of_an_account_grow_to_a_minute_and_are_forgotten() -> None:
    """2, 4, ... 60 s with jitter between half and whole; one connection starts it over."""
    ticks, delays = Ticks(), []
    gates, rng = Gates(ticks), random.Random(1)

    for _ in range(12):
        delays.append(gates.failed("hr", rng) or 0.0)
        ticks.advance(60.0)
    gates.reached("hr")
    gates.reached("it")
    again = gates.failed("hr", rng)

    for count, delay in enumerate(delays, start=1):
        most = min(60.0, 2.0**count)
        assert most / 2 <= delay <= most
    assert again is not None
    assert again <= 2.0


def test_a_fault_that_many_threads_meet_at_once_is_one() -> None:
    """Sixteen threads could not connect in one instant: one of them blocks the account, for two seconds at most."""
    ticks = Ticks()
    gates, meet = Gates(ticks), threading.Barrier(16)

    def fail(seed: int) -> float | None:
        meet.wait(30)
        return gates.failed("hr", random.Random(seed))

    with ThreadPoolExecutor(16) as pool:
        delays = [delay for delay in pool.map(fail, range(16)) if delay is not None]
    closed = gates.closed("hr:1")
    ticks.advance(2.0)

    assert 1 == len(delays)
    assert (True, False) == (closed, gates.closed("hr:1"))


def test_calls_in_a_row_that_tell_of_an_ill_vendor_stop_this_process() -> None:
    """The third closes the lane, and its account nowhere; one that goes well in between starts the count over."""
    ticks = Ticks()
    gates = Gates(ticks)

    for name in ("hr:1", "hr:1", "hr:2", "hr"):
        gates.ailed(name, 3, 2.0)
    gates.well("hr:1")
    for _ in range(2):
        gates.ailed("hr:1", 3, 2.0)
    before = gates.closed("hr:1")
    gates.ailed("hr:1", 3, 2.0)
    closed = [gates.closed(lane) for lane in ("hr:1", "hr:2", "hr")]
    ticks.advance(2.0)

    assert (False, [True, False, False]) == (before, closed)
    assert not gates.closed("hr:1")


def test_calls_in_the_air_when_a_row_began_are_besides_those_that_stop_this_process() -> None:
    """Two are out when the first fails: their failures too are of that moment, and three more of later ones count."""
    gates, closed = Gates(Ticks()), []

    with gates.call("hr:1", 20), gates.call("hr:1", 20):
        gates.ailed("hr:1", 3, 2.0)
    for _ in range(4):
        gates.ailed("hr:1", 3, 2.0)
        closed.append(gates.closed("hr:1"))

    assert [False, False, False, True] == closed


def test_of_many_calls_in_the_air_sixteen_are_besides() -> None:
    """A hundred threads do not wait for a hundred failures, and five more, before they stop."""
    gates, failures = Gates(Ticks()), 0

    with ExitStack() as air:
        for _ in range(100):
            air.enter_context(gates.call("hr:1", 20))
        while not gates.closed("hr:1"):
            gates.ailed("hr:1", 5, 2.0)
            failures += 1

    assert 21 == failures


def test_a_row_of_a_lane_that_is_not_used_any_more_is_forgotten() -> None:
    """Two failures, a minute without a call, one more: no three in a row."""
    ticks = Ticks()
    gates = Gates(ticks)
    used(gates, "hr:1")
    gates.learn(["hr:1"], in_a_row={"hr:1": 2})
    for _ in range(2):
        gates.ailed("hr:1", 3, 2.0)
    ticks.advance(61)

    gates.summary()
    gates.ailed("hr:1", 3, 2.0)

    assert not gates.closed("hr:1")
    assert 0 == gates.in_a_row("hr:1")


def test_what_sql_counts_in_a_row_is_known_here() -> None:
    """Of a lane, and for all lanes of an account; until SQL says otherwise."""
    gates = Gates(Ticks())

    gates.learn(["hr:1", "hr", "it"], in_a_row={"hr:1": 3, "hr": 1, "it": 2})
    told = [gates.in_a_row(lane) for lane in ("hr:1", "hr:2", "it:1", "ext:1")]
    gates.learn(["hr:1", "hr"])

    assert [3, 1, 2, 0] == told
    assert 0 == gates.in_a_row("hr:1")


def test_the_summary_tells_calls_in_the_air_and_latency() -> None:
    """What a heartbeat carries: per lane the calls in the air, a call's and a part's whole way's time, in whole
    milliseconds, newest samples weighing a fifth."""
    gates = Gates(Ticks())

    gates.took("hr:1", 0.1)
    gates.took("hr:1", 0.2)
    gates.cycled("hr:1", 0.2)
    gates.cycled("hr:1", 0.7)
    with gates.call("hr:1", 20.0), gates.call("hr:2", 20.0):
        out = gates.in_the_air()
        summary = gates.summary()

    assert 2 == out
    assert [0.3, 0.1] == [pytest.approx(gates.cycle(lane)) for lane in ("hr:1", "hr:9")]
    assert {"hr:1": [1, 120, 300], "hr:2": [1, 0, 0]} == summary
    assert (0, 0.05) == (gates.in_the_air(), gates.latency("hr:9"))


def test_a_call_that_raises_is_not_counted_for_ever() -> None:
    """However a call ends, it is no longer in the air."""
    gates = Gates(Ticks())

    with pytest.raises(ZeroDivisionError), gates.call("hr:1", 20.0):
        _ = 1 / 0

    assert 0 == gates.in_the_air()


def test_the_last_deadline_of_a_call_is_known() -> None:
    """A drain waits for the longest call, an upload's deadline being as long as its file."""
    now = [100.0]
    gates = Gates(lambda: now[0])
    with gates.call("hr:1", 20.0), gates.call("hr:2", 90.0):
        now[0] += 30.0

    assert 60.0 == gates.longest_s()
    now[0] += 100.0
    assert 0.0 == gates.longest_s()


def test_a_lane_without_room_is_closed_but_not_stopped() -> None:
    """Whoever reserved before may go, unless something else stands in the way, too; also where SQL says it."""
    ticks = Ticks()
    gates = Gates(ticks)
    gates.close("hr:1", 60, used_up=True)
    gates.close("hr:2", 60, used_up=True)
    gates.close("hr:2", 5)

    assert [True, True] == [gates.closed("hr:1"), gates.closed("hr:2")]
    assert [False, True] == [gates.stopped("hr:1"), gates.stopped("hr:2")]
    ticks.advance(10)
    assert [False, False] == [gates.stopped("hr:1"), gates.stopped("hr:2")]
    told = {"hr:1": 60_000_000, "hr:3": 60_000_000, "it": 60_000_000}
    gates.learn(told, told, used_up={"hr:3"})
    assert [True, False, True] == [gates.stopped(lane) for lane in ("hr:1", "hr:3", "it:1")]
    gates.open("hr:1")
    assert not gates.stopped("hr:1")


# -- lanes that are not used any more ---------------------------------------------------------------------------------


def used(gates: Gates, lane: str) -> None:
    """One call of a lane that the vendor took."""
    gates.learn([lane], {}, {lane: 4}, uneasy={lane})
    with gates.call(lane, 20):
        gates.took(lane, 0.5)
    gates.cycled(lane, 0.7)
    gates.succeeded(lane)


def test_a_lane_that_is_not_used_for_a_minute_is_forgotten() -> None:
    """Lanes may be as many as chats: the heartbeat tells of those in use, and nothing is kept of the others."""
    ticks = Ticks()
    gates = Gates(ticks)
    used(gates, "hr:old")
    ticks.advance(30)
    used(gates, "hr:new")
    both = gates.summary()
    ticks.advance(31)

    assert {"hr:old": [0, 500, 700, 30], "hr:new": [0, 500, 700, 0]} == both
    assert {"hr:new": [0, 500, 700, 31]} == gates.summary()
    assert [-1, 0.5] == [gates.latency(lane, -1) for lane in ("hr:old", "hr:new")]
    assert [False, True] == [gates.is_bound(lane) for lane in ("hr:old", "hr:new")]
    assert [(), ("hr:new",)] == [gates.uneasy(lane) for lane in ("hr:old", "hr:new")]


def test_a_lane_counts_as_silent_no_earlier_than_it_is_forgotten() -> None:
    """A longer `silence_s` keeps the last success as long."""
    ticks = Ticks()
    gates = Gates(ticks, 300)
    used(gates, "hr:1")

    ticks.advance(299)

    assert {"hr:1": [0, 500, 700, 299]} == gates.summary()


def test_a_lane_with_a_call_in_the_air_or_a_block_is_not_forgotten() -> None:
    """An upload may take longer than a minute, and what stands on its account meanwhile is still noted."""
    ticks = Ticks()
    gates = Gates(ticks)
    with gates.call("hr:up", 600):
        gates.note("hr")
        gates.close("hr:no", 600)
        ticks.advance(90)

        assert {"hr:up": [1, 0, 0]} == gates.summary()
        assert ("hr",) == gates.uneasy("hr:up")
        assert gates.closed("hr:no")


def test_whether_an_account_is_full_does_not_cost_its_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked before every call: however many lanes the account has had, the same work."""
    gates = Gates(Ticks())
    for n in range(2_000):
        used(gates, f"hr:{n}")
    gates.learn(["hr"], {}, {"hr": 2})
    asked: list[str] = []
    account_of = gates_module.account_of
    monkeypatch.setattr(gates_module, "account_of", lambda lane: asked.append(lane) or account_of(lane))

    with gates.call("hr:1", 20), gates.call("hr:2", 20):
        asked.clear()
        full = gates.full("hr:3")

    assert (True, False) == (full, gates.full("hr:3"))
    assert 2 == len(asked)


def test_a_call_begins_while_a_heartbeat_is_put_together() -> None:
    """However many lanes it has to look at: the lock that every call takes is free meanwhile."""
    gates, began = Gates(Ticks()), threading.Event()

    def call() -> None:
        with gates.call("hr:2", 20):
            began.set()

    class Seconds(float):
        def __mul__(self, factor: float) -> float:
            threading.Thread(target=call, daemon=True).start()
            assert began.wait(30)
            return float(self) * factor

    used(gates, "hr:1")
    gates.took("hr:0", Seconds(0.5))

    assert [0, 500, 0] == gates.summary()["hr:0"]
