"""Calls per minute and per quarter of an hour, for the curves of the last hour and the last day.

They are derived from the counts that each commit writes anyway, so no call waits for them. A reader reads a few
thousand rows, however many jobs there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.counting import SEPARATOR, stored_counts
from worker.outbox.engine.sql import fetch, read_now, run

MINUTE, QUARTER = 60 * SECOND, 900 * SECOND
SLOTS: Mapping[int, int] = {MINUTE: 60, QUARTER: 96}
"""Length of a slot in microseconds -> how many such slots are kept: an hour of minutes, a day of quarters."""
ATTEMPTS = f"attempts{SEPARATOR}"
ACCEPTED = frozenset({"accepted", "partial", "progress"})

Slot = tuple[int, int, str]
"""Its length and its start, both in microseconds, and the account."""


@dataclass(slots=True)
class Calls:
    """Numbers of calls, by result."""

    accepted: int = 0
    """Calls that the vendor accepted, for all recipients or for some."""
    refused: int = 0
    """Calls that the vendor answered with a refusal, for good or for now."""
    unanswered: int = 0
    """Calls without a readable answer, and calls that could not be made."""

    def add(self, calls: Calls) -> None:
        """Adds the numbers of `calls` to these."""
        self.accepted += calls.accepted
        self.refused += calls.refused
        self.unanswered += calls.unanswered


class CallsBySlot(dict[Slot, Calls]):
    """Numbers of calls by slot."""

    def add_counts(self, id: str, counts: Mapping[str, int]) -> None:
        """Adds the calls that one commit counted. Their time comes from its id, so from the clock of its process."""
        for name, times in counts.items():
            if name.startswith(ATTEMPTS):
                _, _, account, _, outcome, code = name.split(SEPARATOR)
                field = "accepted" if outcome in ACCEPTED else "refused"
                if outcome == "unknown" or code == "unsent":
                    field = "unanswered"
                at = int(id[:12], 16) * 1_000
                for length in SLOTS:
                    self.add((length, at - at % length, account), Calls(**{field: times}))

    def add(self, slot: Slot, calls: Calls) -> None:
        """Adds calls to a slot."""
        self.setdefault(slot, Calls()).add(calls)

    def rows(self) -> list[dict[str, Any]]:
        """Returns the rows for `worker_rates`, in the order of its primary key."""
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


def delete_old_slots(connection: Connection, newest: int) -> None:
    """Deletes the slots that are too old for any curve. `newest` is the newest slot's start, in microseconds."""
    for length, count in SLOTS.items():
        query = "delete from worker_rates where length_us = :length and began_at < :before"
        run(connection, query, {"length": length, "before": newest - (count + 1) * length})


@dataclass(frozen=True, slots=True)
class CallRates:
    """The calls of the last hour and of the last day, by account."""

    hour: Mapping[str, tuple[Calls, ...]]
    """60 minutes by account, oldest first; the last minute is not over."""
    day: Mapping[str, tuple[Calls, ...]]
    """96 quarters of an hour by account, oldest first; the last quarter is not over."""


def call_rates(connection: Connection, now_sql: str) -> CallRates:
    """Reads the calls of the last hour and of the last day, including those that are not yet added up."""
    now, slots = read_now(connection, now_sql), CallsBySlot()
    starts = {length: now - now % length - (count - 1) * length for length, count in SLOTS.items()}
    columns = "length_us, began_at, account, accepted, refused, unanswered"
    select = f"select {columns}, null from worker_rates where length_us = {{0}} and began_at >= {{1}}"
    # One statement, as in `counting.totals`: a row that is added up between two would count twice or not at all.
    query = " union all ".join(select.format(length, start) for length, start in starts.items())
    query += " union all select null, null, id, null, null, null, counts from worker_counts"
    # In a row of `worker_counts`, the third column is the id of the commit.
    for length, began_at, account, accepted, refused, unanswered, counts in fetch(connection, query):
        if counts is None:
            slots.add((int(length), int(began_at), account), Calls(int(accepted), int(refused), int(unanswered)))
        else:
            slots.add_counts(account, stored_counts(counts))
    hour, day = (dict(_series(slots, length, starts[length])) for length in (MINUTE, QUARTER))
    return CallRates(hour, day)


def _series(slots: CallsBySlot, length: int, start: int) -> Iterator[tuple[str, tuple[Calls, ...]]]:
    """Yields each account with its slots of this length from `start` on, in order; slots without calls are zero."""
    accounts = Counter(
        account for slot_length, began_at, account in slots if slot_length == length and began_at >= start
    )
    times = range(start, start + SLOTS[length] * length, length)
    for account in accounts:
        yield account, tuple(slots.get((length, at, account), Calls()) for at in times)
