"""The one clock: the database's, evaluated in the statement, in integer microseconds UTC.

Tests control time by passing another `SqlClock`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

SECOND = 1_000_000

_NOW = {
    "postgresql": "(extract(epoch from clock_timestamp()) * 1000000)::bigint",
    # unixepoch('subsec') needs SQLite 3.42; Debian 12 has 3.40. Milliseconds are what SQLite's clock offers.
    "sqlite": "(cast(strftime('%s','now') as integer) * 1000000"
    " + cast(substr(strftime('%f','now'), 4) as integer) * 1000)",
    # SYSDATE, not NOW: the instant of evaluation, not of the statement's start. Its local time serves only for the span
    # since that start, because in the hour that a time zone repeats in autumn one local time is two instants. A span
    # across the switch is wrong by whole half-hours, which `mod` removes: it counts as -1 minute (for a clock that was
    # set back) to +29 minutes. For a statement that waits longer the result is early by whole half-hours.
    "mysql": "(timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))"
    " + mod(timestampdiff(microsecond, now(6), sysdate(6)) + 7260000000, 1800000000) - 60000000)",
}
_NOW["mariadb"] = _NOW["mysql"]


class SqlClock(Protocol):
    """Yields the SQL expression that means "now"."""

    def now(self, dialect: str) -> str:
        """A SQL expression of type bigint."""
        ...


class DatabaseClock:
    """The clock of the database."""

    def now(self, dialect: str) -> str:
        """The dialect's own clock."""
        return _NOW[dialect]


@dataclass
class DrivenClock:
    """A clock that is moved by its caller; for tests and simulations."""

    micros: int = 1_700_000_000 * SECOND

    def now(self, dialect: str) -> str:
        """The instant it was set to, as a literal."""
        return f"cast({self.micros} as {'signed' if dialect in ('mysql', 'mariadb') else 'bigint'})"

    def advance(self, seconds: float) -> None:
        """Moves the clock forward."""
        self.micros += int(seconds * SECOND)


def now_in(connection: Connection, clock: SqlClock) -> str:
    """The clock's SQL expression for the database of this connection."""
    return clock.now(connection.dialect.name)


def read_once(dialect: str, now: str) -> str:
    """The clock as one value that is read before the first row, so that it can end an index range.

    With a clock that may differ from row to row, the database would compare it with every part that is due later.
    """
    # PostgreSQL evaluates an uncorrelated subquery once.
    if dialect == "postgresql":
        return f"(select {now})"
    # MariaDB's NOW is the start of the statement.
    if dialect in ("mysql", "mariadb"):
        return now.replace("sysdate(6)", "now(6)")
    return now


def micros(seconds: float) -> int:
    """Seconds as integer microseconds."""
    return int(seconds * SECOND)
