"""One whole round of housekeeping, which a worker makes in turns."""

from __future__ import annotations

from worker.config.settings import RetentionSettings
from worker.delivery.maintenance.housekeeping import AFTER_FAILURE_S, BETWEEN_BATCHES_S, Housekeeping
from worker.outbox.engine.database import Database


def keep_house(database: Database, settings: RetentionSettings) -> dict[str, int]:
    """Deletes all that is old; returns how many rows of each task went. Fails where a task does."""
    house, gone = Housekeeping(database, settings), dict[str, int]()
    while (pause := house.turn()) == BETWEEN_BATCHES_S:
        gone |= house.deleted
    assert pause > AFTER_FAILURE_S, "no task failed"
    return gone | dict(house.deleted)
