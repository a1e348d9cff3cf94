"""Limits the calls in flight of one process, and decides which of its doorbells may begin the next ones."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A doorbell without a slot."""

    lane: str
    count: int
    urgent: bool


class CallSlots:
    """How many calls one process may have in flight, for all of its doorbells. Thread-safe.

    A doorbell without a slot goes before a doorbell that needs more slots. Doorbells of one lane that together need
    many more slots than there are take turns: side by side each of them would have few, and would reserve and mark
    anew for every two calls.
    """

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._waiting: list[_Waiting] = []
        """In the order of arrival."""
        self._at_work: Counter[str] = Counter()
        """Lanes -> how many slots their doorbells need that may still begin calls."""
        self._changed = threading.Condition(threading.Lock())

    @property
    def has_waiting(self) -> bool:
        """True while a doorbell waits for its first slot and it is its turn."""
        with self._changed:
            return any(map(self._is_turn, self._waiting))

    def take_first(self, lane: str, count: int, patience_s: float, *, urgent: bool = False) -> int:
        """Takes one slot for a doorbell that needs `count` of them, as soon as a slot is free.

        Returns 0 if no slot was free, or it was not the doorbell's turn, for `patience_s` seconds. An urgent doorbell
        need not wait for its turn. A doorbell that has got a slot calls `stop_starting` later.
        """
        me = _Waiting(lane, count, urgent)
        with self._changed:
            self._waiting.append(me)
            try:
                self._changed.wait_for(lambda: self._free > 0 and self._is_turn(me), patience_s)
            finally:
                self._waiting.remove(me)
            granted = min(1, self._free)
            self._free -= granted
            if granted:
                self._at_work[lane] += count
            return granted

    def take_more(self, count: int) -> int:
        """Takes up to `count` free slots that no other doorbell waits for."""
        with self._changed:
            if not self._free:
                return 0
            granted = max(0, min(count, self._free - sum(map(self._is_turn, self._waiting))))
            self._free -= granted
            return granted

    def give_back(self, slots: int) -> None:
        """Gives slots back."""
        if slots:
            with self._changed:
                self._free += slots
                self._changed.notify_all()

    def stop_starting(self, lane: str, count: int) -> None:
        """Notes that a doorbell that needs `count` slots begins no further calls."""
        with self._changed:
            self._at_work[lane] -= count
            if not self._at_work[lane]:
                del self._at_work[lane]
            self._changed.notify_all()

    def _is_turn(self, doorbell: _Waiting) -> bool:
        if doorbell.urgent:
            return True
        ahead = takewhile(lambda other: other is not doorbell, self._waiting)
        before = self._at_work[doorbell.lane] + sum(other.count for other in ahead if other.lane == doorbell.lane)
        # A doorbell that needs a few slots, such as for files behind URLs, keeps no other waiting.
        return not before or before + doorbell.count <= self._total + self._total // 8
