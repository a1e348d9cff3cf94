"""What stands on a lane, and how it moves: penalties by evidence, the breaker, and starting again."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import (
    DAY,
    FREE,
    MAX_CALLS,
    SECOND,
    Capacity,
    Cause,
    Feedback,
    LaneBlock,
    LaneChange,
    LaneEvent,
    LaneEventKind,
    LaneRules,
    LaneState,
    LaneStatus,
    Resume,
    SlowStart,
    capacity_of,
    lane_status,
    next_midnight,
    next_state,
    strictest,
)

NOW = int(datetime(2026, 11, 20, 10, 0, tzinfo=UTC).timestamp()) * SECOND
"""18:00 in Shanghai: six hours until midnight there."""
RULES = LaneRules()
MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND


class Lane:
    """A lane to which one thing happens after the other."""

    def __init__(self, **fields: Any) -> None:
        self.state = LaneState("hr:1", "hr", "send text", **fields)

    def after(self, change: LaneChange, now: int, in_flight: int = 0) -> list[LaneEvent]:
        self.state, events = next_state(self.state, change, now, RULES, in_flight)
        return events


def a_block(penalty: Penalty | None = None, delay: float = 60.0, **fields: Any) -> LaneBlock:
    return LaneBlock("hr:1", "send text", delay, "why", penalty=penalty, **fields)


def struck(lane: Lane, now: int, marked_at: int | None = None) -> list[LaneEventKind]:
    block = a_block(Penalty.FREQUENCY, hint="h1", marked_at=marked_at)
    return [event.what for event in lane.after(block, now)]


def taken(lane: Lane, now: int, marked_at: int | None = None) -> list[LaneEventKind]:
    answer = Feedback("hr:1", now if marked_at is None else marked_at, accepted=True, final=True)
    return [event.what for event in lane.after(answer, now)]


def test_a_frequency_limit_is_found_by_evidence() -> None:
    """A minute; struck again, an hour; again, until midnight in Shanghai, and so every day."""
    lane, now, waits = Lane(), NOW, []

    for _ in range(4):
        assert struck(lane, now) == [LaneEventKind.THROTTLED]
        waits.append(lane.state.blocked_until - now)
        now = lane.state.blocked_until + SECOND

    midnight = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
    assert waits[:2] == [MINUTE, HOUR]
    assert int((midnight + timedelta(days=1)).timestamp()) * SECOND == lane.state.blocked_until
    assert waits[3] == DAY - SECOND


@pytest.mark.parametrize("hour", [0, 15, 16, 23])
def test_the_vendors_day_ends_at_midnight_in_shanghai(hour: int) -> None:
    """Which is 16:00 UTC; at that very instant the next day has begun."""
    now = datetime(2026, 11, 20, hour, tzinfo=UTC)

    ends = datetime(2026, 11, 20 if hour < 16 else 21, 16, tzinfo=UTC)

    assert int(ends.timestamp()) * SECOND == next_midnight(int(now.timestamp()) * SECOND)


def test_calls_that_were_in_flight_are_no_evidence() -> None:
    """Thirty answers of one storm are one step; those that were marked before the block ended, too."""
    lane = Lane()

    steps = [struck(lane, NOW + n, NOW - SECOND) for n in range(30)]
    late = struck(lane, NOW + 2 * MINUTE, NOW + MINUTE - 1)

    assert steps == [[LaneEventKind.THROTTLED], *[[]] * 29]
    assert late == []
    assert lane.state.step == 1
    assert lane.state.struck_until == NOW + MINUTE


def test_a_success_after_the_block_resets_the_steps() -> None:
    """The next strike waits a minute again. A success that had been in flight says nothing."""
    lane = Lane()
    struck(lane, NOW)

    before = taken(lane, NOW + SECOND, NOW - SECOND)
    stood = lane.state.step
    afterwards = taken(lane, NOW + MINUTE + SECOND)
    struck(lane, NOW + 2 * MINUTE)

    assert before == []
    assert stood == 1
    assert afterwards == [LaneEventKind.OVER]
    assert lane.state.blocked_until == NOW + 3 * MINUTE


@pytest.mark.parametrize(("step", "again_within"), [(1, HOUR), (2, DAY), (3, DAY)])
def test_again_means_within_the_time_that_the_next_block_lasts(step: int, again_within: int) -> None:
    """Counted from the end of the last one; later another window may be meant, and it begins with a minute."""
    soon, late = Lane(step=step, struck_until=NOW), Lane(step=step, struck_until=NOW)

    struck(soon, NOW + again_within - 1)
    struck(late, NOW + again_within)

    assert soon.state.step == min(step + 1, 3)
    assert late.state.step == 1


def test_a_seldom_used_lane_finds_its_window_too() -> None:
    """A message every three minutes, all refused: once a minute, once an hour, and then once a day."""
    lane, now, steps = Lane(), NOW, []

    for _ in range(400):  # for 20 hours
        if lane.state.blocked_until <= now:
            struck(lane, now)
            steps.append(lane.state.step)
        now += 3 * MINUTE

    assert steps == [1, 2, 3, 3]


def test_after_a_strike_one_call_tries() -> None:
    """And each success doubles them, one step for each round trip, until there is no bound."""
    lane, now, calls = Lane(), NOW, []
    struck(lane, NOW)

    first = lane.state.calls
    for _ in range(7):
        now = max(now, lane.state.changed_at) + SECOND
        taken(lane, now)
        taken(lane, now + 1, now - 1)  # it was in flight before the number grew
        calls.append(lane.state.calls)

    assert first == 1
    assert calls == [2, 4, 8, 16, 32, MAX_CALLS, None]
    assert lane.state.is_clear(now)


@pytest.mark.parametrize(("calls", "in_flight", "half"), [(None, 30, 15), (None, 0, 1), (8, 30, 4), (1, 1, 1)])
def test_too_many_in_parallel_halves_them(calls: int | None, in_flight: int, half: int) -> None:
    """Half of what may be in flight, else of what is; once for all that were in flight then."""
    lane = Lane(calls=calls)

    steps = lane.after(a_block(Penalty.PARALLEL, 2.0), NOW, in_flight)
    again = lane.after(a_block(Penalty.PARALLEL, 2.0, marked_at=NOW - 1), NOW + 1, in_flight)

    assert half == lane.state.calls
    assert {LaneEventKind.NARROWED} >= {step.what for step in steps}
    assert again == []


def test_a_narrowed_lane_recovers_with_time_and_success() -> None:
    """It doubles at most every ten seconds, and says when it is as wide as before."""
    lane = Lane()
    lane.after(a_block(Penalty.PARALLEL, 2.0), NOW, 64)

    soon = taken(lane, NOW + 9 * SECOND)
    stood = lane.state.calls
    then = taken(lane, NOW + 11 * SECOND)
    end = taken(lane, NOW + 22 * SECOND)

    assert soon == []
    assert stood == 32
    assert then == []
    assert end == [LaneEventKind.WIDE]
    assert lane.state.calls is None


def test_a_conflict_serialises() -> None:
    """One call at a time for a minute, then two; a second conflict is no second event."""
    lane = Lane()

    events = [lane.after(a_block(Penalty.SERIAL, 2.0), NOW + n, 30) for n in range(2)]
    taken(lane, NOW + MINUTE)
    one = lane.state.calls
    taken(lane, NOW + MINUTE + SECOND)

    assert [bool(event) for event in events] == [True, False]
    assert one == 1
    assert lane.state.calls == 2


def test_an_alarm_waits_and_is_told_once_for_all_in_flight() -> None:
    """45036: a minute, with a remedy for an operator; not parked, so it goes on by itself."""
    lane = Lane()

    [first] = lane.after(a_block(Penalty.ALARM, remedy="look"), NOW)
    second = lane.after(a_block(Penalty.ALARM, remedy="look", marked_at=NOW - 1), NOW + 1)

    assert (first.what, first.remedy, first.until) == (LaneEventKind.ALARM, "look", NOW + MINUTE)
    assert second == []
    assert not lane.state.parked
    assert lane.state.blocked_until == NOW + MINUTE


def failed(lane: Lane, now: int, marked_at: int | None = None) -> list[LaneEventKind]:
    return [event.what for event in lane.after(a_block(delay=0.0, failed=True, marked_at=marked_at), now)]


def test_calls_in_a_row_without_an_answer_open_the_breaker() -> None:
    """The fifth; four that an answer interrupts do not. It is one event, and then one call tries."""
    lane = Lane()
    four = [failed(lane, NOW + n) for n in range(4)]
    taken(lane, NOW + 4)

    five = [failed(lane, NOW + n) for n in range(5, 10)]

    assert four == [[]] * 4
    assert five == [*[[]] * 4, [LaneEventKind.OPENED]]
    assert (lane.state.blocked_until, lane.state.calls) == (NOW + 9 + 2 * SECOND, 1)


def test_calls_that_were_in_flight_when_a_row_began_do_not_open_the_breaker() -> None:
    """Many are out at once: ten that fail one after the other are one moment; the next one that begins says more."""
    lane = Lane()

    together = [failed(lane, NOW + n, NOW - 1) for n in range(10)]
    next_one = failed(lane, NOW + 10, NOW)

    assert together == [[]] * 10
    assert next_one == [LaneEventKind.OPENED]
    assert lane.state.failures == 5


def test_a_wait_that_is_asked_for_is_kept_whatever_it_counts() -> None:
    """A proxy's Retry-After, to a call that was in flight when the row began."""
    lane = Lane(failures=4, changed_at=NOW)

    lane.after(a_block(delay=30.0, failed=True, marked_at=NOW - 1), NOW)

    assert (lane.state.blocked_until, lane.state.failures) == (NOW + 30 * SECOND, 4)


