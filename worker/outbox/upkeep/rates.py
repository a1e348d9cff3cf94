"""Calls by minute and by quarter of an hour, which is what curves of the last hour and the last day are made of.

They come out of the counts that each commit writes anyway, so no call waits for them, and a reader finds some thousand
rows however many jobs there are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.counting import BETWEEN
from worker.outbox.engine.sql import fetch, read_now, run

MINUTE, QUARTER = 60 * SECOND, 900 * SECOND
SLOTS: Mapping[int, int] = {MINUTE: 60, QUARTER: 96}
"""Microseconds of a slot -> how many of them are kept: an hour by minutes, a day by quarters."""
ATTEMPTS = f"attempts{BETWEEN}"
TAKEN = frozenset({"accepted", "partial", "progress"})

Slot = tuple[int, int, str]
"""Its length, when it began, and the account."""


@dataclass(slots=True)
class Calls:
    """Calls by what came of them."""

    accepted: int = 0
    """The vendor took them, for all recipients or for some."""
    refused: int = 0
    """The vendor answered and did not take them, for good or for now."""
    unanswered: int = 0
    """No readable answer came, or the call could not be made."""

    def add(self, other: Calls) -> None:
        """Adds others."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.unanswered += other.unanswered


class TimedCalls(dict[Slot, Calls]):
    """Calls by slots."""

    def note(self, id: str, counts: Mapping[str, int]) -> None:
        """Adds the calls that a commit counted; its id says when, by the clock of its process."""
        for name, times in counts.items():
            if name.startswith(ATTEMPTS):
                _, _, account, _, outcome, code = name.split(BETWEEN)
                field = "accepted" if outcome in TAKEN else "refused"
                if outcome == "unknown" or code == "unsent":
                    field = "unanswered"
                at = int(id[:12], 16) * 1_000
                for length in SLOTS:
                    self.add((length, at - at % length, account), Calls(**{field: times}))

    def add(self, slot: Slot, calls: Calls) -> None:
        """Adds calls to a slot."""
        self.setdefault(slot, Calls()).add(calls)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table, in the order of its key."""
        return [
            {
                "length_us": length,
                "began_at": began_at,
                "account": account,
                "accepted": calls.accepted,
                "refused": calls.refused,
                "unanswered": calls.unanswered,
            }
            for (length, began_at, account), calls in sorted(self.items(), key=lambda item: item[0])
        ]


def forget_old(connection: Connection, newest: int) -> None:
    """Deletes the slots that no curve reaches back to; `newest` is an instant in microseconds."""
    for length, count in SLOTS.items():
        query = "delete from worker_rates where length_us = :length and began_at < :before"
        run(connection, query, {"length": length, "before": newest - (count + 1) * length})


@dataclass(frozen=True, slots=True)
class CallRates:
    """The calls of the last hour and the last day, by account."""

    hour: Mapping[str, tuple[Calls, ...]]
    """60 minutes, the last of which goes on."""
    day: Mapping[str, tuple[Calls, ...]]
    """96 quarters of an hour, the last of which goes on."""


def call_rates(connection: Connection, now_sql: str) -> CallRates:
    """Reads the calls of the last hour and the last day, with those that are not added up yet."""
    now, slots = read_now(connection, now_sql), TimedCalls()
    firsts = {length: now - now % length - (count - 1) * length for length, count in SLOTS.items()}
    columns = "length_us, began_at, account, accepted, refused, unanswered"
    of = f"select {columns}, null from worker_rates where length_us = {{0}} and began_at >= {{1}}"
    # One statement, as in `counting.totals`: a row that is added up between two would count twice or not at all.
    query = " union all ".join(of.format(length, first) for length, first in firsts.items())
    query += " union all select null, null, id, null, null, null, counts from worker_counts"
    for length, began_at, account, accepted, refused, unanswered, counts in fetch(connection, query):
        if counts is None:
            slots.add((int(length), int(began_at), account), Calls(int(accepted), int(refused), int(unanswered)))
        else:
            slots.note(account, json.loads(counts))
    hour, day = (dict(_series(slots, length, firsts[length])) for length in (MINUTE, QUARTER))
    return CallRates(hour, day)


def _series(slots: TimedCalls, length: int, first: int) -> Iterator[tuple[str, tuple[Calls, ...]]]:
    """Every account with its slots in order, also those in which nothing was called."""
    found = Counter(account for of, began_at, account in slots if of == length and began_at >= first)
    times = range(first, first + SLOTS[length] * length, length)
    for account in found:
        yield account, tuple(slots.get((length, at, account), Calls()) for at in times)
