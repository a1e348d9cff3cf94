"""The one clock: the database's, evaluated in the statement, in integer microseconds UTC.

Tests control time by a `Database` with another `SqlClock`, which all connections of its engine then have. Inside a
process only durations count, on `boot_clock`.
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
"""How far the clock of a process, which is in its ids, may be from the database's: a range of ids holds so much more.

An alert tells of clocks that are a minute and a half apart.
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SqlClock(Protocol):
    """Yields the SQL expression that means "now"."""

    def now(self, dialect: Dialect) -> str:
        """A SQL expression of type bigint."""
        ...


class DatabaseClock:
    """The clock of the database, unless another one stands in for it."""

    stand_in: ClassVar[SqlClock | None] = None
    """What the test kit of applications puts in the place of every database's clock."""

    def now(self, dialect: Dialect) -> str:
        """The dialect's own clock."""
        return dialect.now if self.stand_in is None else self.stand_in.now(dialect)


@dataclass
class DrivenClock:
    """A clock that is moved by its caller; for tests and simulations."""

    micros: int = 1_700_000_000 * SECOND

    def now(self, dialect: Dialect) -> str:
        """The instant it was set to, as a literal."""
        return f"cast({self.micros} as {dialect.integer})"

    def advance(self, seconds: float) -> None:
        """Moves the clock forward."""
        self.micros += int(seconds * SECOND)


CLOCK_OPTION = "worker_clock"
"""The execution option of an engine whose connections have another clock than their database's."""
_DATABASE_CLOCK = DatabaseClock()


def now_in(connection: Connection) -> str:
    """The SQL expression of this connection's clock."""
    clock: SqlClock = connection.get_execution_options().get(CLOCK_OPTION, _DATABASE_CLOCK)
    return clock.now(dialect_of(connection))


def micros(seconds: float) -> int:
    """Seconds as integer microseconds."""
    return int(seconds * SECOND)


def instant(micros: int) -> datetime:
    """Microseconds since 1970 as a datetime in UTC; the nearest that every time zone has, where there is no such."""
    return _EPOCH + timedelta(microseconds=min(max(micros, _FIRST), _LAST))


def micros_of(at: datetime) -> int:
    """An aware datetime as microseconds since 1970."""
    # Not timestamp(): a float has no microseconds left after 2106.
    return (at - _EPOCH) // timedelta(microseconds=1)


_FIRST = micros_of(datetime(1, 1, 2, tzinfo=UTC))
_LAST = micros_of(datetime(9999, 12, 30, tzinfo=UTC))

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_clock() -> float:
    """Seconds that go on while the machine sleeps, where the system has such a clock; as fast as `monotonic`."""
    return time.clock_gettime(_BOOT_CLOCK)
