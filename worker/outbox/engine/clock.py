"""The one clock: the database's, evaluated in the statement, in integer microseconds UTC.

Tests drive time by passing another `SqlClock`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

SECOND = 1_000_000

_NOW = {
    "postgresql": "(extract(epoch from clock_timestamp()) * 1000000)::bigint",
    # unixepoch('subsec') needs SQLite 3.42; Debian 12 has 3.40. Milliseconds are what SQLite's clock offers.
    "sqlite": "(cast(strftime('%s','now') as integer) * 1000000"
    " + cast(substr(strftime('%f','now'), 4) as integer) * 1000)",
    # SYSDATE, not NOW: the instant of evaluation, not of the statement's start. Its local time is only used for the
    # span since that start: as an instant it would mean two in the hour a caller's time zone repeats in autumn. A span
    # over the switch itself is longer or shorter by what the clocks are moved, always whole half-hours: these are left
    # out, so that it lies between a minute back (somebody set the server's clock) and 29 on. Of a statement that waits
    # for longer it is whole half-hours early.
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
    """The real one."""

    def now(self, dialect: str) -> str:
        """The dialect's own clock."""
        return _NOW[dialect]


@dataclass
class DrivenClock:
    """A clock that moves only when told; for tests and simulations."""

    micros: int = 1_700_000_000 * SECOND

    def now(self, dialect: str) -> str:
        """The instant it was set to, as a literal."""
        return f"cast({self.micros} as {'signed' if dialect in ('mysql', 'mariadb') else 'bigint'})"

    def advance(self, seconds: float) -> None:
        """Moves forward."""
        self.micros += int(seconds * SECOND)


def read_once(dialect: str, now: str) -> str:
    """The clock as one value, read before the first row: only such a value can end an index range.

    A clock that may differ from row to row is compared with each of them: every part that is due later would be read.
    """
    if dialect == "postgresql":
        return f"(select {now})"
    if dialect in ("mysql", "mariadb"):
        return now.replace("sysdate(6)", "now(6)")
    return now


def micros(seconds: float) -> int:
    """Seconds as integer microseconds."""
    return int(seconds * SECOND)
