"""The figures behind a drawing: when units of a limit were taken, and when they come back."""

from __future__ import annotations

from worker.console.pages.accounts import COLUMNS, HEIGHT, bars
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Limit, LimitCounter, Unit
from worker.domain.pacing.window import Window
from worker.outbox.engine.clock import SECOND, instant
from worker.reporting.limit_usage import Usage

NOW = 1_700_000_000 * SECOND
MINUTE = Limit("member_minute", 60, 30, Unit.PERSON_TIMES, Scope.PART, "silent drop", "page 90236")


def use(*taken: tuple[int, int]) -> Usage:
    """A limit of a minute, of which units were taken so many seconds ago."""
    window = Window(60, [], NOW - 60 * SECOND)
    for seconds, units in sorted(taken, reverse=True):
        window.take(units, NOW - seconds * SECOND, 0)
    window = Window.load(60, window.dump(), NOW)
    return Usage(LimitCounter(MINUTE, "each member"), window.used, 0.0, 0, tuple(window.spans()))


def test_units_stand_where_they_were_taken_and_where_they_come_back() -> None:
    """On both sides of now, as high as their number; what was taken first comes back first."""
    found = bars(use((45, 10), (5, 5)), NOW)

    past, ahead = ([bar for bar in found if bar.is_ahead is side] for side in (False, True))
    assert [10, 5] == [bar.units for bar in past] == [bar.units for bar in ahead]
    assert [HEIGHT, HEIGHT // 2] == [bar.height for bar in past]
    assert all(bar.x < COLUMNS for bar in past)
    assert all(COLUMNS <= bar.x < 2 * COLUMNS for bar in ahead)
    assert past[0].x < past[1].x
    assert [round((bar.at - instant(NOW)).total_seconds(), -0) for bar in ahead] == [15, 55]


def test_a_limit_that_is_not_used_has_no_bars() -> None:
    """Nor one that no window counts."""
    assert bars(use(), NOW) == []
    assert bars(Usage(LimitCounter(MINUTE, "each member"), None, None, 0), NOW) == []
