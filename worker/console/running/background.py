"""Runs commands in threads that go on after the page was answered, few at a time, each with a row in the audit.

Any process can show the progress, because it is read from that row. A process that ends does not wait for its
commands: an interrupted one stays in the audit without an end, as on the command line.
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
OnBegin = Callable[[str], object]
"""Called with the id of the audit's row before the first change."""
RunCommand = Callable[[OnBegin], str]
"""Carries out a command, and returns the id of its audit row."""
MAX_RUNNING, MAX_WAITING = 2, 8
"""How many commands run at once, and how many may wait for these."""
QUICK_S = 1.0
"""Seconds for which a page waits for the end of a command, so that a short one shows its result at once."""


class Background:
    """The running and waiting commands of a process. Thread-safe."""

    def __init__(self) -> None:
        self._slots = threading.Semaphore(MAX_RUNNING)
        self._guard = threading.Lock()
        self._count = 0

    def begin(self, command: RunCommand, *, turn_s: float = QUICK_S, quick_s: float = QUICK_S) -> str | None:
        """Starts a command in a thread; returns the id of its audit row at its end, or sooner if it takes long.

        Waits at most `turn_s` for its row, and then at most `quick_s` for its end. Returns None if it is still waiting
        for other commands. Raises CheckFailed if too many are waiting, and what the command raises within that time.
        """
        with self._guard:
            if self._count >= MAX_RUNNING + MAX_WAITING:
                remedy = "wait until one of them has ended; see the audit"
                raise CheckFailed(
                    [
                        Problem(
                            "command",
                            "was given while too many commands are running",
                            remedy,
                            MAX_RUNNING + MAX_WAITING,
                        )
                    ]
                )
            self._count += 1
        audit_id, done = Future[str](), Future[str]()
        # The context of the page has the prefix of the audit's actions.
        work = (self._run, command, audit_id, done)
        threading.Thread(target=copy_context().run, args=work, name="console-command", daemon=True).start()
        try:
            audit = audit_id.result(turn_s)
        except TimeoutError:
            return None
        with suppress(TimeoutError):
            done.result(quick_s)
        return audit

    def _run(self, command: RunCommand, audit_id: Future[str], done: Future[str]) -> None:
        def began(audit: str) -> None:
            if not audit_id.done():
                audit_id.set_result(audit)

        try:
            with self._slots:
                began(audit := command(began))
            done.set_result(audit)
        except Exception as error:  # noqa: BLE001  the outer loop of a thread: passed on to the futures
            if not isinstance(error, WorkerError):
                log.warning("console_command_failed", error=type(error).__name__)
            if not audit_id.done():
                audit_id.set_exception(error)
            done.set_exception(error)
        finally:
            with self._guard:
                self._count -= 1
