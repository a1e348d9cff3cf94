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

from worker.cli.demo.channels import wecom_app, wecom_external, wecom_webhook, youdu
from worker.cli.demo.channels.row import Producer, Row, asked
from worker.cli.demo.stage import DemoStage, StageFailed
from worker.domain.errors import CheckFailed
from worker.domain.state import JobState
from worker.reporting.report import JobReport, get_job

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
    """Enqueues all rows, waits for their ends, prints the table; True when each ended as stated."""
    youdu.prepare(stage.control, (stage.folder / "youdu_key").read_text(encoding="utf-8"))
    producer = Producer(stage.engine, stage.accounts, stage.control)
    rows = [row for one in CHANNELS for row in one.rows()]
    refused = _ask_everything(rows, producer, stage)
    ended = [_ended(row, refused, _report(stage.engine, producer.jobs.get(row.name))) for row in rows]
    console.print(_table(ended))
    wrong = [one for one in ended if not one.as_stated]
    for one in wrong:
        console.print(f"NOT as stated: {one.row.name}: {one.state} {one.reason}", style="red", markup=False)
    done = len(ended) - len(wrong)
    console.print(f"demo: {done} of {len(ended)} ended as stated", markup=False)
    return not wrong


def _ask_everything(rows: Sequence[Row], producer: Producer, stage: DemoStage) -> dict[str, CheckFailed]:
    """Enqueues each row once the rows in its `after` have ended; returns the refusals by row."""
    refused: dict[str, CheckFailed] = {}
    left = list(rows)
    deadline = time.monotonic() + LIMIT_S
    while left or _open(producer, stage.engine):
        over = refused.keys() | (producer.jobs.keys() - _open(producer, stage.engine))
        ready = [row for row in left if over.issuperset(row.after)]
        for row in ready:
            left.remove(row)
            refusal = asked(row, producer)
            if refusal is not None:
                refused[row.name] = refusal
        stage.require_alive()
        if time.monotonic() > deadline:
            waiting = sorted(_open(producer, stage.engine) | {row.name for row in left})
            raise StageFailed(f"did not end within {LIMIT_S:.0f} s: {', '.join(waiting)}")
        if not ready:
            time.sleep(LOOK_S)
    return refused


def _open(producer: Producer, engine: Engine) -> set[str]:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        return {name for name, job in producer.jobs.items() if get_job(connection, job).state is JobState.OPEN}


def _report(engine: Engine, job: str | None) -> JobReport | None:
    if job is None:
        return None
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        return get_job(connection, job)


def _ended(row: Row, refused: dict[str, CheckFailed], report: JobReport | None) -> Ended:
    if report is None:
        named = frozenset(problem.field for problem in refused[row.name].problems)
        return Ended(row, "refused", named, str(refused[row.name]))
    reasons = [part.reason for part in report.parts if part.reason]
    warnings = [receipt.warning for receipt in report.receipts if receipt.warning]
    named = frozenset(str(attempt.errcode) for part in report.parts for attempt in part.attempts)
    return Ended(row, report.state.label, named, "; ".join([*reasons, *warnings]))


def _table(ended: Sequence[Ended]) -> Table:
    table = Table("channel", "what", "ended", "as stated", "why", title="worker demo --all-channels", expand=False)
    for one in ended:
        ok = "yes" if one.as_stated else "NO"
        table.add_row(one.row.channel, one.row.what, one.state, ok, one.reason)
    return table
