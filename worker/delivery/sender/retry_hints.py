"""Retry hints: parts that had no room for their member go as soon as there is room, before the lane's backlog.

A part without room is due later than the whole backlog before it. By time alone it would go behind all of it, and its
member's window would be half empty as long. Also noted are the other parts of a member whose window is about to be
full. This is only a hint: what it forgets the relay offers.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from heapq import heappop, heappush

from worker.domain.job import Priority

SEEN = 10_000
"""Parts of a lane's backlog among which a member's other parts are looked for."""
REST = 20
"""The pause between two such searches, in multiples of the time the last one took."""
MOST = 20_000
"""Parts remembered at most; one more, and all are forgotten and go with the backlog."""


class RetryHints:
    """Parts that wait, by lane and priority, in the order in which they are due again."""

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._waiting: dict[tuple[str, int], list[tuple[float, str]]] = {}
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
                self._waiting.clear()
                self._known.clear()
            if part not in self._known:
                self._known.add(part)
                heappush(self._waiting.setdefault((lane, priority), []), (self._monotonic() + delay_s, part))

    def due(self, lane: str, lowest: int, most: int) -> list[str]:
        """Takes out up to `most` parts that are due, and at least as urgent as `lowest`."""
        if not self._waiting:
            return []
        now, found = self._monotonic(), list[str]()
        with self._guard:
            for priority in Priority:
                if priority <= lowest:
                    found += self._take((lane, priority), now, most - len(found))
        return found

    def _take(self, key: tuple[str, int], now: float, most: int) -> list[str]:
        waiting, taken = self._waiting.get(key, []), list[str]()
        while waiting and len(taken) < most and waiting[0][0] <= now:
            taken.append(heappop(waiting)[1])
        self._known.difference_update(taken)
        if not waiting:
            self._waiting.pop(key, None)
        return taken
