"""Adds the counts of single transactions to the totals.

A row of counts is added up and deleted in one transaction. Until then each reader of the totals adds it by itself, so
the totals are always up to date.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from sqlalchemy import Connection

from worker.domain.stored import object_or_empty
from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, insert_rows, update_rows
from worker.outbox.engine.counting import stored_counts
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.upkeep.rates import CallsBySlot, delete_old_slots

ROWS = 2_000
"""The largest number of rows that one transaction adds up."""
EVERY_S = 5.0
"""Seconds between two turns of the process that leads."""
SPARE_EVERY_S = 60.0
"""Seconds between two turns of all other processes. They work in case the leader, such as an older release during an
upgrade, does not add up counts."""


def add_up(connection: Connection) -> int:
    """Moves the oldest rows of counts into the totals. Returns how many, or 0 if there are none."""
    # Locked, so that a second process that adds up at the same time finds these rows deleted.
    query = f"select id, counts, exemplars from worker_counts order by id limit {ROWS}{dialect_of(connection).lock}"
    rows = fetch(connection, query)
    sums: Counter[str] = Counter()
    exemplars: dict[str, Any] = {}
    slots = CallsBySlot()
    for id, counts_json, exemplars_json in rows:
        counts = stored_counts(counts_json)
        sums.update(counts)
        slots.add_counts(id, counts)
        exemplars.update(object_or_empty(exemplars_json))
    # Sorted, like everything that locks several rows.
    insert_rows(
        connection, tables.totals, [{"name": name, "value": sums[name]} for name in sorted(sums)], conflict="add"
    )
    newest = [{"name": name, "exemplar": json.dumps(exemplars[name])} for name in sorted(exemplars)]
    update_rows(connection, tables.totals, ("name",), newest)
    if slots:
        insert_rows(connection, tables.rates, slots.rows(), conflict="add")
        delete_old_slots(connection, max(began_at for _, began_at, _ in slots))
    delete_by_id(connection, "worker_counts", [row[0] for row in rows])
    return len(rows)


class Totals:
    """Adds up the counts of an installation, turn by turn. Several processes may do so at once."""

    def __init__(self, database: Database, every_s: float = EVERY_S):
        self._database, self._every_s = database, every_s

    def turn(self) -> float:
        """Adds up one batch. Returns the seconds until the next turn. Raises if the database is away."""
        return 0.0 if self._database.run(add_up) == ROWS else self._every_s
