"""Answers that do not look as the vendor's pages say: each fact once, with a sample, and counted.

A vendor that adds a field adds it to every answer, so a process stores a fact once an hour, and otherwise counts it: no
commit waits for another's row.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from worker.domain.outcome import Contradiction
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.counting import BETWEEN, totals
from worker.outbox.engine.sql import fetch, mappings, run

AGAIN_S = 3_600.0
MOST = 100
"""Facts of a channel that a process tells apart; a vendor may answer nonsense without end."""
COUNTED = "drift_facts"
"""The counter of each fact, which is no metric: a fact may name a field of the vendor's."""
MORE = "more facts than are told apart"


class Drifts:
    """Which facts this process has stored lately. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._stored: dict[tuple[str, str], float] = {}
        self._facts: Counter[str] = Counter()

    def seen(self, channel: str, found: Sequence[Contradiction]) -> tuple[Contradiction, ...]:
        """The same facts, each to be counted; with an empty sample where it need not be stored again."""
        with self._guard:
            return tuple(self._seen(channel, one) for one in found)

    def _seen(self, channel: str, one: Contradiction) -> Contradiction:
        key, now = (channel, one.fact), self._monotonic()
        if key not in self._stored and self._facts[channel] >= MOST:
            one = replace(one, fact=MORE)
            key = (channel, MORE)
        stored_at = self._stored.get(key)
        if stored_at is not None and now - stored_at < AGAIN_S:
            return replace(one, sample="")
        self._facts[channel] += stored_at is None
        self._stored[key] = now
        return one


def keep(connection: Connection, channel: str, account: str, part_id: str, one: Contradiction, now: int) -> None:
    """Stores a fact that an answer contradicts, or that another one did."""
    row = {"channel": channel, "fact": one.fact, "account": account, "part_id": part_id, "sample": one.sample}
    fresh = {**row, "sort": one.sort, "first_at": now, "last_at": now}
    insert_rows(connection, tables.drift, [fresh], conflict="ignore")
    update = (
        "update worker_drift set account = :account, part_id = :part_id, sample = :sample, last_at = :now"
        " where channel = :channel and fact = :fact and last_at < :now"
    )
    run(connection, update, {**row, "now": now})


def newest(connection: Connection) -> dict[tuple[str, str], int]:
    """When the newest fact of a channel and sort was first contradicted."""
    query = "select channel, sort, max(first_at) from worker_drift group by channel, sort"
    return {(channel, sort): int(at) for channel, sort, at in fetch(connection, query)}


def list_drift(connection: Connection, channel: str | None) -> list[dict[str, Any]]:
    """Every fact that answers contradicted, the last one first, with how many answers did."""
    mine = "" if channel is None else " where channel = :channel"
    query = f"select {tables.columns_of(tables.drift)} from worker_drift{mine} order by last_at desc, channel, fact"
    rows, counted = mappings(connection, query, {"channel": channel}), totals(connection)
    return [{**row, "answers": counted[BETWEEN.join((COUNTED, row["channel"], row["fact"]))]} for row in rows]
