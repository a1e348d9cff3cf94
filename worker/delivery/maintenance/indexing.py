"""Indexes ended jobs beside the sending: works for a tenth of the time, or for a fifth while there is a backlog."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.outbox.engine.database import Database
from worker.outbox.upkeep.indexing import LOT, index_lot

IDLE_S = 0.5
PAUSE_FACTOR, BACKLOG_PAUSE_FACTOR = 9, 4
"""The pause after a batch, as a multiple of the time that it took; the second one if the batch was full."""


class Indexing:
    """Indexes the jobs that have ended, batch after batch."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic):
        self._database, self._monotonic = database, monotonic

    def turn(self) -> float:
        """Indexes a batch. Returns the seconds until the next one. Raises if the database is away."""
        began = self._monotonic()
        indexed = index_lot(self._database)
        if not indexed:
            return IDLE_S
        return (PAUSE_FACTOR if indexed < LOT else BACKLOG_PAUSE_FACTOR) * (self._monotonic() - began)
