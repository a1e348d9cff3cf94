"""The time of a test. The outbox, the worker and the fake vendor share it, and it moves only when the test moves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from worker.language import with_chinese_note
from worker.outbox.engine.clock import SECOND, DatabaseClock, DrivenClock, SqlClock, instant, micros_of
from worker_simulator.clock import Clock as VendorClock


class KitClock:
    """Stands still from the instant at which the test began."""

    def __init__(self, vendor: Callable[[], VendorClock]):
        """`vendor` returns the fake vendor's clock, which a reset replaces."""
        self.sql = DrivenClock(micros_of(datetime.now(UTC)))
        self._ticks = 1_000.0
        self._vendor = vendor
        self._set_vendor_clock()

    def now(self) -> datetime:
        """Returns the current time in UTC."""
        return instant(self.sql.micros)

    def advance(
        self, delay: timedelta | float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0
    ) -> None:
        """Moves forward by a timedelta or seconds, and by minutes, hours and days."""
        delta = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
        self.move_to(self.now() + delta + timedelta(minutes=minutes, hours=hours, days=days))

    def move_to(self, at: datetime) -> None:
        """Moves forward to an aware datetime. Raises ValueError if it is in the past or has no time zone."""
        if at.tzinfo is None:
            text = "the datetime has no time zone; use an aware one, such as clock.now() + timedelta(...)"
            raise with_chinese_note(ValueError(text))
        ahead = micros_of(at) - self.sql.micros
        if ahead < 0:
            text = f"the clock stands at {self.now().isoformat()} and does not go back to {at.isoformat()}"
            raise with_chinese_note(ValueError(text))
        self.sql.micros += ahead
        self._ticks += ahead / SECOND
        self._set_vendor_clock()

    def monotonic(self) -> float:
        """Returns the seconds that the worker measures durations with."""
        return self._ticks

    def tick(self, seconds: float) -> None:
        """Moves on the worker's own pauses, but not the time of day."""
        self._ticks += seconds

    def _set_vendor_clock(self) -> None:
        self._vendor().set(self.sql.micros / SECOND, frozen=True)


@contextmanager
def replace_database_clock(clock: SqlClock) -> Iterator[None]:
    """Replaces the database's clock by this one in the whole process."""
    previous, DatabaseClock.override = DatabaseClock.override, clock
    try:
        yield
    finally:
        DatabaseClock.override = previous
