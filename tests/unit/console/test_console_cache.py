"""Costly values are read by one thread at a time, kept, and told with their age."""

from __future__ import annotations

from threading import Event

from worker.console.pages.cache import IDLE_FACTOR, STALE_FACTOR, CachedReading, PreviewedIds, Reading
from worker.outbox.engine.clock import instant


class Counting:
    """Reads how often it was asked, each reading so many seconds long by a clock of its own."""

    def __init__(self, takes_s: float = 0.0):
        self.now, self.takes_s, self.count = 0.0, takes_s, 0
        self.goes_on = Event()
        self.goes_on.set()

    def monotonic(self) -> float:
        """The clock."""
        return self.now

    def __call__(self) -> Reading[int]:
        """One more reading."""
        assert self.goes_on.wait(60)
        self.count += 1
        self.now += self.takes_s
        return Reading(self.count, instant(self.count))


def value(kept: CachedReading[int], read: Counting, wait_s: float | None = 60) -> int | None:
    found = kept.latest(read, wait_s)
    return None if found is None else found.value


def test_a_reading_is_kept_until_it_is_old() -> None:
    """Pages that ask meanwhile cost nothing."""
    read = Counting()
    kept = CachedReading[int](5.0, 60, read.monotonic)

    first = [value(kept, read) for _ in range(3)]
    read.now += 5.0
    second = value(kept, read)

    assert first == [1, 1, 1]
    assert second == 2


def test_a_reading_tells_its_age_and_an_old_one_is_waited_for() -> None:
    """What nobody has looked at for long is not shown as it was then."""
    read = Counting()
    kept = CachedReading[int](5.0, 60, read.monotonic)
    value(kept, read)

    read.now += 3.0
    young = kept.latest(read)
    read.now += STALE_FACTOR * 5.0
    late = kept.latest(read)

    assert [(one.value, one.age_s) for one in (young, late) if one] == [(1, 3.0), (2, 0.0)]


def test_a_long_reading_is_repeated_the_more_seldom() -> None:
    """So that it never takes more than a part of the time."""
    read = Counting(takes_s=10.0)
    kept = CachedReading[int](5.0, 60, read.monotonic)
    value(kept, read)

    read.now += IDLE_FACTOR * 10.0 - 1
    early = value(kept, read)
    read.now += 1
    late = value(kept, read)

    assert (early, late) == (1, 2)


def test_pages_do_not_wait_for_a_reading_that_takes_long() -> None:
    """They have the one before, or none; and one thread reads for all of them."""
    read = Counting()
    kept = CachedReading[int](5.0, 0.0, read.monotonic)
    read.goes_on.clear()

    none = [value(kept, read, None) for _ in range(3)]
    read.goes_on.set()
    first = value(kept, read)

    assert none == [None, None, None]
    assert 1 == first == read.count


def test_a_reading_that_fails_leaves_the_one_before() -> None:
    """A database may be away for a while, which the reading says."""
    read = Counting()
    kept = CachedReading[int](5.0, 60, read.monotonic)
    value(kept, read)
    read.now += 5.0

    def fails() -> Reading[int]:
        raise OSError

    after = kept.latest(fails, 60)
    read.now += STALE_FACTOR * 5.0
    again = kept.latest(read, 60)

    assert [(one.value, one.is_last) for one in (after, again) if one] == [(1, True), (2, False)]


def test_what_was_shown_covers_what_is_left_of_it() -> None:
    """And nothing else; a digest of another process covers exactly what it was made of."""
    shown = PreviewedIds()
    name = shown.add(["a", "b"])

    covered = {ids: shown.covers(name, ids) for ids in (("b", "a"), ("a",), ("a", "c"), ("a", "b", "c"))}
    elsewhere = {ids: PreviewedIds().covers(name, ids) for ids in (("b", "a"), ("a",), ("a", "c"))}

    assert covered == {("b", "a"): True, ("a",): True, ("a", "c"): False, ("a", "b", "c"): False}
    assert elsewhere == {("b", "a"): True, ("a",): False, ("a", "c"): False}


def test_what_was_shown_takes_no_more_memory_than_it_may() -> None:
    """The oldest goes, and one that is too large is known by its digest alone."""
    shown = PreviewedIds(max_ids=6)
    first, second = shown.add(["a", "b"]), shown.add(["c", "d"])
    third = shown.add(["e", "f"])
    large = shown.add([str(n) for n in range(10)])

    assert [shown.covers(name, [left]) for name, left in ((first, "a"), (second, "c"), (third, "e"), (large, "1"))] == [
        False,
        False,
        False,
        False,
    ]
    assert shown.covers(large, [str(n) for n in range(10)])
    assert shown.covers(shown.add(["g", "h"]), ["g"])
