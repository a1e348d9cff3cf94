"""Counts the statements that a process sends to PostgreSQL, by kind of thread and step.

`python -m bench.profile.statements FILE COMMAND...` runs `python -m COMMAND` so; for `profile` only. What begins and
ends a transaction is not counted.
"""

from __future__ import annotations

import runpy
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg

from bench.profile.clerk import written_down
from bench.profile.counters import thread_kind

AROUND = ("begin", "commit", "rollback")


class StatementMeter:
    """Counts for the threads and steps of this process; of a step without the steps within it."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._guard = threading.Lock()
        self._sent: Counter[tuple[str, str]] = Counter()
        """Kind of thread and step -> statements."""
        self._times: Counter[tuple[str, str]] = Counter()
        plain = psycopg.Cursor.execute

        def counted(cursor: Any, query: Any, *given: Any, **options: Any) -> Any:
            if not str(query).lower().startswith(AROUND):
                self._add(self._sent)
            return plain(cursor, query, *given, **options)

        psycopg.Cursor.execute = counted  # type: ignore[method-assign,assignment]

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose statements are charged to this step."""

        def counted(*args: Any, **options: Any) -> Any:
            before = getattr(self._here, "step", "")
            self._here.step = step
            self._add(self._times)
            try:
                return function(*args, **options)
            finally:
                self._here.step = before

        return counted

    def table(self) -> dict[str, dict[str, Any]]:
        """By kind of thread: how many it sent in all, and how many in each step and how often it was taken."""
        found: dict[str, dict[str, Any]] = {}
        with self._guard:
            for kind, step in self._sent.keys() | self._times.keys():
                thread = found.setdefault(kind, {"all": [0], "steps": {}})
                sent = self._sent[kind, step]
                thread["all"][0] += sent
                thread["steps"][step] = (self._times[kind, step], [sent])
        return found

    def _add(self, counts: Counter[tuple[str, str]]) -> None:
        at = thread_kind(threading.current_thread().name), getattr(self._here, "step", "")
        with self._guard:
            counts[at] += 1


def main(path: str, module: str, *arguments: str) -> None:
    """Runs the command until it ends."""
    sys.argv = [module, *arguments]
    with written_down(StatementMeter(), path):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
