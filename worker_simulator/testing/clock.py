"""The time of a test: the outbox, the worker and the fake vendor share it, and it moves only when told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from worker.language import with_chinese_note
from worker.outbox.engine.clock import SECOND, DatabaseClock, DrivenClock, SqlClock, instant, micros_of
from worker_simulator.clock import Clock as VendorClock


class KitClock:
    """Stands still from the instant at which the test began."""

    def __init__(self, vendor: VendorClock):
        self.sql = DrivenClock(micros_of(datetime.now(UTC)))
        self._ticks = 1_000.0
        self._vendor = vendor
        self._tell()

    def now(self) -> datetime:
        """The instant at which it stands, in UTC."""
        return instant(self.sql.micros)

    def advance(
        self, delay: timedelta | float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0
    ) -> None:
        """Moves on by a timedelta or seconds, and by minutes, hours and days."""
        given = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
        self.move_to(self.now() + given + timedelta(minutes=minutes, hours=hours, days=days))

    def move_to(self, at: datetime) -> None:
        """Moves on to an aware datetime; ValueError for one that is over, or has no time zone."""
        if at.tzinfo is None:
            text = "the datetime has no time zone; use an aware one, such as clock.now() + timedelta(...)"
            raise with_chinese_note(ValueError(text))
        ahead = micros_of(at) - self.sql.micros
        if ahead < 0:
            text = f"the clock stands at {self.now().isoformat()} and does not go back to {at.isoformat()}"
            raise with_chinese_note(ValueError(text))
        self.sql.micros += ahead
        self._ticks += ahead / SECOND
        self._tell()

    def monotonic(self) -> float:
        """Seconds for the durations inside the worker."""
        return self._ticks

    def tick(self, seconds: float) -> None:
        """Lets the worker's own pauses pass, while the time of day stands still."""
        self._ticks += seconds

    def _tell(self) -> None:
        self._vendor.set(self.sql.micros / SECOND, frozen=True)


@contextmanager
def standing_in(clock: SqlClock) -> Iterator[None]:
    """Meanwhile this clock stands in for the database's in all of this process."""
    before, DatabaseClock.stand_in = DatabaseClock.stand_in, clock
    try:
        yield
    finally:
        DatabaseClock.stand_in = before
