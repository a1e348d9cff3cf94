"""The table of the demo's jobs: live on a terminal, else one line for each change."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from sqlalchemy import Engine

from worker.domain.state import JobState
from worker.language import term, translate
from worker.reporting.report import JobReport
from worker_simulator.demo.stage import StageFailed, reports

POLL_S = 0.05


Columns = tuple[str, str, str]
"""A job's state (while open also its parts' states), its counts, and why it waits."""


def _columns(report: JobReport) -> Columns:
    states = sorted({part.state.label for part in report.parts})
    state = term("state", report.state.label)
    if report.state is JobState.OPEN:
        state += ": " + ", ".join(term("state", name) for name in states)
    counts = report.counts
    reasons = sorted({part.reason for part in report.parts if part.reason})
    counted = translate(f"{counts.accepted} of {counts.asked}, {counts.refused} refused")
    return state, counted, translate("; ".join(reasons))


class Board:
    """Reads the jobs until they have ended, and displays every change."""

    def __init__(self, engine: Engine, console: Console, jobs: Mapping[str, str]):
        self._engine, self._console, self._jobs = engine, console, jobs
        self._rows: dict[str, Columns] = {}
        self._ended: set[str] = set()
        self._started = time.monotonic()
        self._live = Live(self._table(), console=console, refresh_per_second=10) if console.is_terminal else None

    def __enter__(self) -> Board:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def until_ended(self, names: Sequence[str], require_alive: Callable[[], None], limit_s: float) -> None:
        """Displays every change until the named jobs have ended."""
        what = f"every one of {', '.join(names)} ends"
        self.until(lambda: self._ended.issuperset(names), what, require_alive, limit_s)

    def until(self, done: Callable[[], bool], what: str, require_alive: Callable[[], None], limit_s: float) -> None:
        """Displays every change until `done` returns True. Raises StageFailed with `what` after `limit_s` seconds."""
        deadline = time.monotonic() + limit_s
        while True:
            self._refresh()
            if done():
                return
            require_alive()
            if time.monotonic() > deadline:
                raise StageFailed(f"did not happen within {limit_s:.0f} s: {what}")
            time.sleep(POLL_S)

    def _refresh(self) -> None:
        reports_by_name = reports(self._engine, self._jobs)
        self._ended = {name for name, report in reports_by_name.items() if report.state is not JobState.OPEN}
        for name, report in reports_by_name.items():
            row = _columns(report)
            if self._rows.get(name) != row:
                self._rows[name] = row
                self._show_change(name, row)

    def _show_change(self, name: str, row: Columns) -> None:
        if self._live:
            self._live.update(self._table())
            return
        elapsed_s, (state, counts, reason) = time.monotonic() - self._started, row
        self._console.print(f"{elapsed_s:6.2f} s  {name:<7} {state:<16} {counts:<26} {reason}", markup=False)

    def _table(self) -> Table:
        columns = [term("column", name) for name in ("job", "state", "recipients", "why")]
        table = Table(*columns, title="worker demo", expand=False)
        for name, row in self._rows.items():
            table.add_row(name, *row)
        return table
