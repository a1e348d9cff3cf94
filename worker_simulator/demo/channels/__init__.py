"""`worker demo --all-channels`: every message type, upload, recall, update and cancel of every channel, once.

Read in this order: `stage.py` of the demo (processes), a channel's file (its rows), `row.py` (how one row is enqueued),
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
from worker.reporting.report import JobReport
from worker.reporting.why import why
from worker_simulator.demo.channels import wecom_app, wecom_external, wecom_webhook, youdu
from worker_simulator.demo.channels.row import Producer, Row
from worker_simulator.demo.stage import DemoStage, StageFailed, reading, reports

CHANNELS = (wecom_app, wecom_webhook, wecom_external, youdu)
SETTINGS = """\
database = "sqlite:///{folder}/demo.db"
broker = "embedded"
""" + "".join(one.ACCOUNTS for one in CHANNELS)
LIMIT_S = 90.0
LOOK_S = 0.1


@dataclass(frozen=True)
class Ended:
    """The end of one row."""

    row: Row
    state: str
    named: frozenset[str]
    """The fields that enqueue refused, or the errcodes of its calls."""
    reason: str

    @property
    def as_stated(self) -> bool:
        """True when it ended in the state that the row states, and over the field or errcode that the row names."""
        return self.state == self.row.ends and (not self.row.names or self.row.names in self.named)


def play(stage: DemoStage, console: Console) -> bool:
    """Enqueues all rows, waits until each has ended or is parked, prints the table; True when each ended as stated."""
    youdu.prepare(stage.control, (stage.folder / "youdu_key").read_text(encoding="utf-8"))
    producer = Producer(stage.engine, stage.accounts, stage.control)
    rows = [row for one in CHANNELS for row in one.rows()]
    refused = _ask_everything(rows, producer, stage)
    found = reports(stage.engine, producer.jobs)
    ended = [_ended(row, refused, found.get(row.name), stage.engine) for row in rows]
    console.print(_table(ended))
    wrong = [one for one in ended if not one.as_stated]
    for one in wrong:
        console.print(f"NOT as stated: {one.row.name}: {one.state} {one.reason}", style="red", markup=False)
    done = len(ended) - len(wrong)
    console.print(f"demo: {done} of {len(ended)} ended as stated", markup=False)
    return not wrong


def _ask_everything(rows: Sequence[Row], producer: Producer, stage: DemoStage) -> dict[str, CheckFailed]:
    """Enqueues each row once those in its `after` have ended; returns the refusals by row.

    It waits until every other job has ended or is parked.
    """
    refused: dict[str, CheckFailed] = {}
    left = list(rows)
    deadline = time.monotonic() + LIMIT_S
    while True:
        found = reports(stage.engine, producer.jobs)
        ended = {name for name, report in found.items() if report.state is not JobState.OPEN or _is_parked(report)}
        waiting = sorted({row.name for row in rows} - ended - refused.keys())
        if not waiting:
            return refused
        stage.require_alive()
        if time.monotonic() > deadline:
            raise StageFailed(f"did not end within {LIMIT_S:.0f} s: {', '.join(waiting)}")
        ready = [row for row in left if not set(row.after).intersection(waiting)]
        for row in ready:
            left.remove(row)
            if row.before is not None:
                row.before(producer)
            try:
                producer.jobs[row.name] = row.ask(producer)
            except CheckFailed as refusal:
                refused[row.name] = refusal
        if not ready:
            time.sleep(LOOK_S)


def _ended(row: Row, refused: dict[str, CheckFailed], report: JobReport | None, engine: Engine) -> Ended:
    if report is None:
        named = frozenset(problem.field for problem in refused[row.name].problems)
        return Ended(row, "refused", named, str(refused[row.name]))
    reasons = [part.reason for part in report.parts if part.reason]
    warnings = [receipt.warning for receipt in report.receipts if receipt.warning]
    named = frozenset(str(attempt.errcode) for part in report.parts for attempt in part.attempts)
    if _is_parked(report):
        with reading(engine) as connection:
            return Ended(row, "parked", named, "; ".join(one.text for one in why(connection, report.id).waits))
    return Ended(row, report.state.label, named, "; ".join([*reasons, *warnings]))


def _is_parked(report: JobReport) -> bool:
    """True when it waits until a person mends the account's settings."""
    outcomes = {part.attempts[-1].outcome if part.attempts else "" for part in report.parts}
    return report.state is JobState.OPEN and outcomes == {"parked"}


def _table(ended: Sequence[Ended]) -> Table:
    table = Table("channel", "what", "ended", "as stated", "why", title="worker demo --all-channels", expand=False)
    for one in ended:
        ok = "yes" if one.as_stated else "NO"
        table.add_row(one.row.channel, one.row.what, one.state, ok, one.reason)
    return table
