"""The rows one group commit collects, from the locks to the writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from worker.domain.pacing.lane import LaneBlock, Success
from worker.domain.settle import PartFacts, Policy
from worker.domain.state import JobState, PartState
from worker.outbox.jobs.order_queue import OrderQueue


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
    """Jobs of changed parts whose waiting follow-ups have to check again; a mark alone is no such change."""
    attempts: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    news: list[LaneBlock | Success] = field(default_factory=list)
    """What the answers mean for lanes and accounts, in the answers' order."""
    specs: list[dict[str, Any]] = field(default_factory=list)
    """Part ids with the specs they go on with."""
    burned: list[str] = field(default_factory=list)
    added: list[dict[str, Any]] = field(default_factory=list)
    """New parts of open jobs."""
    grown: set[str] = field(default_factory=set)
    """Jobs that have more parts now."""
    task_ids: list[dict[str, str]] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    reported: frozenset[JobState] = frozenset()
    """The final states of jobs that leave an event for application hooks."""
    line: OrderQueue | None = None
    """The locked orders of these parts; None: none of them has an order_key."""

    def touch(self, part: PartFacts) -> None:
        """Marks the part's row to be written."""
        self.touched[part.id] = part

    def stir(self, part: PartFacts) -> None:
        """Marks the part's row to be written, and lets follow-ups that wait for its job check again."""
        self.touched[part.id] = part
        self.stirred.add(part.job_id)
