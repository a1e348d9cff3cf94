"""Counts of what is done: each transaction writes its own as a row, so they are stored exactly when its work is.

A counter is named by words with tabs between them: the metric, then the values of its labels. No row is ever updated by
two processes; `upkeep/totals.py` adds them up.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import fetch
from worker.outbox.tables import counts as table

BETWEEN = "\t"


class Exemplar(NamedTuple):
    """A traced call that was counted in a bucket."""

    trace_id: str
    span_id: str
    value: int
    """What was counted: seconds in microseconds."""
    at: int
    """When, in microseconds."""


def count_row(counts: Mapping[str, int]) -> dict[str, Any]:
    """The row of what one transaction counts."""
    return {"id": uuid7().hex, "counts": to_json(counts).decode()}


def count(connection: Connection, name: str, *labels: str, times: int = 1, once: str | None = None) -> None:
    """Counts something that this transaction does; what has an id (`once`) counts once, however often it is tried."""
    row = count_row({BETWEEN.join((name, *labels)): times})
    insert_rows(connection, table, [row if once is None else {**row, "id": once}], conflict="ignore")


def exemplars(connection: Connection) -> dict[str, Exemplar]:
    """The newest traced call of each bucket that has one, as far as it was added up, by the bucket's name."""
    rows = fetch(connection, "select name, exemplar from worker_totals where exemplar is not null")
    return {name: Exemplar(*json.loads(exemplar)) for name, exemplar in rows}


def totals(connection: Connection) -> Counter[str]:
    """Every counter's sum, by its name."""
    # One statement: between two of them a row could be added up, and then be read twice or not at all.
    query = "select name, value, null from worker_totals union all select null, null, counts from worker_counts"
    found: Counter[str] = Counter()
    for name, value, counts in fetch(connection, query):
        found.update({name: int(value)} if counts is None else json.loads(counts))
    return found


class LooseCounts:
    """Counts of what no transaction does, such as a refused callback; kept in memory until `flush`. Thread-safe."""

    def __init__(self, database: Database):
        self._database = database
        self._guard = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._owed: list[dict[str, Any]] = []
        """Rows that were made and may not be written yet: the same ones are tried again, so that none counts twice."""

    def add(self, name: str, *labels: str, times: int = 1) -> None:
        """Counts something; lost when the process dies before the next `flush`."""
        with self._guard:
            self._counts[BETWEEN.join((name, *labels))] += times

    def flush(self) -> None:
        """Writes what was counted, from one thread; raises while the database is away, and nothing is lost by that."""
        with self._guard:
            if self._counts:
                self._owed.append(count_row(self._counts))
                self._counts = Counter()
        while self._owed:
            self._database.run(lambda connection: insert_rows(connection, table, self._owed[:1], conflict="ignore"))
            del self._owed[0]
