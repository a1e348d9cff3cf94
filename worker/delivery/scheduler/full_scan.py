"""The round over all lanes, once a second: finds late commits and whatever else the relay's other ways did not see.

A step costs per lane, also for lanes with nothing due, so it has a thread of its own: a turn of the relay, and with it
the time from enqueue to call, must not grow with the number of lanes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from worker.outbox.engine.database import Database
from worker.outbox.lanes.full_scan import START, Place, lanes_with_due

SLICE, LARGEST_SLICE = 100, 2_000
"""Lanes a step looks at: few, for whoever works beside it waits for one step at most; more where rounds are slow."""
BETWEEN_S = 0.002
BREATHS = 3
"""A step is followed by a pause of so many times its length."""
SEEN_WITHIN = 0.6
"""So much of a round's time passes at most until what was committed behind the walk's back has been seen."""
SLOW = 0.2
"""A round that takes more of its time than this looks at more lanes a step."""


class FullScan:
    """Rounds made step by step by one thread, read by another."""

    def __init__(self, database: Database, *, round_s: float, monotonic: Callable[[], float]):
        self._database, self._round_s, self._monotonic = database, round_s, monotonic
        self._found: set[str] = set()
        self._guard = threading.Lock()
        self._place: Place = START
        self._slice = SLICE
        self._began = 0.0

    @property
    def between_rounds(self) -> bool:
        """The next step begins a round."""
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
        """The pause after a whole round: a slow one is followed sooner by the next, whose length counts too."""
        if round_s > self._round_s * SLOW:
            self._slice = min(LARGEST_SLICE, self._slice * 2)
        elif round_s < self._round_s * SLOW / 4:
            self._slice = max(SLICE, self._slice // 2)
        return max(round_s, self._round_s * SEEN_WITHIN - 2 * round_s)

    def found(self) -> set[str]:
        """Lanes with something due, as seen since this was asked last."""
        with self._guard:
            lanes, self._found = self._found, set()
        return lanes
