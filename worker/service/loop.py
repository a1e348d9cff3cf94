"""A thread that repeats one turn until it is stopped. Heartbeat, relay and recovery run in such threads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from worker.config.application import close_old_connections

log = structlog.get_logger()

MAX_PAUSE_S = 1.0


class Loop:
    """Repeats a turn in its own thread. A turn returns the seconds until the next, and may raise."""

    def __init__(
        self,
        name: str,
        turn: Callable[[], float],
        rng: random.Random | None = None,
        *,
        once_more: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        """With `once_more`, the loop takes a last turn when it is stopped."""
        self._name, self._turn, self._rng, self._once_more = name, turn, rng or random.Random(), once_more
        self._monotonic = monotonic
        self._began_at: float | None = None
        """When the current turn began, or None between two turns."""
        self._failing_since: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.failures = 0
        self.error: Exception | None = None
        """What the last turn raised, or None if it ended well."""

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def request_stop(self) -> None:
        """Makes the loop end before its next turn. Does not wait."""
        self._stopping.set()

    def stop(self, timeout_s: float) -> bool:
        """Stops the loop and waits. Returns False if its turn did not end in time."""
        self._stopping.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @contextmanager
    def running(self, stop_s: float) -> Iterator[None]:
        """Runs the loop until the block ends, then waits at most `stop_s` seconds for its turn to end."""
        # If a process ended during a turn, SIGABRT would kill it once the thread comes back from a database driver.
        self.start()
        try:
            yield
        finally:
            self.stop(stop_s)

    def busy_s(self, now: float) -> float:
        """Returns for how many seconds the current turn has run, or 0 between two. A turn that raised has ended."""
        began_at = self._began_at
        return 0.0 if began_at is None else now - began_at

    def failing_s(self, now: float) -> float:
        """Returns for how many seconds every turn has raised, or 0 if the last one ended well."""
        since = self._failing_since
        return 0.0 if since is None else now - since

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self._once())
        if self._once_more:
            self._once()

    def _once(self) -> float:
        # `_began_at` stays set if something other than an Exception is raised: it ends the thread, and the last turn
        # then counts as endless.
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
            return self._rng.uniform(0.5, 1.0) * min(MAX_PAUSE_S, 0.05 * 2.0 ** min(self.failures, 6))
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
