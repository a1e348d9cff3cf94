"""Indexes jobs that have ended, beside the sending: it works for a tenth of the time at most."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.outbox.engine.database import Database
from worker.outbox.upkeep.indexing import index_lot

IDLE_S = 0.5
RESTS = 9
"""It rests so many times as long as it worked."""


class Indexing:
    """Goes through the jobs that ended, lot after lot."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic):
        self._database, self._monotonic = database, monotonic

    def turn(self) -> float:
        """Indexes a lot; returns the seconds until the next. Raises when the database is away."""
        began = self._monotonic()
        if not index_lot(self._database):
            return IDLE_S
        return RESTS * (self._monotonic() - began)
