"""Adds up what transactions counted.

Until a row of counts is added up and deleted, which is one transaction, a reader adds it itself: a sum is never behind.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from sqlalchemy import Connection

from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, insert_rows, update_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.upkeep.rates import TimedCalls, forget_old

ROWS = 2_000
"""Rows that are added up in one transaction."""
EVERY_S = 5.0
SELDOM_S = 60.0
"""The same in processes that help out while none leads that knows of counts, as in an upgrade."""


def add_up(connection: Connection) -> int:
    """Moves the oldest rows of counts into the sums; returns how many, 0 where none is left."""
    # Locked, so that of two processes which add up at once the second finds these gone.
    query = f"select id, counts, exemplars from worker_counts order by id limit {ROWS}{dialect_of(connection).lock}"
    rows = fetch(connection, query)
    sums: Counter[str] = Counter()
    traced: dict[str, Any] = {}
    slots = TimedCalls()
    for id, counts, exemplars in rows:
        named = json.loads(counts)
        sums.update(named)
        slots.note(id, named)
        traced.update(json.loads(exemplars or "{}"))
    # In order, as everything that locks several rows.
    insert_rows(
        connection, tables.totals, [{"name": name, "value": sums[name]} for name in sorted(sums)], conflict="add"
    )
    newest = [{"name": name, "exemplar": json.dumps(traced[name])} for name in sorted(traced)]
    update_rows(connection, tables.totals, ("name",), newest)
    if slots:
        insert_rows(connection, tables.rates, slots.rows(), conflict="add")
        forget_old(connection, max(began_at for _, began_at, _ in slots))
    delete_by_id(connection, "worker_counts", [row[0] for row in rows])
    return len(rows)


class Totals:
    """Adds up what an installation counts; more than one process may."""

    def __init__(self, database: Database, every_s: float = EVERY_S):
        self._database, self._every_s = database, every_s

    def turn(self) -> float:
        """Adds up once; returns the seconds until the next turn. Raises when the database is away."""
        return 0.0 if self._database.run(add_up) == ROWS else self._every_s
