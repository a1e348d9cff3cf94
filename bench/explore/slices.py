"""Slices of one row: the worker takes lanes, parts, jobs and rows by the hundred, and a universe has a few of each.

Whatever goes wrong between two slices needs more than one, so some universes are taken by ones and twos.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

SMALL = {
    "delivery.scheduler.due_lanes": {"MIN_SLICE": 1, "MAX_SLICE": 2, "MAX_NEWLY_DUE": 2},
    "delivery.scheduler.relay": {"MAX_LANES": 1},
    "delivery.maintenance.recovery": {"BATCH_SIZE": 1, "QUEUE_PAGE": 1},
    "delivery.sender.writer": {"MAX_ROWS": 2},
    "control.cancel": {"MARK_BATCH": 1, "JOB_BATCH": 1, "CHANGE_BATCH": 1, "MAX_PARTS_READ": 1},
    "control.correct": {"BATCH_SIZE": 1},
    "control.erase": {"BATCH_SIZE": 1},
    "control.fence": {"BATCH_SIZE": 1},
    "control.recall": {"BATCH_SIZE": 1},
    "control.replay": {"BATCH_SIZE": 1},
    "control.reschedule": {"BATCH_SIZE": 1},
    "control.resolve": {"BATCH_SIZE": 1},
    "outbox.control.cancels": {"JOBS_BATCH_SIZE": 1},
    "outbox.control.sent": {"PAGE": 1},
    "outbox.jobs.jobs": {"ROWS_A_STATEMENT": 2},
    "outbox.lanes.full_scan": {"SLICE_SIZE": 1},
    "outbox.lanes.pauses": {"BATCH_SIZE": 1},
    "outbox.upkeep.ended_tags": {"PAGE": 1, "JOBS_PER_READ": 1},
    "outbox.upkeep.indexing": {"BATCH": 1},
    "outbox.upkeep.totals": {"ROWS": 1},
}
"""Module below `worker` -> what it takes at a time -> the least of that."""


def set_slices(*, small: bool) -> None:
    """Has the modules of this process take as little at a time as they can, or what they take by themselves."""
    for module, name, least in _slices():
        usual = _USUAL.setdefault((module.__name__, name), getattr(module, name))
        setattr(module, name, least if small else usual)


_USUAL: dict[tuple[str, str], int] = {}


def _slices() -> Iterator[tuple[ModuleType, str, int]]:
    for path, names in SMALL.items():
        module = importlib.import_module(f"worker.{path}")
        for name, least in names.items():
            yield module, name, least
