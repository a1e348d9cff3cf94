"""What answers and callbacks mean for lanes, written into the shared state right behind the parts.

Where the outbox holds the lanes too, one transaction writes both, and this thread is never started. With a database of
their own, they follow a moment later: a state database that is locked or away never holds up a part. What a process
has not written when it dies is lost, and the next answer of the vendor says it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import LaneBlock, LaneEvent, LaneRules, Success
from worker.outbox.engine.database import Database, is_about_the_row, is_lost
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.lanes import Resume, calls_in_the_air, carry_out, log_steps

log = structlog.get_logger()

LaneChange = LaneBlock | Success | Resume
MOST = 400
"""Changes in one transaction."""
LONGEST_PAUSE_S = 1.0


class Behind:
    """Writes the lanes of one process into a shared state, in the order of their answers. Thread-safe."""

    def __init__(self, database: Database, rules: LaneRules, *, pause: Callable[[float], None] = time.sleep):
        self._database, self._rules, self._pause = database, rules, pause
        self._queue: SimpleQueue[LaneChange] = SimpleQueue()
        self._changed = threading.Condition()
        self._left = 0
        """Changes that are not written yet."""
        self.is_late = False
        """True while a change waits for a database that did not take it: what the state says is older than that."""
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def left(self) -> int:
        """How many changes are not written yet."""
        return self._left

    def put(self, changes: Sequence[LaneChange]) -> None:
        """Takes changes in, and returns at once; the first ones start the thread."""
        if not changes:
            return
        with self._changed:
            self._left += len(changes)
            for change in changes:
                self._queue.put(change)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="behind", daemon=True)
                self._thread.start()

    def flush(self, timeout_s: float) -> bool:
        """True when all that was taken in so far is written within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._left, timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Writes what is left, and ends the thread; False when the state database did not take it in time."""
        done = self.flush(timeout_s)
        self._closing = True
        if not done:
            log.error("lanes_not_written", changes=self._left)
        return done

    def _run(self) -> None:
        while True:
            changes = [self._queue.get()]
            with suppress(Empty):
                while len(changes) < MOST:
                    changes.append(self._queue.get_nowait())
            self._write(changes)
            # Also where they could not be stored, and no others follow.
            self.is_late = False
            with self._changed:
                self._left -= len(changes)
                self._changed.notify_all()

    def _write(self, changes: list[LaneChange]) -> None:
        """Writes the changes together; those that cannot be stored so, one by one."""
        if self._is_written(changes):
            return
        for change in changes if len(changes) > 1 else ():
            self._is_written([change])

    def _is_written(self, changes: list[LaneChange]) -> bool:
        """Waits for the databases as long as it takes; False when the changes cannot be stored as they are."""
        away = 0
        while not self._closing:
            try:
                log_steps(self._store(changes))
            except Exception as error:  # noqa: BLE001  the thread goes on: one block that cannot be stored stops no other
                if is_about_the_row(error) or not isinstance(error, SQLAlchemyError):
                    if len(changes) == 1:
                        log.warning("lane_not_storable", error=type(error).__name__)
                    return False
                away, self.is_late = away + 1, True
                if away == 1 or away % 60 == 0:
                    what = "state_database_away" if is_lost(error) else "state_database_busy"
                    log.warning(what, error=type(error).__name__, changes=len(changes))
                self._pause(min(LONGEST_PAUSE_S, 0.05 * 2 ** min(away, 5)))
            else:
                return True
        return True

    def _store(self, changes: Sequence[LaneChange]) -> list[LaneEvent]:
        outbox, state = self._database, self._database.state
        # Only the outbox knows the calls in the air; other installations' are not counted.
        halves = any(isinstance(one, LaneBlock) and one.penalty is Penalty.PARALLEL for one in changes)
        with outbox.reading() as connection:
            air = calls_in_the_air(connection) if halves else {}

        def work(connection: Connection) -> list[LaneEvent]:
            # Read here, each time: the clocks of two servers drift, and either may be set meanwhile.
            ahead = read_now(connection, state.now) - outbox.read_now()
            return carry_out(connection, state.now, changes, self._rules, by_clock=ahead, air=air)

        return state.run(work)