def test_after_a_wait_that_a_proxy_asked_for_one_call_tries() -> None:
    """Each call that a proxy answers may be in doubt, so there is one at a time until the vendor answers."""
    lane = Lane()

    lane.after(a_block(delay=30.0, failed=True), NOW)
    asked_once = lane.state.calls
    taken(lane, NOW + 31 * SECOND)

    assert asked_once == 1
    assert lane.state.calls == 2
    assert lane.state.failures == 0


def test_waits_in_a_row_that_a_proxy_asked_for_open_the_breaker_too() -> None:
    """Each after the one before is over; the breaker stays open at least as long as the proxy asked for."""
    lane, told = Lane(), []

    for n in range(RULES.failures):
        told += lane.after(a_block(delay=30.0, failed=True), NOW + n * MINUTE)

    assert [event.what for event in told] == [LaneEventKind.OPENED]
    assert lane.state.blocked_until == NOW + (RULES.failures - 1) * MINUTE + 30 * SECOND


def test_a_block_says_what_a_new_lane_is_called() -> None:
    """A row that a slow start made has no name yet; one that has a name keeps it where the block has none."""
    lane = Lane()
    lane.state = replace(lane.state, label="")

    lane.after(a_block(), NOW)
    named = lane.state.label
    lane.after(replace(a_block(), label=""), NOW)

    assert [named, lane.state.label] == ["send text"] * 2


