"""What is remembered of those who wait for room: by lane and priority, in the order in which they are due."""

from __future__ import annotations

from worker.delivery.sender import retry_hints
from worker.delivery.sender.retry_hints import RetryHints
from worker.domain.job import Priority


class Ticks:
    """A clock that is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_they_come_back_once_and_in_the_order_in_which_they_are_due() -> None:
    """Not before their instant, no more than asked for, and only those of the lane."""
    ticks = Ticks()
    known = RetryHints(ticks)
    for part, lane, delay_s in (("b", "hr:1", 2.0), ("c", "hr:1", 3.0), ("a", "hr:1", 1.0), ("x", "hr:2", 1.0)):
        known.add(lane, Priority.NORMAL, part, delay_s)

    assert known.take_due("hr:1", Priority.BULK, 9) == []
    ticks.now = 3.0
    assert known.take_due("hr:1", Priority.BULK, 2) == ["a", "b"]
    assert known.take_due("hr:1", Priority.BULK, 2) == ["c"]
    assert known.take_due("hr:1", Priority.BULK, 2) == []
    assert known.take_due("hr:2", Priority.BULK, 2) == ["x"]


def test_the_more_urgent_come_first_and_the_less_urgent_not_at_all() -> None:
    """`lowest` is what stands at the head of the doorbell they come along with."""
    known = RetryHints(Ticks())
    for priority in (Priority.BULK, Priority.NORMAL, Priority.URGENT):
        known.add("hr:1", priority, priority.name, 0.0)

    assert known.take_due("hr:1", Priority.NORMAL, 9) == ["URGENT", "NORMAL"]
    assert known.take_due("hr:1", Priority.BULK, 9) == ["BULK"]


def test_nobody_comes_back_twice() -> None:
    """A part may be found again before it has gone."""
    known = RetryHints(Ticks())
    for _ in range(2):
        known.add("hr:1", Priority.NORMAL, "a", 0.0)

    assert known.take_due("hr:1", Priority.NORMAL, 9) == ["a"]


def test_too_many_are_forgotten() -> None:
    """They go with the backlog, and whoever comes then is remembered again."""
    known = RetryHints(Ticks())
    for n in range(retry_hints.MAX_PARTS):
        known.add("hr:1", Priority.NORMAL, str(n), 0.0)

    known.add("hr:1", Priority.NORMAL, "one more", 0.0)

    assert known.take_due("hr:1", Priority.NORMAL, 9) == ["one more"]
