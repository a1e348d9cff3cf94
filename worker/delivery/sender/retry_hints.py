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

SEEN = 10_000
"""Parts of a lane's backlog among which a member's other parts are looked for."""
REST = 20
"""The pause between two such searches, in multiples of the time the last one took."""
MOST = 20_000
"""Parts remembered at most; one more, and all are forgotten and go with the backlog."""
MOST_KEYS = 20_000
"""Limit keys whose times are remembered at most; one more, and all are forgotten, so that some parts ask too early."""


class RetryHints:
    """Parts that wait, by lane and priority, in the order in which they are due again."""

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self.waiting: dict[tuple[str, int], list[tuple[float, str]]] = {}
        """Empty for most processes, which then need not ask what is due."""
        self._known: set[str] = set()
        self._seek_at = -1.0

    def may_seek(self) -> bool:
        """True for one thread at a time, and not before the pause after the last search is over."""
        with self._guard:
            may = self._seek_at <= self._monotonic()
            if may:
                self._seek_at = math.inf
        return may

    def sought(self, began: float) -> None:
        """Ends the search that began at `began`, and begins the pause."""
        now = self._monotonic()
        self._seek_at = now + REST * max(now - began, 0.001)

    def note(self, lane: str, priority: int, part: str, delay_s: float) -> None:
        """Notes that a part is due again in `delay_s` seconds; 0: it is due already."""
        with self._guard:
            if len(self._known) >= MOST:
                self.waiting.clear()
                self._known.clear()
            if part not in self._known:
                self._known.add(part)
                heappush(self.waiting.setdefault((lane, priority), []), (self._monotonic() + delay_s, part))

    def due(self, lane: str, lowest: int, most: int) -> list[str]:
        """Takes out up to `most` parts that are due, and at least as urgent as `lowest`."""
        now, ids = self._monotonic(), list[str]()
        with self._guard:
            for priority in Priority:
                if priority <= lowest:
                    ids += self._take((lane, priority), now, most - len(ids))
        return ids

    def _take(self, key: tuple[str, int], now: float, most: int) -> list[str]:
        waiting, taken = self.waiting.get(key, []), list[str]()
        while waiting and len(taken) < most and waiting[0][0] <= now:
            taken.append(heappop(waiting)[1])
        self._known.difference_update(taken)
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

    def note(self, instants: Iterable[tuple[str, int]]) -> None:
        """Adds instants that were given to parts."""
        for key, at in instants:
            insort(self._instants.setdefault(key, []), at)
        if len(self._instants) > MOST_KEYS:
            self._instants.clear()
