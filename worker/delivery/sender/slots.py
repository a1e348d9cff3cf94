"""How many calls one process has in flight, and which of its doorbells may begin the next ones."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A doorbell without a slot."""

    lane: str
    wanted: int
    urgent: bool


class CallSlots:
    """How many calls one process may have in flight, for all of its doorbells. Thread-safe.

    A doorbell that has no slot yet goes before those that want more. Doorbells of one lane that together want many more
    slots than there are take turns: side by side each would have few, and reserve and mark for every two calls anew.
    """

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._waiting: list[_Waiting] = []
        """In the order in which they came."""
        self._at_work: Counter[str] = Counter()
        """Lanes -> how many slots those of their doorbells want that may still begin calls."""
        self._changed = threading.Condition(threading.Lock())

    @property
    def awaited(self) -> bool:
        """True while a doorbell waits for its first slot, and its turn has come."""
        with self._changed:
            return any(map(self._is_turn, self._waiting))

    def first(self, lane: str, wanted: int, patience_s: float, *, urgent: bool = False) -> int:
        """Takes one, as soon as one is free, for a doorbell that wants so many; 0 when none was for so many seconds.

        Nor does it wait longer for its turn, and an urgent one takes none. A doorbell that has a slot calls `no_more`.
        """
        me = _Waiting(lane, wanted, urgent)
        with self._changed:
            self._waiting.append(me)
            try:
                self._changed.wait_for(lambda: self._free > 0 and self._is_turn(me), patience_s)
            finally:
                self._waiting.remove(me)
            taken = min(1, self._free)
            self._free -= taken
            if taken:
                self._at_work[lane] += wanted
            return taken

    def more(self, wanted: int) -> int:
        """Takes as many as are free, and awaited by no other doorbell."""
        with self._changed:
            if not self._free:
                return 0
            taken = max(0, min(wanted, self._free - sum(map(self._is_turn, self._waiting))))
            self._free -= taken
            return taken

    def free(self, slots: int) -> None:
        """Gives slots back."""
        if slots:
            with self._changed:
                self._free += slots
                self._changed.notify_all()

    def no_more(self, lane: str, wanted: int) -> None:
        """A doorbell that wanted so many begins no further calls."""
        with self._changed:
            self._at_work[lane] -= wanted
            if not self._at_work[lane]:
                del self._at_work[lane]
            self._changed.notify_all()

    def _is_turn(self, doorbell: _Waiting) -> bool:
        if doorbell.urgent:
            return True
        ahead = takewhile(lambda other: other is not doorbell, self._waiting)
        before = self._at_work[doorbell.lane] + sum(
            other.wanted for other in ahead if other.lane == doorbell.lane and not other.urgent
        )
        # One that wants a few slots, such as for files behind URLs, keeps no other waiting.
        return not before or before + doorbell.wanted <= self._most + self._most // 8
