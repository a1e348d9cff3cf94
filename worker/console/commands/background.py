"""Commands that go on after their page was answered: few at a time, each with its row in the audit.

Progress is read from that row, by whichever process shows it. A command that is cut short with the process stays in the
audit without an end, as one of the command line does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from worker.domain.errors import CheckFailed, Problem, WorkerError

Began = Callable[[str], object]
"""Takes the id of the audit's row, before the first change."""
Command = Callable[[Began], str]
"""Carries a command out, and returns the id of its row."""
AT_ONCE, WAITING = 2, 8
"""Commands that run at once, and those that wait for them."""
QUICK_S = 1.0
"""How long an answer waits for the end of a command: a short one shows its result at once."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A command that was begun."""

    audit: str | None
    """The id of its row; None: it waits for others to end."""
    error: WorkerError | None
    """Why it was refused; None: it was not, so far."""


class Background:
    """The threads of a process's commands."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="console-command")
        self._guard = threading.Lock()
        self._going = 0

    def begin(self, command: Command, quick_s: float = QUICK_S) -> Begun:
        """Carries a command out; returns at its end, or earlier where it takes longer or waits for others.

        CheckFailed while too many wait already. A WorkerError before its row was written is raised.
        """
        with self._guard:
            if self._going >= AT_ONCE + WAITING:
                remedy = "wait for one of them, see the audit"
                raise CheckFailed([Problem("command", "comes while too many are under way", remedy, AT_ONCE + WAITING)])
            self._going += 1
        row: Future[str] = Future()
        # With the context of the page, in which the audit is told where its commands come from.
        done = self._threads.submit(copy_context().run, self._run, command, row)
        try:
            audit = row.result(quick_s)
        except TimeoutError:
            return Begun(None, None)
        try:
            done.result(quick_s)
        except TimeoutError:
            return Begun(audit, None)
        except WorkerError as error:
            return Begun(audit, error)
        return Begun(audit, None)

    def close(self) -> None:
        """Waits for the commands that run; those that wait are not begun."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, command: Command, row: Future[str]) -> None:
        def began(audit: str) -> Any:
            if not row.done():
                row.set_result(audit)

        try:
            began(command(began))
        except BaseException as error:
            if row.done():
                raise
            row.set_exception(error)
        finally:
            with self._guard:
                self._going -= 1
