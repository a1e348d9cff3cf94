"""When parts that wait for the limit of a member try again, and how they then go before the lane's backlog.

`RetryTimes`: parts that wait for the same member try again one after another, not all at once. A backlog of n messages
then tries n times in all, not n times a window. Each process knows only the times that it gave itself. They decide when
a part tries again, never whether the limit allows it.

`RetryHints`: a part that waits for a limit becomes due after the whole backlog. By time alone it would go behind all of
it, while its member's window stays half empty. So its process remembers it, as well as further parts of a member whose
window is about to be full. These are only hints: a part that is forgotten is offered by the relay.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from worker.domain.job import Priority

SEARCH_WINDOW = 10_000
"""How many parts of a lane's backlog are searched for further parts of a member."""
PAUSE_FACTOR = 20
"""The pause between two such searches, as a multiple of the time that the last one took."""
MAX_PARTS = 20_000
"""The largest number of remembered parts. With one more, all are forgotten and go with the backlog."""
MAX_KEYS = 20_000
"""The largest number of limit keys with times. With one more, all are forgotten, and some parts try too early."""


class RetryHints:
    """Waiting parts by lane and priority, in the order in which they are due again."""

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self.waiting: dict[tuple[str, int], list[tuple[float, str]]] = {}
        """Empty in most processes, which then need not check what is due."""
        self._parts: set[str] = set()
        self._search_at = -1.0

    def try_begin_search(self) -> bool:
        """Returns True for one thread at a time, and not before the pause after the last search is over."""
        with self._lock:
            may_begin = self._search_at <= self._monotonic()
            if may_begin:
                self._search_at = math.inf
        return may_begin

    def end_search(self, began: float) -> None:
        """Ends the search that began at `began`, and begins the pause."""
        now = self._monotonic()
        self._search_at = now + PAUSE_FACTOR * max(now - began, 0.001)

    def add(self, lane: str, priority: int, part: str, delay_s: float) -> None:
        """Remembers a part that is due again in `delay_s` seconds."""
        with self._lock:
            if len(self._parts) >= MAX_PARTS:
                self.waiting.clear()
                self._parts.clear()
            if part not in self._parts:
                self._parts.add(part)
                heappush(self.waiting.setdefault((lane, priority), []), (self._monotonic() + delay_s, part))

    def take_due(self, lane: str, lowest: int, limit: int) -> list[str]:
        """Removes and returns up to `limit` parts that are due and at least as urgent as `lowest`."""
        now, ids = self._monotonic(), list[str]()
        with self._lock:
            for priority in Priority:
                if priority <= lowest:
                    ids += self._pop((lane, priority), now, limit - len(ids))
        return ids

    def _pop(self, key: tuple[str, int], now: float, limit: int) -> list[str]:
        waiting, popped = self.waiting.get(key, []), list[str]()
        while waiting and len(popped) < limit and waiting[0][0] <= now:
            popped.append(heappop(waiting)[1])
        self._parts.difference_update(popped)
        if not waiting:
            self.waiting.pop(key, None)
        return popped


class RetryTimes:
    """Instants (microseconds of the database's clock) at which waiting parts try again, by limit key."""

    def __init__(self) -> None:
        self._instants: dict[str, list[int]] = {}

    def after(self, key: str, now: int) -> list[int]:
        """Returns the instants after `now` at which parts try again, in order."""
        instants = self._instants.get(key, [])
        del instants[: bisect_right(instants, now)]
        if not instants:
            self._instants.pop(key, None)
        return list(instants)

    def add(self, instants: Iterable[tuple[str, int]]) -> None:
        """Adds instants at which parts will try again."""
        for key, at in instants:
            insort(self._instants.setdefault(key, []), at)
        if len(self._instants) > MAX_KEYS:
            self._instants.clear()
