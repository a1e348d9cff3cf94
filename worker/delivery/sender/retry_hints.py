"""When parts that had no room for their member ask again, and that they go then, before the lane's backlog.

`RetryTimes`: parts that wait for the same member ask again one after another, not all at once. A backlog of n messages
then asks n times in all, not n times a window. Each process knows only the times it gave itself. They decide when a
part asks again, never whether there is room.

`RetryHints`: a part without room is due later than the whole backlog before it. By time alone it would go behind all of
it, and its member's window would be half empty as long. Also noted are the other parts of a member whose window is
about to be full. This is only a hint: what it forgets the relay offers.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from worker.domain.job import Priority

SEARCH_WINDOW = 10_000
"""Parts of a lane's backlog among which a member's other parts are looked for."""
PAUSE_FACTOR = 20
"""The pause between two such searches, in multiples of the time the last one took."""
MAX_PARTS = 20_000
"""Parts remembered at most; one more, and all are forgotten and go with the backlog."""
MAX_KEYS = 20_000
"""Limit keys whose times are remembered at most; one more, and all are forgotten, so that some parts ask too early."""


class RetryHints:
    """Parts that wait, by lane and priority, in the order in which they are due again."""

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self.waiting: dict[tuple[str, int], list[tuple[float, str]]] = {}
        """Empty for most processes, which then need not ask what is due."""
        self._parts: set[str] = set()
        self._search_at = -1.0

    def try_begin_search(self) -> bool:
        """True for one thread at a time, and not before the pause after the last search is over."""
        with self._lock:
            may = self._search_at <= self._monotonic()
            if may:
                self._search_at = math.inf
        return may

    def end_search(self, began: float) -> None:
        """Ends the search that began at `began`, and begins the pause."""
        now = self._monotonic()
        self._search_at = now + PAUSE_FACTOR * max(now - began, 0.001)

    def add(self, lane: str, priority: int, part: str, delay_s: float) -> None:
        """Notes that a part is due again in `delay_s` seconds; 0: it is due already."""
        with self._lock:
            if len(self._parts) >= MAX_PARTS:
                self.waiting.clear()
                self._parts.clear()
            if part not in self._parts:
                self._parts.add(part)
                heappush(self.waiting.setdefault((lane, priority), []), (self._monotonic() + delay_s, part))

    def take_due(self, lane: str, lowest: int, limit: int) -> list[str]:
        """Takes out up to `most` parts that are due, and at least as urgent as `lowest`."""
        now, ids = self._monotonic(), list[str]()
        with self._lock:
            for priority in Priority:
                if priority <= lowest:
                    ids += self._pop((lane, priority), now, limit - len(ids))
        return ids

    def _pop(self, key: tuple[str, int], now: float, limit: int) -> list[str]:
        waiting, taken = self.waiting.get(key, []), list[str]()
        while waiting and len(taken) < limit and waiting[0][0] <= now:
            taken.append(heappop(waiting)[1])
        self._parts.difference_update(taken)
        if not waiting:
            self.waiting.pop(key, None)
        return taken


class RetryTimes:
    """Instants (microseconds of the database's clock) at which waiting parts ask again, by limit key."""

    def __init__(self) -> None:
        self._instants: dict[str, list[int]] = {}

    def after(self, key: str, now: int) -> list[int]:
        """The instants after `now` at which parts ask again, in order."""
        instants = self._instants.get(key, [])
        del instants[: bisect_right(instants, now)]
        if not instants:
            self._instants.pop(key, None)
        return list(instants)

    def add(self, instants: Iterable[tuple[str, int]]) -> None:
        """Adds instants that were given to parts."""
        for key, at in instants:
            insort(self._instants.setdefault(key, []), at)
        if len(self._instants) > MAX_KEYS:
            self._instants.clear()
