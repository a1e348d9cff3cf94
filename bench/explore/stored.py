"""What is stored when a universe has ended: the parts of messages, and the calls that were marked."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from bench.explore.database import Store
from worker.domain.content.erasure import is_erased
from worker.domain.state import PartState
from worker.outbox.tables import metadata

TAKEN = (PartState.ACCEPTED, PartState.PARTIAL)
NEVER_SENT = (PartState.EXPIRED, PartState.CANCELLED, PartState.EXHAUSTED, PartState.REJECTED)
_PARTS = (
    "select p.*, (select count(*) from worker_attempts a where a.part_id = p.id and a.doubtful) as unanswered,"
    " (select count(*) from worker_attempts a where a.part_id = p.id and a.errcode <> 0 and not a.unseen) as refused,"
    " (select count(*) from worker_attempts a where a.part_id = p.id and a.outcome = 'unknown') as doubted,"
    " (select max(r.warning) from worker_receipts r where r.part_id = p.id) as warning"
    " from worker_parts p join worker_jobs j on j.id = p.job_id where j.kind = 'send' order by p.id"
)
_REFUSED = "select part_id, recipient from worker_failures"
_ENDED = "select part_id, started_at, incarnation from worker_attempts where incarnation <> ''"
"""Without the calls that a fence adds, which nobody has marked."""
_BEGUN = (
    "select id, marked_at, incarnation from worker_parts p where marked_at is not null"
    " and not exists (select 1 from worker_attempts a where a.part_id = p.id and a.claim = p.claim)"
)
"""Calls that have no attempt yet; a late answer to an earlier one may have ended their part."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is stored of a part."""

    id: str
    state: PartState
    people: tuple[str, ...]
    repeats: int
    doubts: int
    unanswered: int
    """Its attempts that have no readable answer."""
    refused: int
    """Its attempts that are known to be refused, after the vendor looked at the message."""
    doubted: int
    """Its attempts that had no readable answer at first."""
    warning: str
    """Of its receipt; empty: none."""
    refused_people: tuple[str, ...]
    """Those whom the vendor named as refused."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One call that was marked, of a part; instants in microseconds of the database's clock."""

    part: str
    started_at: int
    incarnation: str


def recipients_of(spec: dict[str, Any]) -> list[str]:
    """Returns the people or the customers of a part, or its chats with the number of its piece of a long text."""
    piece = piece_of(spec["piece"] + 1) if "piece" in spec else ""
    return spec.get("users") or spec.get("customers") or [chat + piece for chat in spec["chats"]]


def piece_of(number: int) -> str:
    """Returns what stands behind the chat that a piece of a long text is for; the first is 1."""
    return f"#{number}"


def without_piece(person: str) -> str:
    """Returns the chat of a piece; anybody else as it is."""
    return person.partition("#")[0]


def parts_of(store: Store, leaver: str) -> dict[str, list[Part]]:
    """Job -> its parts, in their order; with the name of who was erased."""

    def name(stored: str) -> str:
        return leaver if is_erased(stored) else stored

    parts, refused = defaultdict[str, list[Part]](list), defaultdict[str, list[str]](list)
    for row in store.rows(_REFUSED):
        refused[row["part_id"]].append(name(row["recipient"]))
    for row in store.rows(_PARTS):
        part = Part(
            id=row["id"],
            state=PartState(row["state"]),
            people=tuple(map(name, recipients_of(json.loads(row["spec"])))),
            repeats=row["repeats"],
            doubts=row["doubts"],
            unanswered=row["unanswered"],
            refused=row["refused"],
            doubted=row["doubted"],
            warning=row["warning"] or "",
            refused_people=tuple(refused[row["id"]]),
        )
        parts[row["job_id"]].append(part)
    return parts


def marks_of(store: Store) -> dict[str, list[Mark]]:
    """Job -> the marks of its parts, the earliest first."""
    marks: dict[str, list[Mark]] = defaultdict(list)
    for row in store.rows(f"{_ENDED} union all {_BEGUN} order by 2"):
        job = row["part_id"].partition("-")[0]
        marks[job].append(Mark(row["part_id"], row["started_at"], row["incarnation"]))
    return marks


def tables_naming(store: Store, person: str) -> list[str]:
    """The tables in which a person is named."""
    tables = [table.name for table in metadata.sorted_tables]
    return [name for name in tables if any(person in str(row) for row in store.rows(f"select * from {name}"))]
