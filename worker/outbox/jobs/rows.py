"""Locks rows of parts and jobs, reads them as facts to decide on, and writes them back in one statement each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection

from worker.domain.callbacks.hook import Ends
from worker.domain.content.staging import STAGING
from worker.domain.outcome import Refusal
from worker.domain.pacing.lane import LaneChange
from worker.domain.settle import PartFacts, Policy
from worker.domain.state import OPEN_STATES, JobState, PartState, job_state
from worker.domain.trace import SpanRef
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows, update_rows
from worker.outbox.engine.counting import Exemplar
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import collect, fetch, run, send
from worker.outbox.jobs.order_queue import OrderQueue
from worker.outbox.lanes.pauses import ANY_ACTIVE

_PART_FIELDS = tuple(PartFacts.__slots__)
_CHANGING = tuple(name for name in _PART_FIELDS if name not in ("job_id", "lane", "expires_at", "order_id"))
_COUNTERS = {state: "n_open" if state in OPEN_STATES else f"n_{state.label}" for state in PartState}
"""State -> the job's column that counts its parts."""
COUNTER_NAMES = tuple(dict.fromkeys(_COUNTERS.values()))
MEANT = ("n_open", "n_accepted", "n_partial", "n_unknown", "n_cancelled")
"""The counters of parts whose message reached a person, may have, or was to."""


@lru_cache(maxsize=64)
def _select_parts(dialect: Dialect, now: str) -> str:
    fields = ", ".join(_PART_FIELDS)
    rows = f"from {dialect.chosen('worker_parts')}{dialect.in_order()}"
    if dialect.clock_follows_lock:
        # MariaDB would not lock rows of an inner select.
        return f"select {fields}, {now}, {ANY_ACTIVE} {rows}"
    # The clock is in the outer select: among the columns PostgreSQL would read it before it waits for a row's lock.
    locked = f"select {fields} {rows}"
    return f"select locked.*, {now}, {ANY_ACTIVE} from ({locked}) locked"


def lock_parts(connection: Connection, ids: Iterable[str]) -> dict[str, PartFacts]:
    """Locks these parts in id order and reads what decides about them."""
    return lock_parts_now(connection, ids, "0").parts


class Locked(NamedTuple):
    """What a group commit decides about."""

    parts: dict[str, PartFacts]
    now: int
    """The clock when the last part was locked; 0 without parts."""
    jobs: dict[str, JobFacts]
    some_paused: bool
    """Something is paused, so each mark has to be looked at."""


def lock_parts_now(connection: Connection, ids: Iterable[str], now: str, jobs: Iterable[str] = ()) -> Locked:
    """Locks these parts and then these jobs, and reads the clock between them."""
    dialect = dialect_of(connection)
    # Both are sent before the first is read, so that a pipeline waits once.
    asked = send(connection, _select_parts(dialect, now), {"ids": ids_json(ids)})
    owners = send(connection, _select_jobs(dialect), {"ids": ids_json(jobs)}) if jobs else None
    rows = collect(asked)
    found = {row[0]: _job_facts(row) for row in collect(owners)} if owners else {}
    parts = {row[0]: part_facts(row[:-2]) for row in rows}
    return Locked(parts, max((row[-2] for row in rows), default=0), found, any(row[-1] for row in rows))


def part_facts(row: Sequence[Any]) -> PartFacts:
    """PartFacts from a row in the order of its fields."""
    facts = PartFacts(*row)
    facts.state = PartState(row[3])
    return facts


def save_parts(connection: Connection, parts: Iterable[PartFacts]) -> None:
    """Writes the parts' rows back, all in one statement."""
    update_rows(connection, tables.parts, ("id",), part_rows(parts))


def part_rows(parts: Iterable[PartFacts]) -> list[dict[str, Any]]:
    """The columns of the parts' rows that can have changed."""
    return [{name: getattr(part, name) for name in _CHANGING} for part in parts]


@dataclass(slots=True)
class JobFacts:
    """The columns of a job's row that follow from its parts."""

    id: str
    kind: str
    channel: str
    account: str
    priority: int
    due_at: int
    asked: int
    state: JobState
    finished_at: int | None
    awaited: bool
    cancelled: bool
    """Nothing of it is sent any more."""
    counters: dict[str, int]

    def move(self, old: PartState, new: PartState) -> None:
        """Counts a part that moved from one state to another."""
        self.counters[_COUNTERS[old]] -= 1
        self.counters[_COUNTERS[new]] += 1

    def follow(self, now: int) -> bool:
        """Sets the state that the counters give; True when it changed."""
        new = job_state({state: self.counters[name] for state, name in _COUNTERS.items()})
        changed = new is not self.state
        self.state = new
        open_now = self.counters["n_open"] > 0
        if open_now or changed or self.finished_at is None:
            self.finished_at = None if open_now else now
        return changed


