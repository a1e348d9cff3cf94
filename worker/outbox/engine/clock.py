"""The clock of the outbox: the database's own, read inside each statement, in integer microseconds since 1970 in UTC.

Tests set the time by a `Database` with another `SqlClock`, which all connections of its engine then use. A process
measures only durations by itself, with `boot_clock`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Protocol

from sqlalchemy import Connection

from worker.domain.pacing.window import SECOND as SECOND
from worker.outbox.engine.dialect import Dialect, dialect_of

SKEW_US = 600 * SECOND
"""How far a process's clock may differ from the database's, in microseconds. Ids contain the time of the process's
clock, so a search by a range of ids extends the range by this much. An alert reports a difference of 90 seconds.
A call that is marked further ahead than this proves that the database's clock was set back.
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SqlClock(Protocol):
    """A source of the current time for statements."""

    def now(self, dialect: Dialect) -> str:
        """Returns an SQL expression of type bigint for the current time in microseconds."""
        ...


class DatabaseClock:
    """The clock of the database, or the clock that replaces it in tests."""

    override: ClassVar[SqlClock | None] = None
    """Replaces the clocks of all databases of this process. Set by the test kit for applications."""

    def now(self, dialect: Dialect) -> str:
        """Returns the dialect's own expression, or that of `override`."""
        return dialect.now if self.override is None else self.override.now(dialect)


@dataclass
class DrivenClock:
    """A clock that its caller sets and moves; for tests and simulations."""

    micros: int = 1_700_000_000 * SECOND

    def now(self, dialect: Dialect) -> str:
        """Returns the instant that was set, as a literal."""
        return f"cast({self.micros} as {dialect.integer})"

    def advance(self, seconds: float) -> None:
        """Moves the clock forward."""
        self.micros += int(seconds * SECOND)


CLOCK_OPTION = "worker_clock"
"""The execution option of an engine that holds the clock of its connections."""
_DATABASE_CLOCK = DatabaseClock()


def now_in(connection: Connection) -> str:
    """Returns the SQL expression of this connection's clock."""
    clock: SqlClock = connection.get_execution_options().get(CLOCK_OPTION, _DATABASE_CLOCK)
    return clock.now(dialect_of(connection))


def micros(seconds: float) -> int:
    """Returns seconds as integer microseconds."""
    return int(seconds * SECOND)


def instant(micros: int) -> datetime:
    """Returns microseconds since 1970 as a datetime in UTC.

    Instants before year 1 or after 9999 become the nearest one that exists in every time zone.
    """
    return _EPOCH + timedelta(microseconds=min(max(micros, _FIRST), _LAST))


def micros_of(at: datetime) -> int:
    """Returns an aware datetime as microseconds since 1970."""
    # Not timestamp(): a float is too coarse for microseconds after 2106.
    return (at - _EPOCH) // timedelta(microseconds=1)


_FIRST = micros_of(datetime(1, 1, 2, tzinfo=UTC))
_LAST = micros_of(datetime(9999, 12, 30, tzinfo=UTC))

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_clock() -> float:
    """Returns monotonic seconds that include the time the machine was suspended, if the system has such a clock.

    A call is as fast as `time.monotonic`.
    """
    return time.clock_gettime(_BOOT_CLOCK)
