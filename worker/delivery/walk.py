"""The round over all lanes, once a second: finds late commits and whatever else the relay's other ways did not see.

A step costs per lane, also for lanes with nothing due, so it has a thread of its own: a turn of the relay, and with it
the time from enqueue to call, must not grow with the number of lanes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from worker.outbox.database import Database
from worker.outbox.walking import START, Place, lanes_with_due

SLICE = 2_000
SEEN_WITHIN = 0.6
"""So much of a round's time passes at most until what was committed behind the walk's back has been seen."""


class Walk:
    """Rounds made by one thread, read by another."""

    def __init__(self, database: Database, *, round_s: float, monotonic: Callable[[], float]):
        self._database, self._round_s, self._monotonic = database, round_s, monotonic
        self._found: set[str] = set()
        self._guard = threading.Lock()

    def round(self) -> float:
        """Looks at every lane once; the seconds until the next round.

        A slow round is followed sooner by the next one, whose length counts too, but never at once.
        """
        started = self._monotonic()
        place: Place | None = START
        with self._database.reading() as connection:
            while place is not None:
                lanes, place = lanes_with_due(connection, self._database.now, place, SLICE)
                with self._guard:
                    self._found |= lanes
        spent = self._monotonic() - started
        return max(spent, self._round_s * SEEN_WITHIN - 2 * spent)

    def found(self) -> set[str]:
        """Lanes with something due, as seen since this was asked last."""
        with self._guard:
            lanes, self._found = self._found, set()
        return lanes
