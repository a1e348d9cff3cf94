"""Parts that had no room for their member come back as soon as there is room, ahead of the lane's backlog.

The other parts of a member who will soon have no room are looked for while there is some.

Parts without room are due later than everything that was asked for before. By time alone they would go behind all of
it, and their members' windows would stand half empty as long. This is only a hint: what it forgets the relay offers.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from heapq import heappop, heappush

from worker.domain.job import Priority

SEEN = 10_000
"""So far into a lane's backlog somebody's other parts are looked for,"""
REST = 20
"""and then not for so many times as long as it took."""
MOST = 20_000
"""So many parts are remembered; should there be more, all go with the backlog."""


class RetryHints:
    """Parts that wait, by lane and priority, in the order in which they are due again."""

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._waiting: dict[tuple[str, int], list[tuple[float, str]]] = {}
        self._known: set[str] = set()
        self._seek_at = -1.0

    def may_seek(self) -> bool:
        """True for one thread, now and then."""
        with self._guard:
            may = self._seek_at <= self._monotonic()
            if may:
                self._seek_at = math.inf
        return may

    def sought(self, began: float) -> None:
        """That thread is done."""
        now = self._monotonic()
        self._seek_at = now + REST * max(now - began, 0.001)

    def note(self, lane: str, priority: int, part: str, delay_s: float) -> None:
        """This part is due again in so many seconds, or was a moment ago."""
        with self._guard:
            if len(self._known) >= MOST:
                self._waiting.clear()
                self._known.clear()
            if part not in self._known:
                self._known.add(part)
                heappush(self._waiting.setdefault((lane, priority), []), (self._monotonic() + delay_s, part))

    def due(self, lane: str, lowest: int, most: int) -> list[str]:
        """So many at most that are due, and as urgent as `lowest` or more; they are not told again."""
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
