"""What this process found without room for its member comes back as soon as there is some, ahead of the lane's backlog.

Such parts are due later than everything that was asked for before. By time alone they would go behind all of it, and
their members' windows would stand half empty as long. A hint, nothing more: what is forgotten here the relay offers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from heapq import heappop, heappush

from worker.domain.job import Priority

MOST = 20_000
"""So many parts are remembered; should there be more, all go with the backlog."""


class Returning:
    """Parts that wait, by lane and priority, in the order in which they are due again."""

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._waiting: dict[tuple[str, int], list[tuple[float, str]]] = {}
        self._count = 0

    def note(self, lane: str, priority: int, part: str, delay_s: float) -> None:
        """This part is due again in so many seconds, or was a moment ago."""
        with self._guard:
            if self._count >= MOST:
                self._waiting.clear()
                self._count = 0
            heappush(self._waiting.setdefault((lane, priority), []), (self._monotonic() + delay_s, part))
            self._count += 1

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
        self._count -= len(taken)
        if not waiting:
            self._waiting.pop(key, None)
        return taken
