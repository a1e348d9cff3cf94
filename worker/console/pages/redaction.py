"""Removes from reports what a viewer may not read: texts, recipients' names, and what people wrote.

Every page passes its reports through here before it renders them, so a text that the viewer may not read is in no
byte of the answer. Every viewer sees numbers, instants, ids, states and our own names: accounts, channels, limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from worker.console.viewer import Viewer, may_read_names, may_read_texts
from worker.control.audit import AuditEntry
from worker.domain.pause import Pause
from worker.outbox.lanes.processes import Health, Process
from worker.reporting.failure_reasons import FailureReason
from worker.reporting.forecast import Blocker
from worker.reporting.job_list import ListedJob
from worker.reporting.lane_list import LaneReport
from worker.reporting.next_step import NextStep
from worker.reporting.problems import OpenProblem
from worker.reporting.report import AttemptReport, JobReport, JobSummary, PartReport, Receipt
from worker.reporting.timeline import TimelineEvent
from worker.reporting.wait import PartWait
from worker.reporting.why import JobExplanation

T = TypeVar("T")
Row = Mapping[str, Any]

WITHHELD: Mapping[type, Mapping[str, Any]] = {
    JobSummary: {"dedupe_key": None, "tags": ()},
    ListedJob: {"dedupe_key": None, "tags": (), "recipient": None},
    JobReport: {"dedupe_key": None, "tags": (), "warnings": ()},
    Receipt: dict.fromkeys(("msgid", "media_id", "url", "chatid", "type", "warning")),
    PartReport: {"reason": None},
    AttemptReport: dict.fromkeys(("reason", "errmsg", "hint")),
    PartWait: {"text": "", "commands": ()},
    JobExplanation: {"refused": ()},
    NextStep: {"text": "", "command": None},
    TimelineEvent: {"detail": "", "person": None},
    LaneReport: dict.fromkeys(("reason", "remedy", "hint")),
    OpenProblem: {"text": "", "remedy": ""},
    AuditEntry: {"why": "", "arguments": {}},
    Blocker: {"why": "", "command": ""},
    FailureReason: {"reason": ""},
}
"""The fields that hold what the vendor, the producer or a person wrote, and the values that replace them."""
NAMES = frozenset({"dedupe_key", "tags", "recipient", "refused"})
"""The fields among these that a viewer sees who may read names, but no texts."""


def redact(viewer: Viewer, account: str | None, value: T) -> T:
    """Returns a report about an account, without the texts and names that the viewer may not read.

    `account` is None for a report that is about no single account.
    """
    visible = NAMES if may_read_names(viewer, account) else frozenset()
    return value if may_read_texts(viewer, account) else _redacted(value, visible)


def _redacted(value: Any, visible: frozenset[str]) -> Any:
    """Returns a report without its texts, and without those of the reports in it, except the `visible` fields."""
    if isinstance(value, tuple):
        return tuple(_redacted(entry, visible) for entry in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    inner = {field.name: _redacted(getattr(value, field.name), visible) for field in fields(value)}
    withheld = WITHHELD.get(type(value), {})
    return replace(value, **inner | {name: withheld[name] for name in withheld.keys() - visible})


def redact_pause(viewer: Viewer, pause: Pause) -> Pause:
    """Returns a pause, without its reason and its tag if the viewer may not read them."""
    if may_read_texts(viewer, pause.account):
        return pause
    hides_tag = pause.tag is not None and not may_read_names(viewer, pause.account)
    return replace(pause, why="", tag="" if hides_tag else pause.tag)


def redact_process(viewer: Viewer, process: Process) -> Process:
    """Returns a process; if the viewer may not read the sentences about its problems, only with their number."""
    if may_read_texts(viewer, None):
        return process
    health = Health(("",) * len(process.health.problems), dict.fromkeys(process.health.hindered, ""))
    return replace(process, unusable=dict.fromkeys(process.unusable, ""), health=health)


def redact_row(viewer: Viewer, account: str | None, row: Row, *readable: str) -> dict[str, Any]:
    """Returns a row; where the viewer may not read the account's texts, only `readable` columns have their values."""
    may = may_read_texts(viewer, account)
    return {name: row if may or name in readable else None for name, row in row.items()}
