"""What is worth offering where a limit is the bottleneck."""

from __future__ import annotations

import pytest

from worker.delivery.scheduler.backlog import LaneCounts
from worker.delivery.scheduler.fair_share import RecentLimits, lane_part
from worker.domain.pacing.limit import Amount


def limited(amount: Amount | None) -> RecentLimits:
    return RecentLimits(lambda account, limit: amount)


def most(known: RecentLimits, lane: str) -> int | None:
    return known.max_parts(lane, LaneCounts(1, 0), only_bulk=False)


def test_a_lane_that_a_limit_closed_has_one_window_of_it() -> None:
    """Until it has not been closed for two minutes."""
    known = limited(Amount(20, shared=False))

    known.record("hr:1", "chat_minute", now=100.0, blocked_s=10.0)

    assert most(known, "hr:1") == 20
    assert most(known, "hr:2") is None
    known.expire(229.0)
    assert most(known, "hr:1") == 20
    known.expire(231.0)
    assert most(known, "hr:1") is None


def test_a_limit_that_lanes_share_is_the_accounts() -> None:
    """All of its lanes have one window together."""
    known = limited(Amount(20, shared=True))

    known.record("hr:1", "app_day", now=100.0, blocked_s=10.0)

    assert most(known, "hr:1") == 20
    assert most(known, "hr:2") == 20
    assert most(known, "it:1") is None


def test_a_day_is_remembered_longer() -> None:
    """A tenth of how long it was closed: nobody looks for minutes at what opens in hours."""
    known = limited(Amount(20, shared=False))

    known.record("hr:1", "app_day", now=0.0, blocked_s=1_000.0 * 60)

    known.expire(1_099.0 * 60)
    assert most(known, "hr:1") == 20


def test_an_account_that_is_not_known_here_is_not_bounded() -> None:
    """Another process's configuration may have it."""
    known = limited(None)

    known.record("hr:1", "app_day", now=0.0, blocked_s=10.0)

    assert most(known, "hr:1") is None


@pytest.mark.parametrize(
    ("lanes", "only_bulk", "part"),
    [
        *(((1, 0), False, 20), ((2, 0), False, 10), ((3, 0), False, 7), ((0, 2), True, 10), ((1, 1), False, 18)),
        *(((1, 1), True, 2), ((50, 50), False, 1), ((50, 50), True, 1), ((2, 3), False, 9), ((2, 3), True, 1)),
    ],
)
def test_lanes_share_what_a_limit_lets_through(lanes: tuple[int, int], only_bulk: bool, part: int) -> None:
    """Those with nothing but bulk a tenth together, and everybody one at least."""
    assert part == lane_part(20, LaneCounts(*lanes), only_bulk=only_bulk)
