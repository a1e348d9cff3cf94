"""The counters behind the metrics. A transaction stores its counts with its work, so both are committed or neither is.

Each transaction inserts a row of its own, so no two processes update the same row; `upkeep/totals.py` adds the rows up.
A counter's name is the metric's name and the values of its labels, separated by tabs.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.domain.stored import object_or_empty
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import fetch
from worker.outbox.tables import counts as table

SEPARATOR = "\t"


class Exemplar(NamedTuple):
    """A traced call, as the example for a bucket of a histogram."""

    trace_id: str
    span_id: str
    value: int
    """The measured duration in microseconds."""
    at: int
    """When it was counted, in microseconds since 1970."""


def count_row(counts: Mapping[str, int]) -> dict[str, Any]:
    """Returns a new row for the counts of one transaction."""
    return {"id": uuid7().hex, "counts": to_json(counts).decode()}


def count(connection: Connection, name: str, *labels: str, times: int = 1, once: str | None = None) -> None:
    """Counts something that this transaction does.

    `once` is an id under which it counts only once, even if several transactions count it.
    """
    row = count_row({SEPARATOR.join((name, *labels)): times})
    insert_rows(connection, table, [row if once is None else {**row, "id": once}], conflict="ignore")


def stored_counts(text: str) -> dict[str, int]:
    """Returns the counts of a row that `count_row` made, or none if it cannot be read: it may not stop the others."""
    return {name: value for name, value in object_or_empty(text).items() if isinstance(value, int)}


def exemplars(connection: Connection) -> dict[str, Exemplar]:
    """Returns bucket name -> its newest traced call, of the rows that are added up."""
    rows = fetch(connection, "select name, exemplar from worker_totals where exemplar is not null")
    return {name: Exemplar(*json.loads(exemplar)) for name, exemplar in rows}


def totals(connection: Connection) -> Counter[str]:
    """Returns counter name -> its value, including the rows that are not yet added up."""
    # One statement: a row that is added up between two statements would count twice or not at all.
    query = "select name, value, null from worker_totals union all select null, null, counts from worker_counts"
    sums: Counter[str] = Counter()
    for name, value, counts in fetch(connection, query):
        sums.update({name: int(value)} if counts is None else stored_counts(counts))
    return sums


class BufferedCounts:
    """Counts of what happens outside transactions, such as a refused callback. Thread-safe.

    They are in memory until `flush`, and are lost if the process dies before.
    """

    def __init__(self, database: Database):
        self._database = database
        self._guard = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._unwritten: list[dict[str, Any]] = []
        """Rows that may not be in the database yet. They are inserted again with the same id, so none counts twice."""

    def add(self, name: str, *labels: str, times: int = 1) -> None:
        """Adds `times` to a counter."""
        with self._guard:
            self._counts[SEPARATOR.join((name, *labels))] += times

    def flush(self) -> None:
        """Writes all counts. Call it from one thread only. If the database is away it raises, and keeps the counts."""
        with self._guard:
            if self._counts:
                self._unwritten.append(count_row(self._counts))
                self._counts = Counter()
        while rows := self._unwritten[:1]:
            self._database.run(partial(insert_rows, table=table, rows=rows, conflict="ignore"))
            del self._unwritten[0]
