"""The arithmetic of one limit window: buckets of calls that may still count at the vendor.

Instants are integer microseconds of the database's clock. `docs/limits.md` proves that no window of the vendor, sliding
or aligned, is exceeded.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter

MAX_BUCKETS = 100
_SLOTS = 97  # 97 slots of a window, the open one and those inside the margin stay below MAX_BUCKETS
SECOND = 1_000_000
"""One second in microseconds, as all instants are."""

AGE_S = 0.25
LONGEST_AGE_S = 2.0
JITTER_S = 0.05
_GRAIN = 1_000  # SQLite's clock ticks in milliseconds and rounds down

LONGEST_RETRY_US = 300 * SECOND
"""The longest wait that a call gets because of other calls before it, some of which may be cancelled."""

Bucket = list[int]
"""`[slot, used, until]`"""
Span = tuple[int, int, int]
"""When units were taken, how many, and when they lapse. Instants in microseconds."""
_until = itemgetter(2)


def permit_age_s(windows_s: Iterable[int], lapses: int = 0) -> float:
    """Returns the seconds within which a permit's call must start: doubled for every further lapse in a row."""
    age = min(AGE_S, min(windows_s) / 25)
    return max(age, min(age * 2.0 ** max(0, lapses - 1), LONGEST_AGE_S))


def margin_us(window_s: int, age_s: float) -> int:
    """Returns the microseconds added to a window: the permit's age, the network's jitter and the clock's resolution."""
    return int((age_s + min(JITTER_S, window_s / 100)) * SECOND) + _GRAIN


def buckets_of(text: str) -> list[Bucket]:
    """Returns the buckets of a stored form. An unreadable form has none, or the calls of its limit would never go."""
    if text == "[]":
        return []
    try:
        buckets: list[Bucket] = json.loads(text)
        is_ours = {*map(len, buckets)} == {3} and {*map(type, chain.from_iterable(buckets))} == {int}
    except (ValueError, TypeError, RecursionError):
        is_ours = False
    return buckets if is_ours else []


class Window:
    """The live buckets of one limit key at one instant. Lapsed buckets are dropped when it is loaded."""

    __slots__ = ("_buckets", "_length", "used")

    def __init__(self, window_s: int, buckets: Iterable[Bucket], now: int):
        self._length = window_s * SECOND
        self._buckets = [bucket for bucket in buckets if bucket[2] > now]
        self.used = sum([bucket[1] for bucket in self._buckets])

    @classmethod
    def load(cls, window_s: int, text: str, now: int) -> Window:
        """Returns the window of a stored form."""
        return cls(window_s, buckets_of(text), now)

    def cut_future(self, now: int) -> bool:
        """Lets units that lapse later than any can lapse a window from now. Returns whether there were some.

        They were taken while the database's clock was ahead, that is, some time before now.
        """
        last = now + self._length + margin_us(self._length // SECOND, LONGEST_AGE_S)
        ahead = [bucket for bucket in self._buckets if bucket[2] > last]
        if ahead:
            self._buckets = [bucket for bucket in self._buckets if bucket[2] <= last]
            bucket = self._bucket(now * _SLOTS // self._length)
            bucket[1] += sum(used for _, used, _ in ahead)
            bucket[2] = last
        return bool(ahead)

    def spans(self) -> list[Span]:
        """Returns when its units were taken, the oldest first: each slot's begin, its units, and when they lapse."""
        return sorted((slot * self._length // _SLOTS, used, until) for slot, used, until in self._buckets)

    def dump(self) -> str:
        """Returns the stored form: a JSON list of `[slot, used, until]`."""
        return str(self._buckets).replace(" ", "")  # the same text as json.dumps, in a tenth of its time

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_us(self, units: int, amount: int, now: int) -> int | None:
        """Returns the microseconds until there is room: 0 for now, None for never (more units than it holds)."""
        excess = self.used + units - amount
        if excess <= 0:
            return 0
        for _, used, until in sorted(self._buckets, key=_until):
            excess -= used
            if excess <= 0:
                return until - now
        return None

    def retry_us(self, units: int, amount: int, scheduled: Sequence[int], now: int, margin: int) -> int:
        """Returns the microseconds until there is room for units after all scheduled calls.

        `scheduled` are the instants of those calls in order, one unit each. Returns at most `LONGEST_RETRY_US`. Newly
        used units are assumed to count for a window and a margin.
        """
        free, buckets = amount - self.used, sorted(self._buckets, key=_until)
        for later in range(0, LONGEST_RETRY_US, self._length + margin):
            for _, used, until in buckets:
                free += used
                if free - bisect_right(scheduled, until + later) >= units:
                    return until + later - now
        return LONGEST_RETRY_US

    def is_filling(self, amount: int, now: int) -> bool:
        """Returns True if a fifth to a half is used, and three quarters will be used before any lapse at this rate."""
        if not amount <= 5 * self.used or 2 * self.used > amount:
            return False
        lasted = now - min([until for _, _, until in self._buckets]) + self._length
        return 3 * lasted * amount < 4 * (self.used - 1) * self._length

    def take(self, units: int, now: int, margin: int) -> int:
        """Counts units granted now. Returns their slot, which `put_back` needs."""
        bucket = self._bucket(now * _SLOTS // self._length)
        bucket[1] += units
        bucket[2] = max(bucket[2], now + margin + self._length)
        self.used += units
        return bucket[0]

    def put_back(self, slot: int, units: int) -> bool:
        """Removes units from their bucket, whose `until` stays. Returns False if the bucket has lapsed."""
        for bucket in self._buckets:
            if bucket[0] == slot:
                returned = min(units, bucket[1])
                bucket[1] -= returned
                self.used -= returned
                if not bucket[1]:
                    self._buckets.remove(bucket)
                return True
        return False

    def _bucket(self, slot: int) -> Bucket:
        for bucket in reversed(self._buckets):
            if bucket[0] == slot:
                return bucket
        if len(self._buckets) >= MAX_BUCKETS:
            return self._buckets[-1]  # that bucket then lapses later: calls become slower, never too many
        bucket = [slot, 0, 0]
        self._buckets.append(bucket)
        return bucket
