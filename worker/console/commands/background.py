"""Commands that go on after their page was answered: few at a time, each with its row in the audit.

Progress is read from that row, by whichever process shows it. No end of a process waits for a command: one that is cut
short stays in the audit without an end, as one of the command line does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context

import structlog

from worker.domain.errors import CheckFailed, Problem, WorkerError

log = structlog.get_logger()
Began = Callable[[str], object]
"""Takes the id of the audit's row, before the first change."""
Command = Callable[[Began], str]
"""Carries a command out, and returns the id of its row."""
AT_ONCE, WAITING = 2, 8
"""Commands that run at once, and those that wait for them."""
QUICK_S = 1.0
"""How long an answer waits for the end of a command: a short one shows its result at once."""


class Background:
    """The commands of a process that are under way. Thread-safe."""

    def __init__(self) -> None:
        self._slots = threading.Semaphore(AT_ONCE)
        self._guard = threading.Lock()
        self._going = 0

    def begin(self, command: Command, *, turn_s: float = QUICK_S, quick_s: float = QUICK_S) -> str | None:
        """Carries a command out; returns the id of its row at its end, or earlier where it takes longer.

        None while it waits for others. `turn_s`: how long its row is waited for, and `quick_s` its end after that.
        CheckFailed while too many wait already. What it raises within that time is raised.
        """
        with self._guard:
            if self._going >= AT_ONCE + WAITING:
                remedy = "wait until one of them has ended; see the audit"
                raise CheckFailed(
                    [Problem("command", "was given while too many commands are running", remedy, AT_ONCE + WAITING)]
                )
            self._going += 1
        row, done = Future[str](), Future[str]()
        # With the context of the page, in which the audit is told where its commands come from.
        work = (self._run, command, row, done)
        threading.Thread(target=copy_context().run, args=work, name="console-command", daemon=True).start()
        try:
            audit = row.result(turn_s)
        except TimeoutError:
            return None
        with suppress(TimeoutError):
            done.result(quick_s)
        return audit

    def _run(self, command: Command, row: Future[str], done: Future[str]) -> None:
        def began(audit: str) -> None:
            if not row.done():
                row.set_result(audit)

        try:
            with self._slots:
                began(audit := command(began))
            done.set_result(audit)
        except Exception as error:  # noqa: BLE001  the outer loop of a thread: what waits for it gets the error
            if not isinstance(error, WorkerError):
                log.warning("console_command_failed", error=type(error).__name__)
            if not row.done():
                row.set_exception(error)
            done.set_exception(error)
        finally:
            with self._guard:
                self._going -= 1
