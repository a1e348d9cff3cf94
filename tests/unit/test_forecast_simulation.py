"""The simulation behind a forecast: windows, weights, speed, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from worker.domain.outcome import Scope
from worker.domain.pacing import forecast
from worker.domain.pacing.forecast import DUE, HORIZON_US, SPEED, BacklogLine, Closing, Meter, Simulation, Speed
from worker.domain.pacing.lane import SECOND
from worker.domain.pacing.likely_cost import likely_costs
from worker.domain.pacing.limit import Charge, Limit, Unit
from worker.domain.pacing.window import Window

NOW = 1_700_000_000 * SECOND
MINUTE = 60 * SECOND


def line(parts: int, cost: str | None = None, *, due: int = 0, priority: int = 1, **more: object) -> BacklogLine:
    costs = {} if cost is None else {cost: 1.0}
    return BacklogLine("a", priority, [(NOW + due, parts)], costs, 100_000.0, **more)  # type: ignore[arg-type]


def meter(amount: int, window_s: int = 60) -> Meter:
    return Meter(f"limit_{window_s}", amount, window_s, Window(window_s, (), NOW))


def run(lines: Sequence[BacklogLine], threads: float = 100.0, **meters: Meter) -> list[float | None]:
    """The seconds until each line is through."""
    Simulation(NOW, lines, meters, Speed(threads, {})).run()
    return [None if one.ends_at is None else (one.ends_at - NOW) / SECOND for one in lines]


def test_threads_alone_decide_where_no_limit_does() -> None:
    """A thousand parts of a tenth of a second each, in ten threads."""
    one = line(1_000)

    assert [pytest.approx(10.0, abs=0.01)] == run([one], threads=10.0)
    assert SPEED == one.binds


def test_a_window_is_used_once_a_window() -> None:
    """Of 95 parts at 10 a minute the last go nine windows after the first."""
    one = line(95, "m")

    assert [pytest.approx(9 * 60, abs=5)] == run([one], m=meter(10))
    assert "limit_60" == one.binds


def test_of_two_windows_the_slower_one_decides() -> None:
    """100 a minute, but 150 an hour."""
    one = BacklogLine("a", 1, [(NOW, 200)], {"m": 1.0, "h": 1.0}, 1_000.0)

    assert [pytest.approx(3_600, abs=40)] == run([one], m=meter(100), h=meter(150, 3_600))
    assert "limit_3600" == one.binds


def test_lines_share_a_limit_evenly_and_bulk_gets_an_eighth() -> None:
    """Two lines are through at the same time; a bulk line beside another one gets a seventh of what that one gets."""
    assert run([line(50, "m"), line(50, "m")], m=meter(10)) == [pytest.approx(9 * 60, abs=7)] * 2

    bulk = line(1_000, "m", priority=2)
    run([line(700, "m"), bulk], m=meter(80))
    assert 100 <= bulk.sent
    assert bulk.ends_at is not None
    assert bulk.ends_at > NOW + 20 * MINUTE


def test_urgent_parts_take_the_limit_before_others() -> None:
    """All of it, while there are any."""
    assert [pytest.approx(2 * 60, abs=3), pytest.approx(60, abs=3)] == run(
        [line(10, "m"), line(20, "m", priority=0)], m=meter(10)
    )


def test_less_than_one_part_a_step_still_goes() -> None:
    """One thread, and three lines that each get a third of the time: ten seconds of work in all."""
    ends = run([line(33), line(33), line(34)], threads=1.0)

    assert pytest.approx(10.0, abs=0.2) == max(end or 0 for end in ends)


def test_a_closed_line_waits_and_holds_up_no_other() -> None:
    """Its end is the end of the block."""
    closed = line(10, closings=[Closing("a block", lambda at: NOW + MINUTE if at < NOW + MINUTE else None)])

    assert [pytest.approx(60.01, abs=0.1), pytest.approx(0.01, abs=0.1)] == run([closed, line(10)])
    assert "a block" == closed.binds


def test_a_line_is_followed_to_its_marks() -> None:
    """The eleventh of parts that go ten a minute goes in the second window; those due later wait for that."""
    one = line(20, "m", marks=[1, 10, 11])
    one.cohorts.append((NOW + 3_600 * SECOND, 5))
    ends = run([one], m=meter(10))

    assert [0, 0, 60] == [round((at - NOW) / SECOND) // 10 * 10 for at in one.marked_at]
    assert [pytest.approx(3_600, abs=1)] == ends
    assert DUE == one.binds


def test_accounts_share_the_threads_by_weight() -> None:
    """While both have work; then the other has all of them."""
    lines = [BacklogLine(name, 1, [(NOW, 900)], {}, 100_000.0) for name in ("a", "b")]
    Simulation(NOW, lines, {}, Speed(10.0, {"a": 2.0, "b": 1.0})).run()

    assert [pytest.approx(13.5, abs=1.5), pytest.approx(18.0, abs=1.5)] == [
        ((one.ends_at or 0) - NOW) / SECOND for one in lines
    ]


def test_what_cannot_be_followed_to_its_end_goes_on_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pace until there is taken for the rest."""
    monkeypatch.setattr(forecast, "STEPS", 100)

    [end] = run([line(100_000, "m")], m=meter(10))

    assert end == pytest.approx(600_000, rel=0.1)


def test_nothing_is_foretold_behind_the_horizon() -> None:
    """One part a day, and more parts than the horizon has days."""
    days = HORIZON_US // (86_400 * SECOND)

    assert [None] == run([line(days + 50, "d")], d=meter(1, 86_400))


# -- what parts cost --------------------------------------------------------------------------------------------------

MEMBER = Limit("member", 60, 30, Unit.PERSON_TIMES, Scope.PART, "", "")
APP = Limit("app", 60, 1_000, Unit.CALLS, Scope.LANE, "", "")


def charges(member: str) -> list[Charge]:
    return [Charge(APP, "app"), Charge(MEMBER, member, recipient=member)]


def test_alike_recipients_are_one_limit_of_many() -> None:
    """Their number is told by how often the sample meets the same one twice."""
    [cost] = likely_costs([charges(f"u{n % 100}") for n in range(500)], whole=False)

    app, member = cost.shared
    assert (1, 1.0) == (app.count, app.units)
    assert member.count == pytest.approx(125, rel=0.01)
    assert 1.0 == member.units


def test_recipients_of_whom_none_comes_twice_fill_no_limit() -> None:
    """There are too many of them."""
    [cost] = likely_costs([charges(f"u{n}") for n in range(500)], whole=False)

    assert float("inf") == cost.shared[1].count


def test_a_recipient_that_stands_out_has_a_line_of_its_own() -> None:
    """With its share of the parts."""
    costs = likely_costs([charges("zhang" if n < 100 else f"u{n}") for n in range(400)], whole=False)

    assert [0.75, 0.25] == [cost.share for cost in costs]
    assert ("zhang",) == costs[1].shared[1].subjects
