"""Indexes jobs that have ended, beside the sending: it works for a tenth of the time, behind a backlog for a fifth."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.outbox.engine.database import Database
from worker.outbox.upkeep.indexing import LOT, index_lot

IDLE_S = 0.5
RESTS, RESTS_BEHIND = 9, 4
"""It rests so many times as long as it worked; and where a lot was full."""


class Indexing:
    """Goes through the jobs that ended, lot after lot."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic):
        self._database, self._monotonic = database, monotonic

    def turn(self) -> float:
        """Indexes a lot; returns the seconds until the next. Raises when the database is away."""
        began = self._monotonic()
        indexed = index_lot(self._database)
        if not indexed:
            return IDLE_S
        return (RESTS if indexed < LOT else RESTS_BEHIND) * (self._monotonic() - began)
