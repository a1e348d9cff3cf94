"""A thread that repeats one turn until it is stopped; heartbeat, relay, recovery and Flower run in such threads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from worker.config.application import close_old_connections

log = structlog.get_logger()

LONGEST_PAUSE_S = 1.0


class Loop:
    """Repeats a turn in a thread of its own; a turn returns the seconds until the next, and may raise."""

    def __init__(
        self,
        name: str,
        turn: Callable[[], float],
        rng: random.Random | None = None,
        *,
        once_more: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        """`once_more`: it takes a last turn when it is stopped."""
        self._name, self._turn, self._rng, self._once_more = name, turn, rng or random.Random(), once_more
        self._monotonic = monotonic
        self._began_at: float | None = None
        """When the turn that runs now began; None between two turns."""
        self._failing_since: float | None = None
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.failures = 0
        self.error: Exception | None = None
        """What the last turn raised; None when it ended well."""

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def tell(self) -> None:
        """Stops the loop before its next turn; does not wait."""
        self._told.set()

    def stop(self, timeout_s: float) -> bool:
        """Stops the loop and waits; False when its turn did not end in time."""
        self._told.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @contextmanager
    def running(self, stop_s: float) -> Iterator[None]:
        """Runs for as long as the block does, however that ends; waits for the end of its turn for at most so long."""
        # A process that ended under a turn would be killed by SIGABRT, once the thread comes back from a driver.
        self.start()
        try:
            yield
        finally:
            self.stop(stop_s)

    def busy_s(self, now: float) -> float:
        """For how many seconds its turn has run; 0 between two turns. A turn that raised has ended like any other."""
        began_at = self._began_at
        return 0.0 if began_at is None else now - began_at

    def failing_s(self, now: float) -> float:
        """For how many seconds each of its turns has raised; 0 when the last one ended well."""
        since = self._failing_since
        return 0.0 if since is None else now - since

    def _run(self) -> None:
        while not self._told.is_set():
            self._told.wait(self._once())
        if self._once_more:
            self._once()

    def _once(self) -> float:
        # Left as it is by what is no Exception: it ends the thread, and its last turn then lasts for ever.
        self._began_at = self._monotonic()
        # A turn may call the application, for its accounts.
        close_old_connections()
        try:
            delay = self._turn()
        except Exception as error:  # noqa: BLE001  the outer loop of the thread: a database away must not end it
            self._began_at = None
            self._fails_with(error)
            if self.failures == 1:
                log.warning("thread_failed", thread=self._name, error=type(error).__name__)
            return self._rng.uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, 0.05 * 2.0 ** min(self.failures, 6))
        self._began_at = None
        if self.failures:
            log.info("thread_recovered", thread=self._name, failures=self.failures)
        self.failures, self.error, self._failing_since = 0, None, None
        return delay

    def _fails_with(self, error: Exception) -> None:
        self.failures += 1
        self.error = error
        if self._failing_since is None:
            self._failing_since = self._monotonic()
