"""What a viewer may have of what was read: texts, names of recipients and free words are taken out for all others.

Every page hands on what passed through here, so a text that is not to be seen is in no byte of an answer. Kept for all
are numbers, instants, ids, states, and the names of ours: accounts, channels, kinds, limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.console.viewer import Viewer, may_read_texts
from worker.control.audit import AuditEntry
from worker.domain.pause import Pause
from worker.outbox.lanes.processes import Health, Process
from worker.reporting.forecast import AccountForecast
from worker.reporting.lane_list import LaneStanding
from worker.reporting.problems import OpenProblem
from worker.reporting.report import AttemptReport, JobReport, JobSummary, PartReport, Receipt
from worker.reporting.wait import PartWait
from worker.reporting.why import Why

Row = Mapping[str, Any]


def job(viewer: Viewer, found: JobSummary) -> JobSummary:
    """A job without the producer's own words."""
    return found if may_read_texts(viewer, found.account) else replace(found, dedupe_key=None, tags=())


def why(viewer: Viewer, found: Why) -> Why:
    """A job's report, waits and history without what the vendor, the producer or a person wrote."""
    if may_read_texts(viewer, found.job.account):
        return found
    return replace(
        found,
        job=_report(viewer, found.job),
        waits=tuple(_wait(one) for one in found.waits),
        timeline=tuple(replace(event, detail="", person=None) for event in found.timeline),
    )


def _report(viewer: Viewer, found: JobReport) -> JobReport:
    bare = replace(
        found,
        warnings=(),
        receipts=tuple(_receipt(one) for one in found.receipts),
        parts=tuple(_part(one) for one in found.parts),
    )
    return replace(bare, dedupe_key=None, tags=())


def _receipt(found: Receipt) -> Receipt:
    return replace(found, msgid=None, media_id=None, url=None, chatid=None, type=None, warning=None)


def _part(found: PartReport) -> PartReport:
    return replace(found, reason=None, attempts=tuple(_attempt(one) for one in found.attempts))


def _attempt(found: AttemptReport) -> AttemptReport:
    return replace(found, reason=None, errmsg=None, hint=None)


def _wait(found: PartWait) -> PartWait:
    return replace(found, text="", commands=())


def pause(viewer: Viewer, found: Pause) -> Pause:
    """A pause without its reason and its tag."""
    if may_read_texts(viewer, found.account):
        return found
    return replace(found, why="", tag=None if found.tag is None else "")


def lane(viewer: Viewer, found: LaneStanding) -> LaneStanding:
    """A lane without what the vendor said of it."""
    return found if may_read_texts(viewer, found.account) else replace(found, reason=None, remedy=None, hint=None)


def process(viewer: Viewer, found: Process) -> Process:
    """A process without its sentences; how many there were stays."""
    if may_read_texts(viewer, None):
        return found
    unusable = dict.fromkeys(found.unusable, "")
    return replace(found, unusable=unusable, health=_bare(found.health))


def _bare(found: Health) -> Health:
    return Health(("",) * len(found.wrong), dict.fromkeys(found.hindered, ""))


def problem(viewer: Viewer, found: OpenProblem) -> OpenProblem:
    """What is wrong, without the words of this case."""
    about = found.subject if found.kind.about == "account" else None
    return found if may_read_texts(viewer, about) else replace(found, text="", remedy="")


def audit(viewer: Viewer, found: AuditEntry) -> AuditEntry:
    """A command without its reason and its filter."""
    return found if may_read_texts(viewer, None) else replace(found, why="", asked={})


def forecast(viewer: Viewer, found: AccountForecast) -> AccountForecast:
    """A forecast without the reasons of what does not go."""
    if may_read_texts(viewer, found.account):
        return found
    return replace(found, stops=tuple(replace(stop, why="", command="") for stop in found.stops))


def row(viewer: Viewer, account: str | None, found: Row, *kept: str) -> dict[str, Any]:
    """A row; of an account whose texts the viewer may not read, the columns `kept` alone, and None in the others."""
    may = may_read_texts(viewer, account)
    return {name: value if may or name in kept else None for name, value in found.items()}
