"""The rows one group commit collects, from the locks to the writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from worker.domain.lane import Block, Success
from worker.domain.settle import PartFacts, Policy
from worker.domain.state import JobState, PartState
from worker.outbox.jobs.order_queue import Line


@dataclass(slots=True)
class Batch:
    """The rows one transaction collects before it writes them."""

    now: int
    policy: Policy
    parts: dict[str, PartFacts]
    before: dict[str, PartState]
    touched: dict[str, PartFacts] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    stirred: set[str] = field(default_factory=set)
    """Jobs whose dependants may have waited for this: everything but a mark."""
    attempts: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    news: list[Block | Success] = field(default_factory=list)
    """What the answers mean for lanes and accounts, in their order."""
    specs: list[dict[str, Any]] = field(default_factory=list)
    """What parts go on with."""
    burned: list[str] = field(default_factory=list)
    added: list[dict[str, Any]] = field(default_factory=list)
    """New parts of open jobs."""
    grown: set[str] = field(default_factory=set)
    """Jobs that have more parts now."""
    task_ids: list[dict[str, str]] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    reported: frozenset[JobState] = frozenset()
    """The ends of jobs that application hooks want to hear of."""
    line: Line | None = None
    """The orders of these parts; null: none of them has one."""

    def touch(self, part: PartFacts) -> None:
        """This part's row is to be written."""
        self.touched[part.id] = part

    def stir(self, part: PartFacts) -> None:
        """This part's row is to be written, and whoever waits on its job is to look again."""
        self.touched[part.id] = part
        self.stirred.add(part.job_id)
