"""What a viewer may have of what was read: texts, names of recipients and free words are taken out for all others.

Every page hands on what passed through here, so a text that is not to be seen is in no byte of an answer. Kept for all
are numbers, instants, ids, states, and the names of ours: accounts, channels, kinds, limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from worker.console.viewer import Viewer, may_read_texts
from worker.control.audit import AuditEntry
from worker.domain.pause import Pause
from worker.outbox.lanes.processes import Health, Process
from worker.reporting.forecast import Blocker
from worker.reporting.job_list import ListedJob
from worker.reporting.lane_list import LaneReport
from worker.reporting.next_step import NextStep
from worker.reporting.problems import OpenProblem
from worker.reporting.report import AttemptReport, JobReport, JobSummary, PartReport, Receipt
from worker.reporting.timeline import Event
from worker.reporting.wait import PartWait
from worker.reporting.why import Why

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
    Why: {"refused": ()},
    NextStep: {"text": "", "command": None},
    Event: {"detail": "", "person": None},
    LaneReport: dict.fromkeys(("reason", "remedy", "hint")),
    OpenProblem: {"text": "", "remedy": ""},
    AuditEntry: {"why": "", "asked": {}},
    Blocker: {"why": "", "command": ""},
}
"""The fields that hold what the vendor, the producer or a person wrote, and what stands in their place."""


def shown(viewer: Viewer, account: str | None, found: T) -> T:
    """What was read of an account, without texts where the viewer may not read them; None: of no single account."""
    return found if may_read_texts(viewer, account) else _bare(found)


def _bare(found: Any) -> Any:
    """The same without texts, and so whatever it holds."""
    if isinstance(found, tuple):
        return tuple(map(_bare, found))
    if not is_dataclass(found) or isinstance(found, type):
        return found
    inner = {one.name: _bare(getattr(found, one.name)) for one in fields(found)}
    return replace(found, **{**inner, **WITHHELD.get(type(found), {})})


def pause(viewer: Viewer, found: Pause) -> Pause:
    """A pause without its reason and its tag."""
    if may_read_texts(viewer, found.account):
        return found
    return replace(found, why="", tag=None if found.tag is None else "")


def process(viewer: Viewer, found: Process) -> Process:
    """A process without its sentences; how many there were stays."""
    if may_read_texts(viewer, None):
        return found
    health = Health(("",) * len(found.health.problems), dict.fromkeys(found.health.hindered, ""))
    return replace(found, unusable=dict.fromkeys(found.unusable, ""), health=health)


def row(viewer: Viewer, account: str | None, found: Row, *kept: str) -> dict[str, Any]:
    """A row; of an account whose texts the viewer may not read, the columns `kept` alone, and None in the others."""
    may = may_read_texts(viewer, account)
    return {name: value if may or name in kept else None for name, value in found.items()}