@lru_cache(maxsize=8)
def _select_jobs(dialect: Dialect) -> str:
    fields = "id, kind, channel, account, priority, due_at, asked, state, finished_at, awaited, cancelled_at, "
    fields += ", ".join(COUNTER_NAMES)
    return f"select {fields} from {dialect.chosen('worker_jobs')}{dialect.in_order()}"


def lock_jobs(connection: Connection, ids: Iterable[str]) -> dict[str, JobFacts]:
    """Locks these jobs in id order and reads their counters."""
    rows = fetch(connection, _select_jobs(dialect_of(connection)), {"ids": ids_json(ids)})
    return {row[0]: _job_facts(row) for row in rows}


def _job_facts(row: Sequence[Any]) -> JobFacts:
    counters = dict(zip(COUNTER_NAMES, row[11:], strict=True))
    cancelled = row[10] is not None
    id, kind, channel, account, priority, due_at, asked, number, finished_at, awaited = row[:10]
    state, awaited = JobState(number), bool(awaited)
    return JobFacts(
        id, kind, channel, account, priority, due_at, asked, state, finished_at, awaited, cancelled, counters
    )


def job_rows(jobs: Iterable[JobFacts]) -> list[dict[str, Any]]:
    """The jobs' counters and states as rows to be written back."""
    return [
        {"id": job.id, "state": int(job.state), "finished_at": job.finished_at, "awaited": job.awaited, **job.counters}
        for job in jobs
    ]


def failure_rows(
    part_id: str, refusals: Iterable[Refusal], now: int, errcode: int | None = None
) -> list[dict[str, Any]]:
    """The recipients of a part that are not reached, as rows of failures."""
    return [
        {
            "part_id": part_id,
            "kind": refusal.kind,
            "recipient_key": refusal.recipient.lower(),
            "recipient": refusal.recipient,
            "field": refusal.field,
            "errcode": errcode or 0,
            "failed_at": now,
        }
        for refusal in refusals
    ]


def left_out_of(connection: Connection, part_id: str) -> list[Refusal]:
    """The recipients whom staging left out of a part's calls, which are failures of theirs."""
    query = "select recipient, kind, field from worker_failures where part_id = :part and field = :staged"
    return [Refusal(*row) for row in fetch(connection, query, {"part": part_id, "staged": STAGING})]


def leave_out(connection: Connection, now: int, part_id: str, left_out: Sequence[Refusal]) -> None:
    """Notes as failures that a part is not called because of them."""
    insert_rows(connection, tables.failures, failure_rows(part_id, left_out, now), conflict="ignore")


def wake_dependants(connection: Connection, job_ids: Iterable[str], now: str) -> None:
    """Makes parts that are parked on these jobs due now; called after the jobs' own rows were written."""
    sets = f"waits_on = null, not_before = {now}, offered_until = null"
    wake = dialect_of(connection).update_chosen("worker_parts", sets, "waits_on", index="worker_parts_waiting")
    run(connection, f"{wake} and state = 0", {"ids": ids_json(job_ids)})


@dataclass(slots=True)
class CommitBatch:
    """The rows one group commit collects, from the locks to the writes."""

    now: int
    policy: Policy
    parts: dict[str, PartFacts]
    before: dict[str, PartState]
    touched: dict[str, PartFacts] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    jobs_to_check: set[str] = field(default_factory=set)
    """Jobs of changed parts whose waiting follow-ups have to check again; a mark alone is no such change."""
    attempts: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    lane_changes: list[LaneChange] = field(default_factory=list)
    """What the answers mean for lanes and accounts, in the answers' order."""
    specs: list[dict[str, Any]] = field(default_factory=list)
    """Part ids with the specs they go on with."""
    burned: list[str] = field(default_factory=list)
    added_parts: list[dict[str, Any]] = field(default_factory=list)
    """New parts of open jobs, which wait for a limit."""
    reasons: Mapping[str, str | None] = field(default_factory=dict)
    """Why the parts were where they were when they were locked."""
    grown_jobs: set[str] = field(default_factory=set)
    """Jobs that have more parts now."""
    task_ids: list[dict[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """What is counted for the metrics, see `record_answer`."""
    spans: dict[str, SpanRef] = field(default_factory=dict)
    """Part ids with the spans of their calls that end here."""
    exemplars: dict[str, Exemplar] = field(default_factory=dict)
    """Names of buckets in `counts` with one of the traced calls in them."""
    wait_reports: dict[str, str] = field(default_factory=dict)
    hooked_ends: Ends = field(default_factory=dict)
    """The ends of jobs that leave an event for application hooks."""
    some_paused: bool = False
    orders: OrderQueue | None = None
    """The locked orders of these parts; None: none of them has an order_key."""

    def touch(self, part: PartFacts) -> None:
        """Marks the part's row to be written."""
        self.touched[part.id] = part

    def touch_and_wake(self, part: PartFacts) -> None:
        """Marks the part's row to be written, and lets follow-ups that wait for its job check again."""
        self.touch(part)
        self.jobs_to_check.add(part.job_id)
