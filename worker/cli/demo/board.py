"""The table of the demo's jobs: live on a terminal, elsewhere one line for each change."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from sqlalchemy import Engine

from worker.cli.demo.stage import StageFailed
from worker.domain.state import JobState
from worker.reporting.report import JobReport, get_job

LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class JobColumns:
    """The columns of one job."""

    state: str
    counts: str
    reason: str

    @classmethod
    def of(cls, report: JobReport) -> JobColumns:
        """The job's state (while open also its parts' states), its counts, and why it waits."""
        states = {part.state.label for part in report.parts}
        state = report.state.label if report.state is not JobState.OPEN else "open: " + ", ".join(sorted(states))
        counts = report.counts
        reasons = sorted({part.reason for part in report.parts if part.reason})
        return cls(state, f"{counts.accepted} of {counts.asked}, {counts.refused} refused", "; ".join(reasons))


class Board:
    """Reads the jobs until they have ended and shows every change."""

    def __init__(self, engine: Engine, console: Console, jobs: Mapping[str, str]):
        self._engine, self._console, self._jobs = engine, console, jobs
        self._rows: dict[str, JobColumns] = {}
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
        """Shows every change until the named jobs have ended."""
        what = f"every one of {', '.join(names)} ends"
        self.until(lambda: self._ended.issuperset(names), what, require_alive, limit_s)

    def until(self, done: Callable[[], bool], what: str, require_alive: Callable[[], None], limit_s: float) -> None:
        """Shows every change until `done` is true; StageFailed after `limit_s` seconds, which names `what`."""
        deadline = time.monotonic() + limit_s
        while True:
            self._look()
            if done():
                return
            require_alive()
            if time.monotonic() > deadline:
                raise StageFailed(f"did not happen within {limit_s:.0f} s: {what}")
            time.sleep(LOOK_S)

    def _look(self) -> None:
        with self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            reports = {name: get_job(connection, job_id) for name, job_id in self._jobs.items()}
        self._ended = {name for name, report in reports.items() if report.state is not JobState.OPEN}
        for name, report in reports.items():
            row = JobColumns.of(report)
            if self._rows.get(name) != row:
                self._rows[name] = row
                self._moved(name, row)

    def _moved(self, name: str, row: JobColumns) -> None:
        if self._live:
            self._live.update(self._table())
            return
        passed = time.monotonic() - self._started
        self._console.print(f"{passed:6.2f} s  {name:<7} {row.state:<16} {row.counts:<26} {row.reason}", markup=False)

    def _table(self) -> Table:
        table = Table("job", "state", "recipients", "why", title="worker demo", expand=False)
        for name, row in self._rows.items():
            table.add_row(name, row.state, row.counts, row.reason)
        return table