def test_a_lane_that_starts_needs_no_more_than_its_row() -> None:
    """Its bound says since when its calls count; few of them are out."""
    lane = Lane(calls=4, changed_at=NOW)

    five = [failed(lane, NOW + n, NOW) for n in range(1, 6)]

    assert five == [*[[]] * 4, [LaneEventKind.OPENED]]


def test_a_vendor_busy_to_every_third_call_is_not_left_alone() -> None:
    """Sixty-four calls in flight, ten thousand in all, each third by chance refused: the breaker never opens."""
    lane, rng, air = Lane(), random.Random(1), deque(range(64))

    for now in range(64, 10_064):
        marked_at = NOW + air.popleft()
        air.append(now)
        if rng.random() < 1 / 3:
            assert failed(lane, NOW + now, marked_at) == []
        else:
            taken(lane, NOW + now, marked_at)


def test_tries_that_one_fault_ended_count_once() -> None:
    """Whoever could not connect while the account waits for another such try began before it: one failure, no breaker.
    After the wait the next one counts.
    """
    lane, refused = Lane(), a_block(delay=1.5, failed=True)

    together = [lane.after(refused, NOW + n) for n in range(16)]
    counted = lane.state.failures
    lane.after(refused, lane.state.blocked_until)

    assert together == [[]] * 16
    assert counted == 1
    assert lane.state.failures == 2


