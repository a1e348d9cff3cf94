"""Which parts of an outbox have not ended, and which of them may stay as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from worker.domain.job import JobKind
from worker.domain.job_filter import JobFilter
from worker.domain.state import PartState

Query = Callable[[str], Sequence[Mapping[str, Any]]]
"""Carries out a query and returns its rows by the names of their columns."""
_OPEN = (
    "select p.id, p.job_id, p.state, p.not_before, p.waits_on, p.reason, j.tags, j.account, j.kind"
    " from worker_parts p join worker_jobs j on j.id = p.job_id where p.state in (0, 1, 6) order by p.id"
)
_ORDERS = "select part_id, order_id from worker_order_queue order by order_id, place_at, job_id, n"


@dataclass(frozen=True, slots=True)
class OpenPart:
    """A part that has not ended, with what its job says."""

    id: str
    job_id: str
    state: int
    not_before: int | None
    waits_on: str | None
    reason: str | None
    tags: tuple[str, ...]
    account: str
    kind: str

    @property
    def is_in_doubt(self) -> bool:
        """True for a part that waits for a person's decision."""
        return self.state == PartState.UNKNOWN and self.not_before is None

    def is_paused(self, pauses: Collection[JobFilter]) -> bool:
        """True for a part that one of the pauses keeps. Recalls go on."""
        is_meant = any(pause.account == self.account or pause.tag in self.tags for pause in pauses)
        return is_meant and self.kind != JobKind.RECALL


@dataclass(frozen=True, slots=True)
class OpenParts:
    """The parts of an outbox that have not ended."""

    parts: tuple[OpenPart, ...]
    behind: Collection[str]
    """Parts with another one before them in their order. One that was skipped stands in no order any more."""

    @classmethod
    def read(cls, query: Query) -> OpenParts:
        """Reads them."""
        rows = [{**row, "tags": tuple(json.loads(row["tags"] or "[]"))} for row in query(_OPEN)]
        places = query(_ORDERS) if rows else ()
        behind = {row["part_id"] for before, row in pairwise(places) if before["order_id"] == row["order_id"]}
        return cls(tuple(OpenPart(**row) for row in rows), behind)

    def moving(self, pauses: Collection[JobFilter], held: Collection[str]) -> list[OpenPart]:
        """Those that neither a pause, a hold or a doubt keeps, nor another part, and which therefore have to end."""
        return [part for part in self.parts if not self.may_stay(part, pauses, held)]

    def may_stay(self, part: OpenPart, pauses: Collection[JobFilter], held: Collection[str]) -> bool:
        """True for a part that a pause, a hold, a doubt, or another part keeps."""
        waits = self.is_behind(part) or self.waits_for_another(part)
        return part.job_id in held or part.is_paused(pauses) or part.is_in_doubt or waits

    def is_behind(self, part: OpenPart) -> bool:
        """True where another part stands before it in its order."""
        return part.id in self.behind

    def waits_for_another(self, part: OpenPart) -> bool:
        """True where it is about a job of which something is open."""
        return bool(part.waits_on) and any(part.waits_on in (other.id, other.job_id) for other in self.parts)
