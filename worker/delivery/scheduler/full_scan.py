"""The full scan over all lanes, once a second: finds late commits and all else that the relay's turns did not see.

A step takes time for each lane, also for lanes with nothing due. So it has a thread of its own: a turn of the relay,
and with it the time from enqueue to call, must not grow with the number of lanes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from worker.outbox.engine.database import Database
from worker.outbox.lanes.full_scan import START, Place, lanes_with_due

SLICE, LARGEST_SLICE = 100, 2_000
"""Lanes that one step looks at, at first and at most; few, because the threads beside it wait for a step."""
BETWEEN_S = 0.002
"""The shortest pause between two steps, in seconds."""
BREATHS = 3
"""The pause after a step, in multiples of its length."""
SEEN_WITHIN = 0.6
"""The part of `round_s` in which a commit behind the scan's place is found, while rounds are fast."""
SLOW = 0.2
"""A round that takes more than this part of `round_s` is slow, and the next ones look at more lanes a step."""


class FullScan:
    """Rounds over all lanes, made step by step by one thread and read by another."""

    def __init__(self, database: Database, *, round_s: float, monotonic: Callable[[], float]):
        self._database, self._round_s, self._monotonic = database, round_s, monotonic
        self._found: set[str] = set()
        self._guard = threading.Lock()
        self._place: Place = START
        self._slice = SLICE
        self._began = 0.0

    @property
    def between_rounds(self) -> bool:
        """True when the next step begins a round."""
        return self._place == START

    def step(self) -> float:
        """Looks at the next few lanes; the seconds until the next step."""
        started = self._monotonic()
        if self.between_rounds:
            self._began = started
        with self._database.reading() as connection:
            lanes, place = lanes_with_due(connection, self._database.now, self._place, self._slice)
        with self._guard:
            self._found |= lanes
        ended = self._monotonic()
        self._place = START if place is None else place
        return self._rest(ended - self._began) if place is None else max(BETWEEN_S, BREATHS * (ended - started))

    def _rest(self, round_s: float) -> float:
        """Seconds until the next round; adapts the number of lanes a step."""
        if round_s > self._round_s * SLOW:
            self._slice = min(LARGEST_SLICE, self._slice * 2)
        elif round_s < self._round_s * SLOW / 4:
            self._slice = max(SLICE, self._slice // 2)
        # A commit just behind the scan's place waits for the rest of this round, the pause and most of the next round:
        # the pause is what two rounds leave of the time. At least one round long, so that half of the time is free.
        return max(round_s, self._round_s * SEEN_WITHIN - 2 * round_s)

    def found(self) -> set[str]:
        """Lanes in which the scan found due parts since the last call of this."""
        with self._guard:
            lanes, self._found = self._found, set()
        return lanes
