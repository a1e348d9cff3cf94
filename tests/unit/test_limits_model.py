"""The governor's arithmetic against a plain reference that remembers the time of every call."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count
from threading import Lock

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from worker.delivery.sender.admission import Cost, Reservation
from worker.domain.outcome import Scope
from worker.domain.pacing.lane import SHANGHAI, next_midnight
from worker.domain.pacing.limit import Denied, Limit, Permit, Unit, Use
from worker.domain.pacing.window import JITTER_S, LONGEST_AGE_S, MAX_BUCKETS, Window
from worker.outbox.engine.clock import micros

SECOND = 1_000_000
DAY = 86_400


def a_limit(name: str, window_s: int, amount: int, scope: Scope = Scope.LANE) -> Limit:
    return Limit(name, window_s, amount, Unit.CALLS, scope, "45009", "test")


MEMBER_MINUTE = a_limit("member_minute", 60, 30, Scope.PART)
MEMBER_HOUR = a_limit("member_hour", 3_600, 1_000, Scope.PART)
API_MINUTE = a_limit("api_minute", 60, 10_000)
API_HOUR = a_limit("api_hour", 3_600, 150_000)
PERSONS_DAY = a_limit("persons_day", DAY, 10_000)


@dataclass
class PureGovernor:
    """A governor whose rows are a dict and whose clock is told: what is stored is text, as in SQL."""

    rows: dict[str, str] = field(default_factory=lambda: defaultdict(lambda: "[]"))

    def ask(self, costs: dict[str, tuple[Limit, int]], now: int, *, lapses: int = 0, keep: bool = True):
        reservation = Reservation(
            self.rows, now=now, before=now / SECOND, grant=lambda until, uses: Permit(until, uses, self)
        )
        answer = reservation.decide({key: Cost(*cost) for key, cost in costs.items()}, lapses)
        if keep:
            self.rows.update(reservation.changed())
        return answer

    def put_back(self, use: Use, now: int) -> bool:
        window = Window.load(1, self.rows[use.key], now)
        found = window.put_back(use.slot, use.units)
        self.rows[use.key] = window.dump()
        return found


@dataclass
class Reference:
    """Every call that reached the vendor, by key: when and how many units."""

    arrivals: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def worst(self, key: str, window_s: int) -> int:
        """The most units in any sliding window; an aligned one is one of them."""
        calls, length = sorted(self.arrivals[key]), window_s * SECOND
        most = inside = first = 0
        for at, units in calls:
            inside += units
            while calls[first][0] <= at - length:
                inside -= calls[first][1]
                first += 1
            most = max(most, inside)
        return most

    def worst_aligned(self, key: str, window_s: int, ahead: int = 0) -> int:
        """The most units in any window of a calendar that is so many microseconds ahead of UTC."""
        counted: dict[int, int] = defaultdict(int)
        for at, units in self.arrivals[key]:
            counted[(at + ahead) // (window_s * SECOND)] += units
        return max(counted.values(), default=0)


# Small amounts reach their ends quickly; the windows are the vendor's and two short ones.
LIMITS = {
    "second": a_limit("second", 1, 3),
    "minute": a_limit("minute", 60, 6),
    "member": MEMBER_MINUTE,
    "hour": a_limit("hour", 3_600, 40),
    "day": a_limit("day", DAY, 60),
}
KEYS = [f"{name}-{subject}" for name in LIMITS for subject in "ab"]


def limit_of(key: str) -> Limit:
    return LIMITS[key.partition("-")[0]]


class Governed(RuleBasedStateMachine):
    """Random times, keys, crashes, give-backs, late starts and slow ways never overstep a window."""

    @initialize(start=st.integers(0, 10 * DAY * SECOND))
    def begin(self, start: int) -> None:
        self.true_now = 1_700_000_000 * SECOND + start
        self.governor = PureGovernor()
        self.reference = Reference()
        self.asked: set[str] = set()

    @property
    def clock(self) -> int:
        """What a clock that ticks in milliseconds says."""
        return self.true_now // 1_000 * 1_000

    @rule(seconds=st.one_of(st.floats(0, 1), st.floats(0, 90), st.floats(0, 5_000), st.floats(0, 1.5 * DAY)))
    def pass_time(self, seconds: float) -> None:
        self.true_now += int(seconds * SECOND)

    @rule(data=st.data(), calls=st.integers(1, 12), patience=st.integers(0, 2), lapses=st.integers(0, 5))
    def call(self, data: st.DataObject, calls: int, patience: int, lapses: int) -> None:
        """A sender with a few calls for the same keys, that comes back exactly when it is told, or gives up."""
        keys = data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True))
        costs = {key: (limit_of(key), data.draw(st.integers(1, 3))) for key in keys}
        self.asked.update(keys)
        for _ in range(calls):
            answer = self.governor.ask(costs, self.clock, lapses=lapses)
            if isinstance(answer, Denied):
                self.check_wait(costs, answer)
                if not patience:
                    return
                patience -= 1
                self.true_now = self.clock + micros(answer.call_delay)
                answer = self.governor.ask(costs, self.true_now, lapses=lapses)
            self.fate(data, answer, costs)

    def fate(self, data: st.DataObject, permit: Permit, costs: dict[str, tuple[Limit, int]]) -> None:
        fate = data.draw(st.sampled_from(["call", "call", "call", "crash", "give back"]))
        if fate == "give back":
            assert all(self.governor.put_back(use, self.clock) for use in permit.uses)
            again = self.governor.ask(costs, self.clock, keep=False)
            assert isinstance(again, Permit), "what was given back can be taken again at once"
        if fate == "call":
            last = self.true_now - self.clock + round(permit.starts_before * SECOND) - 1
            start = data.draw(st.sampled_from([self.true_now, last]) | st.integers(self.true_now, last))
            way = int(min(JITTER_S, min(limit.window_s for limit, _ in costs.values()) / 100) * SECOND)
            arrival = start + data.draw(st.sampled_from([0, way // 2, way]))
            for key, (_, units) in costs.items():
                self.reference.arrivals[key].append((arrival, units))

    def check_wait(self, costs: dict[str, tuple[Limit, int]], answer: Denied) -> None:
        room_at = self.clock + micros(answer.call_delay)
        assert isinstance(self.governor.ask(costs, room_at, keep=False), Permit), "the wait is long enough"
        assert isinstance(self.governor.ask(costs, room_at - 1, keep=False), Denied), "and not a microsecond too long"

    @invariant()
    def nothing_is_overstepped(self) -> None:
        for key in getattr(self, "asked", ()):
            limit = limit_of(key)
            assert self.reference.worst(key, limit.window_s) <= limit.amount
            assert self.reference.worst_aligned(key, limit.window_s) <= limit.amount
            assert self.reference.worst_aligned(key, limit.window_s, SHANGHAI) <= limit.amount
            assert len(Window.load(1, self.governor.rows[key], 0)) <= MAX_BUCKETS


TestGoverned = Governed.TestCase
TestGoverned.settings = settings(max_examples=20, stateful_step_count=30)


def backlog(limits: dict[str, Limit], *, seconds: int, units: int = 1, pace_s: float = 0.0) -> int:
    """Units granted to a sender that never runs dry: at once, or one call every `pace_s`, waiting as it is told."""
    governor, now, granted = PureGovernor(), 1_700_000_000 * SECOND, 0
    end = now + seconds * SECOND
    costs = {key: (limit, units) for key, limit in limits.items()}
    while now < end:
        answer = governor.ask(costs, now)
        if isinstance(answer, Permit):
            granted += units
            now += int(pace_s * SECOND)
        else:
            now += micros(answer.call_delay)
    return granted


@pytest.mark.parametrize(
    ("limits", "seconds", "units", "pace_s", "possible"),
    [
        ({"minute": MEMBER_MINUTE}, 3_600, 1, 0.0, 30 * 60),
        ({"minute": MEMBER_MINUTE}, 3_600, 1, 1.9, 30 * 60),
        ({"minute": API_MINUTE}, 600, 50, 0.29, 10_000 * 10),
        *(
            pytest.param(*row, marks=pytest.mark.slow("tens of thousands of calls"))
            for row in [
                ({"minute": MEMBER_MINUTE, "hour": MEMBER_HOUR}, 20 * 3_600, 1, 0.0, 1_000 * 20),
                ({"minute": MEMBER_MINUTE, "hour": MEMBER_HOUR}, 20 * 3_600, 1, 3.5, 1_000 * 20),
                ({"minute": API_MINUTE, "hour": API_HOUR}, 4 * 3_600, 50, 1.1, 150_000 * 4),
                ({"day": PERSONS_DAY}, 20 * DAY, 10, 0.0, 10_000 * 20),
                ({"day": PERSONS_DAY}, 20 * DAY, 10, 80.0, 10_000 * 20),
            ]
        ),
    ],
)
def test_a_backlog_uses_nearly_all(
    limits: dict[str, Limit], seconds: int, units: int, pace_s: float, possible: int
) -> None:
    """Under backlog at least 98 % of a limit is used, in bursts and at an even pace."""
    assert backlog(limits, seconds=seconds, units=units, pace_s=pace_s) >= 0.98 * possible


def test_a_full_burst_is_allowed_at_once() -> None:
    """The whole amount of a window may be used in one instant, and the next call waits for the window and its guard."""
    governor, now = PureGovernor(), 1_700_000_000 * SECOND

    burst = [governor.ask({"m": (MEMBER_MINUTE, 1)}, now) for _ in range(31)]

    assert all(isinstance(answer, Permit) for answer in burst[:30])
    # 60 s, the age of a permit 250 ms, the way 50 ms, the clock's grain 1 ms
    assert burst[30] == Denied(Scope.PART, pytest.approx(60.301), "member_minute", pytest.approx(60.301))


def test_a_day_is_any_24_hours() -> None:
    """Used up at 18:00 in Shanghai, there is room again at 18:00, not at midnight."""
    governor, at_18 = PureGovernor(), next_midnight(1_700_000_000 * SECOND) - 6 * 3_600 * SECOND
    day = {"day": (a_limit("app_day", DAY, 10), 1)}
    for _ in range(10):
        assert isinstance(governor.ask(day, at_18), Permit)

    after_midnight = governor.ask(day, at_18 + 6 * 3_600 * SECOND + 60 * SECOND)

    assert isinstance(after_midnight, Denied)
    assert after_midnight.delay == pytest.approx(18 * 3_600 - 60 + 0.301)
    assert isinstance(governor.ask(day, at_18 + DAY * SECOND + 301_000), Permit)


def test_permits_of_the_dead_stay_used() -> None:
    """A permit nobody used counts until its bucket lapses: not knowing is treated as having called."""
    governor, now = PureGovernor(), 1_700_000_000 * SECOND
    for _ in range(30):
        governor.ask({"m": (MEMBER_MINUTE, 1)}, now)

    assert isinstance(governor.ask({"m": (MEMBER_MINUTE, 1)}, now + 60 * SECOND), Denied)
    assert isinstance(governor.ask({"m": (MEMBER_MINUTE, 1)}, now + 61 * SECOND), Permit)


def test_a_lane_never_waits_for_a_members_cap() -> None:
    """When member and lane are short together the lane's own wait is told, and the call's beside it."""
    governor, now = PureGovernor(), 1_700_000_000 * SECOND
    lane = a_limit("lane", 60, 1)
    governor.ask({"member": (a_limit("member_hour", 3_600, 1, Scope.PART), 1)}, now)
    governor.ask({"lane": (lane, 1)}, now)

    answer = governor.ask({"member": (a_limit("member_hour", 3_600, 1, Scope.PART), 1), "lane": (lane, 1)}, now)

    assert answer == Denied(Scope.LANE, pytest.approx(60.301), "lane", pytest.approx(3600.301))


def test_a_call_above_the_whole_limit_is_called_impossible() -> None:
    """A call that costs more than a limit holds is told so, and blocks nobody else."""
    answer = PureGovernor().ask({"day": (a_limit("persons_day", DAY, 200), 1_000)}, SECOND)

    assert Denied(Scope.PART, DAY, "persons_day", math.inf) == answer
    assert answer.impossible


def test_nothing_is_taken_when_one_limit_is_short() -> None:
    """All windows of all keys together or not at all."""
    governor, now = PureGovernor(), 1_700_000_000 * SECOND
    full = a_limit("full", 60, 1)
    governor.ask({"full": (full, 1)}, now)

    denied = governor.ask({"free": (MEMBER_MINUTE, 1), "full": (full, 1)}, now)

    assert isinstance(denied, Denied)
    assert governor.rows["free"] == "[]"


@pytest.mark.parametrize(
    ("lapses", "age_s"), [(0, 0.25), (1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, LONGEST_AGE_S), (99, LONGEST_AGE_S)]
)
def test_lapses_in_a_row_double_the_age(lapses: int, age_s: float) -> None:
    """A permit that lapses again and again gets more time, and the window waits for it: slower, never stuck."""
    governor = PureGovernor()

    permit = governor.ask({"m": (a_limit("m", 60, 1), 1)}, SECOND, lapses=lapses)
    denied = governor.ask({"m": (a_limit("m", 60, 1), 1)}, SECOND)

    assert isinstance(permit, Permit)
    assert permit.starts_before == pytest.approx(1 + age_s)
    assert denied.delay == pytest.approx(60 + age_s + 0.051)


def test_a_clock_that_steps_back_is_only_slower() -> None:
    """A database clock set back never lets a bucket lapse too early, nor makes it more than a hundred."""
    window = Window(60, [], 0)
    for step in count():
        if step == 400:
            break
        window.take(1, (10_000 - step) * SECOND, 1)

    assert len(window) == MAX_BUCKETS
    assert window.used == 400


def test_units_come_back_into_their_own_bucket_only() -> None:
    """A give-back finds its bucket by slot, takes no more than is there, and nothing once it has lapsed."""
    window = Window(60, [], 0)
    slot = window.take(5, SECOND, 0)
    other = window.take(5, 30 * SECOND, 0)

    assert window.put_back(slot, 2)
    assert window.put_back(other, 9)
    assert not window.put_back(other, 1)
    assert window.used == 3
    assert Window.load(60, window.dump(), 62 * SECOND).used == 0


def test_a_permit_is_given_back_at_most_once() -> None:
    """The permit itself remembers that it was returned."""
    permit = Permit(0.0)

    assert isinstance(permit.returned, type(Lock()))
    assert permit.returned.acquire(blocking=False)
    assert not permit.returned.acquire(blocking=False)
