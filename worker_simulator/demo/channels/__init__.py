"""`worker demo --all-channels`: every message type, upload, recall, update and cancel of every channel, once.

Read in this order: `stage.py` of the demo (processes), a channel's file (its rows), `row.py` (how a row is enqueued),
and here: enqueueing, waiting, and the table with its verdict.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from worker.domain.errors import CheckFailed
from worker.domain.state import JobState
from worker.language import term, translate
from worker.reporting.report import JobReport
from worker.reporting.why import why
from worker_simulator.demo.channels import wecom_app, wecom_external, wecom_webhook, youdu
from worker_simulator.demo.channels.row import Producer, Row
from worker_simulator.demo.stage import DemoStage, StageFailed, reading, reports

CHANNELS = (wecom_app, wecom_webhook, wecom_external, youdu)
SETTINGS = """\
database = "sqlite:///{folder}/demo.db"
broker = "embedded"
""" + "".join(module.ACCOUNTS for module in CHANNELS)
LIMIT_S = 90.0
POLL_S = 0.1


@dataclass(frozen=True)
class RowResult:
    """The result of one row."""

    row: Row
    state: str
    reported: frozenset[str]
    """The fields that enqueue refused, or the errcodes of its calls."""
    reason: str

    @property
    def as_stated(self) -> bool:
        """True if it ended in the state of the row, and with the field or errcode that the row names."""
        return self.state == self.row.ends and (not self.row.names or self.row.names in self.reported)


def play(stage: DemoStage, console: Console) -> bool:
    """Enqueues all rows, waits until each has ended or is parked, prints the table.

    Returns True if each ended as stated.
    """
    youdu.prepare(stage.control, (stage.folder / "youdu_key").read_text(encoding="utf-8"))
    producer = Producer(stage.engine, stage.accounts, stage.control)
    rows = [row for module in CHANNELS for row in module.rows()]
    refused = _enqueue_all(rows, producer, stage)
    job_reports = reports(stage.engine, producer.jobs)
    ended = [_ended(row, refused, job_reports.get(row.name), stage.engine) for row in rows]
    console.print(results_table(ended))
    unexpected = [result for result in ended if not result.as_stated]
    done = len(ended) - len(unexpected)
    console.print(translate(f"demo: {done} of {len(ended)} ended as stated"), markup=False)
    return not unexpected


def _enqueue_all(rows: Sequence[Row], producer: Producer, stage: DemoStage) -> dict[str, CheckFailed]:
    """Enqueues each row once the rows in its `after` have ended. Returns the refusals by row.

    Returns when every other job has ended or is parked.
    """
    refused: dict[str, CheckFailed] = {}
    remaining = list(rows)
    deadline = time.monotonic() + LIMIT_S
    while True:
        job_reports = reports(stage.engine, producer.jobs)
        ended = {
            name for name, report in job_reports.items() if report.state is not JobState.OPEN or _is_parked(report)
        }
        waiting = sorted({row.name for row in rows} - ended - refused.keys())
        if not waiting:
            return refused
        stage.require_alive()
        if time.monotonic() > deadline:
            raise StageFailed(f"did not end within {LIMIT_S:.0f} s: {', '.join(waiting)}")
        ready = [row for row in remaining if not set(row.after).intersection(waiting)]
        for row in ready:
            remaining.remove(row)
            if row.before is not None:
                row.before(producer)
            try:
                producer.jobs[row.name] = row.enqueue(producer)
            except CheckFailed as refusal:
                refused[row.name] = refusal
        if not ready:
            time.sleep(POLL_S)


def _ended(row: Row, refused: dict[str, CheckFailed], report: JobReport | None, engine: Engine) -> RowResult:
    if report is None:
        reported = frozenset(problem.field for problem in refused[row.name].problems)
        return RowResult(row, "refused", reported, str(refused[row.name]))
    reasons = [part.reason for part in report.parts if part.reason]
    warnings = [receipt.warning for receipt in report.receipts if receipt.warning]
    reported = frozenset(str(attempt.errcode) for part in report.parts for attempt in part.attempts)
    if _is_parked(report):
        with reading(engine) as connection:
            return RowResult(row, "parked", reported, "; ".join(wait.text for wait in why(connection, report.id).waits))
    return RowResult(row, report.state.label, reported, "; ".join([*reasons, *warnings]))


def _is_parked(report: JobReport) -> bool:
    """True if the job waits until a person corrects the account's settings."""
    outcomes = {part.attempts[-1].outcome if part.attempts else "" for part in report.parts}
    return report.state is JobState.OPEN and outcomes == {"parked"}


def results_table(ended: Sequence[RowResult]) -> Table:
    """Returns the table in the language of the person."""
    columns = [*(term("column", name) for name in ("channel", "what", "state")), translate("as stated?")]
    table = Table(*columns, term("column", "why"), title="worker demo --all-channels", expand=False)
    for result in ended:
        state = term("demo", result.state) if result.state == "refused" else term("state", result.state)
        ok = translate("yes" if result.as_stated else "NO")
        style = None if result.as_stated else "red"
        what = term("demo", result.row.what)
        table.add_row(result.row.channel, what, state, ok, translate(result.reason), style=style)
    return table