def test_a_probe_that_fails_keeps_the_breaker_open_for_longer() -> None:
    """2, 4, ... 60 s, without an event each; what was in flight when it opened changes nothing."""
    lane, now, waits = Lane(failures=4), NOW, []
    failed(lane, NOW)
    late = failed(lane, NOW + SECOND, NOW - SECOND)

    for _ in range(7):
        waits.append((lane.state.blocked_until - now) // SECOND)
        now = lane.state.blocked_until
        assert failed(lane, now) == []

    assert late == []
    assert waits == [2, 4, 8, 16, 32, 60, 60]


def test_an_answer_to_the_probe_closes_the_breaker() -> None:
    """A refusal is an answer too; one of a call from before it opened is none."""
    lane = Lane(failures=4)
    failed(lane, NOW)

    before = lane.after(Feedback("hr", NOW - 1, accepted=True, final=True), NOW + 1)
    afterwards = lane.after(Feedback("hr", NOW + 2 * SECOND, accepted=False, final=False), NOW + 3 * SECOND)

    assert before == []
    assert [event.what for event in afterwards] == [LaneEventKind.CLOSED]
    assert (lane.state.failures, lane.state.calls) == (0, 1)


def test_a_person_lifts_a_parking_and_the_lane_starts_with_one_call() -> None:
    """Parked is one event, however many calls hear of it."""
    lane = Lane()
    parking = a_block(delay=600.0, parked=True, remedy="do it")

    events = [event for n in range(3) for event in lane.after(parking, NOW + n)]
    [told] = lane.after(Resume("hr:1", "a person resumed it"), NOW + 10)

    assert [event.what for event in events] == [LaneEventKind.PARKED]
    assert told.what == LaneEventKind.RESUMED
    assert not lane.state.parked
    assert lane.state.blocked_until == 0
    assert lane.state.calls == 1
    assert (lane.state.reason, lane.state.remedy, lane.state.hint) == ("", None, None)


@pytest.mark.parametrize("ends_penalty", [False, True])
def test_what_is_lifted_leaves_no_trace_of_its_block(ends_penalty: bool) -> None:
    """A person forgets the refusals before as well; who lifts a block for another reason does not."""
    lane = Lane()
    struck(lane, NOW)
    lane.after(a_block(delay=600.0, hint="h2", cause=Cause.CHAT, limit_name="app_day"), NOW)

    lane.after(Resume("hr:1", "it is a member again", Cause.CHAT, ends_penalty=ends_penalty), NOW + 10)

    state = LaneState("hr:1", "hr", "send text", calls=1, step=1, struck_until=NOW + 10, changed_at=NOW + 10)
    assert replace(state, step=0 if ends_penalty else 1, blocked_at=NOW) == lane.state


def test_a_block_that_is_over_is_not_lifted() -> None:
    """Else each answer of a person's would begin the lane anew."""
    lane = Lane()
    lane.after(a_block(delay=5.0), NOW)

    assert lane.after(Resume("hr:1", "a person resumed it"), NOW + 5 * SECOND) == []
    assert lane.state.calls is None


def test_a_limit_that_passes_is_no_event() -> None:
    """Our own limits block lanes all the time."""
    lane = Lane()

    assert lane.after(a_block(delay=5.0), NOW) == []
    assert lane.state.blocked_until == NOW + 5 * SECOND


def test_a_start_is_one_call_from_an_instant_on() -> None:
    """A success of a call that was marked before it does not double anything."""
    lane = Lane()
    lane.after(SlowStart("hr:1"), NOW)

    taken(lane, NOW + 1, NOW - 1)
    taken(lane, NOW + 1, NOW)

    assert lane.state.calls == 1


@pytest.mark.parametrize(
    "block", [a_block(Penalty.SERIAL, 0.0), a_block(Penalty.FREQUENCY)], ids=["narrowed", "blocked"]
)
def test_a_start_leaves_a_narrowed_or_blocked_lane_as_it_is(block: LaneBlock) -> None:
    """Its bound would grow too soon, and answers to calls from before the block's end would count."""
    lane = Lane()
    lane.after(block, NOW)
    before = lane.state

    lane.after(SlowStart("hr:1"), NOW + SECOND)

    assert before == lane.state


@pytest.mark.parametrize(("rest_s", "told"), [(0, []), (10, [LaneEventKind.WIDE])])
def test_a_bound_that_grew_to_its_end_goes_away(rest_s: int, told: list[LaneEventKind]) -> None:
    """That of a narrowed lane is told of; a slow start ends in silence. A row without a penalty is as if fresh."""
    lane = Lane(calls=MAX_CALLS, rest_s=rest_s, step=1, struck_until=NOW)

    events = taken(lane, NOW + HOUR)

    assert [LaneEventKind.OVER, *told] == events
    assert LaneState("hr:1", "hr", "send text", changed_at=NOW + HOUR) == lane.state


def test_a_narrowing_that_is_known_counts_from_the_last_refusal() -> None:
    """The bound grows some time after it; a refusal of a call from before the narrowing changes nothing."""
    lane = Lane()
    lane.after(a_block(Penalty.SERIAL, delay=0.0), NOW)
    lane.after(a_block(Penalty.SERIAL, delay=0.0, marked_at=NOW), NOW + 5 * SECOND)
    lane.after(a_block(Penalty.SERIAL, delay=0.0, marked_at=NOW - 1), NOW + 9 * SECOND)

    assert (lane.state.calls, lane.state.rest_s, lane.state.changed_at) == (1, 60, NOW + 5 * SECOND)


def a_pace(lane: str, blocked_s: int = 0, **fields: Any) -> LaneState:
    return LaneState(lane, "hr", blocked_until=NOW + blocked_s * SECOND, **fields)


@pytest.mark.parametrize("has_permit", [False, True])
@pytest.mark.parametrize(
    ("paces", "room"),
    [
        ([], FREE),
        ([(a_pace("hr:1", calls=4), 1), (a_pace("hr", calls=2), 1)], Capacity(1)),
        ([(a_pace("hr:1", calls=2), 5)], Capacity(0)),
        ([(a_pace("hr:1", 60, calls=2), 0), (a_pace("hr", 90), 0)], Capacity(0, NOW + 90 * SECOND)),
        ([(a_pace("hr:1", parked=True), 0)], Capacity(None, 0, ("hr:1",))),
        ([(a_pace("hr", 60, parked=True), 0)], Capacity(0, NOW + MINUTE, ("hr",))),
    ],
)
def test_what_may_begin_is_the_least_that_lane_and_account_leave(
    paces: list[tuple[LaneState, int]], room: Capacity, has_permit: bool
) -> None:
    """A block of either leaves nothing, a bound what is not in flight; a parking by itself waits for its probe."""
    assert room == capacity_of(paces, NOW, has_permit=has_permit)


def test_a_used_up_limit_blocks_calls_without_a_permit_alone() -> None:
    """The others have their room in it already."""
    paces = [(a_pace("hr:1", 60, limit_name="app_day"), 0)]

    assert capacity_of(paces, NOW).calls == 0
    assert capacity_of(paces, NOW, has_permit=True).calls is None


def test_of_two_paces_the_stricter_in_each_respect_counts() -> None:
    """What blocks longer says why; the smaller bound and the higher counts stand."""
    mine = a_pace("hr:1", 60, reason="45009", step=1, struck_until=7, calls=4, rest_s=10)
    theirs = a_pace("hr:1", 5, failures=2, calls=1, changed_at=9)
    parked = a_pace("hr:1", 5, reason="60020", parked=True)

    both, kept = strictest(mine, theirs), strictest(mine, parked)

    assert both == strictest(theirs, mine)
    assert both == replace(mine, calls=1, changed_at=9, failures=2)
    assert kept == replace(mine, reason="60020", parked=True)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"parked": True, "failures": 5, "blocked_until": NOW + 1}, LaneStatus.PARKED),
        ({"failures": 5, "blocked_until": NOW + 1, "calls": 1}, LaneStatus.BREAKER_OPEN),
        ({"failures": 5, "blocked_until": NOW, "calls": 1}, LaneStatus.BREAKER_HALF_OPEN),
        ({"failures": 4, "blocked_until": NOW + 1, "calls": 1}, LaneStatus.BLOCKED),
        ({"failures": 4}, LaneStatus.WATCHED),
        ({"calls": 2, "rest_s": 10}, LaneStatus.NARROWED),
        ({"calls": 2}, LaneStatus.STARTING),
    ],
)
def test_one_word_says_how_a_lane_is(fields: dict[str, Any], status: LaneStatus) -> None:
    """The worst of what is true of it."""
    assert status == lane_status({**asdict(LaneState("hr:1", "hr")), **fields, "now": NOW})
