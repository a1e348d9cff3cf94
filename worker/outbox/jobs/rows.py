"""Locks the rows of parts and jobs, reads them, and writes them back, with one statement for many rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection

from worker.domain.callbacks.hook import Subscriptions
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
from worker.outbox.lanes.processes import hooks_in, select_hooks

_PART_FIELDS = tuple(PartFacts.__slots__)
_CHANGING = tuple(name for name in _PART_FIELDS if name not in ("job_id", "lane", "expires_at", "order_id"))
_COUNTERS = {state: "n_open" if state in OPEN_STATES else f"n_{state.label}" for state in PartState}
"""State of a part -> the job's column that counts such parts."""
COUNTER_NAMES = tuple(dict.fromkeys(_COUNTERS.values()))
ADDRESSED_COUNTERS = ("n_open", "n_accepted", "n_partial", "n_unknown", "n_cancelled")
"""The counters of parts whose message has reached a person, may have, or is still to."""
_IN_DOUBT = f"state = {int(PartState.UNKNOWN)}"
HELD, SETTLING = f"{_IN_DOUBT} and not_before is null", f"{_IN_DOUBT} and not_before is not null"
"""The conditions on a part in doubt that waits for a person, and on one that is repeated or looked up by itself."""


@lru_cache(maxsize=64)
def _select_parts(dialect: Dialect, now: str) -> str:
    fields = ", ".join(_PART_FIELDS)
    rows = f"from {dialect.by_ids('worker_parts')}{dialect.lock_in_order()}"
    if dialect.clock_follows_lock:
        # MariaDB would not lock rows of an inner select.
        return f"select {fields}, {now}, {ANY_ACTIVE} {rows}"
    # The clock is in the outer select. In the inner one PostgreSQL would read it before it waits for a row's lock.
    locked = f"select {fields} {rows}"
    return f"select locked.*, {now}, {ANY_ACTIVE} from ({locked}) locked"


def lock_parts(connection: Connection, ids: Iterable[str]) -> dict[str, PartFacts]:
    """Locks these parts in id order and reads them."""
    return lock_parts_now(connection, ids, "0").parts


class Locked(NamedTuple):
    """The rows that a group commit has locked."""

    parts: dict[str, PartFacts]
    now: int
    """The database's clock when the last part was locked, or 0 without parts."""
    jobs: dict[str, JobFacts]
    some_paused: bool
    """Whether any pause is active. Then each mark has to be compared with the pauses."""
    hooks: Subscriptions | None
    """The hooks of all worker processes, or None if no job was locked or no process is alive."""


def lock_parts_now(connection: Connection, ids: Iterable[str], now: str, jobs: Iterable[str] = ()) -> Locked:
    """Locks these parts and then these jobs, and reads the clock in between."""
    dialect = dialect_of(connection)
    # Both statements are sent before the first result is read, so that a pipeline waits only once.
    part_result = send(connection, _select_parts(dialect, now), {"ids": ids_json(ids)})
    select_jobs = _select_jobs(dialect, f"({select_hooks(dialect, now)})")
    job_result = send(connection, select_jobs, {"ids": ids_json(jobs)}) if jobs else None
    rows = collect(part_result)
    job_rows = collect(job_result) if job_result else []
    facts = {row[0]: _job_facts(row) for row in job_rows}
    parts = {row[0]: part_facts(row[:-2]) for row in rows}
    hooks = hooks_in(job_rows[0][-1]) if job_rows else None
    return Locked(parts, max((row[-2] for row in rows), default=0), facts, any(row[-1] for row in rows), hooks)


def part_facts(row: Sequence[Any]) -> PartFacts:
    """Returns the PartFacts of a row with the columns in the order of its fields."""
    facts = PartFacts(*row)
    facts.state = PartState(row[3])
    return facts


def save_parts(connection: Connection, parts: Iterable[PartFacts]) -> None:
    """Writes the rows of the parts back in one statement."""
    update_rows(connection, tables.parts, ("id",), part_rows(parts))


def part_rows(parts: Iterable[PartFacts]) -> list[dict[str, Any]]:
    """Returns the columns that can have changed, as rows to be written."""
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
    created_at: int
    asked: int
    state: JobState
    finished_at: int | None
    awaited: bool
    cancelled: bool
    """Whether it was cancelled. Then none of its parts is sent any more."""
    counters: dict[str, int]

    @property
    def due_since(self) -> int:
        """When it was first due: at its due_at, but not before it was there."""
        return max(self.due_at, self.created_at)

    def move(self, old: PartState, new: PartState) -> None:
        """Counts a part that has changed from one state to another."""
        self.counters[_COUNTERS[old]] -= 1
        self.counters[_COUNTERS[new]] += 1

    def follow(self, now: int) -> bool:
        """Sets the job's state from its counters. Returns whether the state has changed."""
        new = job_state({state: self.counters[name] for state, name in _COUNTERS.items()})
        changed = new is not self.state
        self.state = new
        open_now = self.counters["n_open"] > 0
        if open_now or changed or self.finished_at is None:
            self.finished_at = None if open_now else now
        return changed


@lru_cache(maxsize=64)
def _select_jobs(dialect: Dialect, hooks: str = "null") -> str:
    fields = "id, kind, channel, account, priority, due_at, created_at, asked, state, finished_at, awaited, "
    fields += f"cancelled_at, {', '.join(COUNTER_NAMES)}, {hooks}"
    return f"select {fields} from {dialect.by_ids('worker_jobs')}{dialect.lock_in_order()}"


def lock_jobs(connection: Connection, ids: Iterable[str]) -> dict[str, JobFacts]:
    """Locks these jobs in id order and reads their counters."""
    rows = fetch(connection, _select_jobs(dialect_of(connection)), {"ids": ids_json(ids)})
    return {row[0]: _job_facts(row) for row in rows}


def _job_facts(row: Sequence[Any]) -> JobFacts:
    id, kind, channel, account, priority, due_at, created_at, asked = row[:8]
    state, finished_at, awaited, cancelled = JobState(row[8]), row[9], bool(row[10]), row[11] is not None
    facts = (priority, due_at, created_at, asked, state, finished_at, awaited, cancelled)
    counters = dict(zip(COUNTER_NAMES, row[12:-1], strict=True))
    return JobFacts(id, kind, channel, account, *facts, counters)


def job_rows(jobs: Iterable[JobFacts]) -> list[dict[str, Any]]:
    """Returns the counters and states of the jobs, as rows to be written."""
    return [
        {"id": job.id, "state": int(job.state), "finished_at": job.finished_at, "awaited": job.awaited, **job.counters}
        for job in jobs
    ]


def failure_rows(
    part_id: str, refusals: Iterable[Refusal], now: int, errcode: int | None = None
) -> list[dict[str, Any]]:
    """Returns the recipients that a part does not reach, as rows of failures."""
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


def omitted_recipients(connection: Connection, part_id: str) -> list[Refusal]:
    """Returns the recipients that staging has left out of a part's calls. They are stored as failures."""
    query = "select recipient, kind, field from worker_failures where part_id = :part and field = :staged"
    return [Refusal(*row) for row in fetch(connection, query, {"part": part_id, "staged": STAGING})]


def store_omitted(connection: Connection, now: int, part_id: str, left_out: Sequence[Refusal]) -> None:
    """Stores as failures the recipients for whose sake a part is not sent."""
    insert_rows(connection, tables.failures, failure_rows(part_id, left_out, now), conflict="ignore")


def wake_dependants(connection: Connection, job_ids: Iterable[str], now: str) -> None:
    """Makes parts that wait for these jobs due now. Call it after the jobs' own rows were written."""
    sets = f"waits_on = null, not_before = {now}, offered_until = null"
    wake = dialect_of(connection).update_by_ids("worker_parts", sets, "waits_on", index="worker_parts_waiting")
    run(connection, f"{wake} and state = 0", {"ids": ids_json(job_ids)})


@dataclass(slots=True)
class CommitBatch:
    """What one group commit has locked, and the rows that it collects to write."""

    now: int
    policy: Policy
    parts: dict[str, PartFacts]
    before: dict[str, PartState]
    """The states of the parts when they were locked."""
    touched: dict[str, PartFacts] = field(default_factory=dict)
    """The parts whose rows are written."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    jobs_to_check: set[str] = field(default_factory=set)
    """Jobs of changed parts, whose state and waiting follow-ups are checked. A mark alone is no such change."""
    attempts: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    lane_changes: list[LaneChange] = field(default_factory=list)
    """What the answers mean for lanes and accounts, in the order of the answers."""
    specs: list[dict[str, Any]] = field(default_factory=list)
    """New specs of parts, each with the part's id."""
    burned: list[str] = field(default_factory=list)
    """Parts in doubt, whose leased response_codes may have been used."""
    refused_late: list[tuple[str, int]] = field(default_factory=list)
    """Part and claim of calls in doubt that turn out to be refused."""
    added_parts: list[dict[str, Any]] = field(default_factory=list)
    """New parts of open jobs. They have recipients that wait for a limit."""
    reasons: Mapping[str, str | None] = field(default_factory=dict)
    """The reasons in the parts' rows when they were locked."""
    grown_jobs: set[str] = field(default_factory=set)
    """Jobs that get more parts."""
    task_ids: list[dict[str, str]] = field(default_factory=list)
    """Rows with the task_ids of the new parts."""
    counts: Counter[str] = field(default_factory=Counter)
    """Counts for the metrics; see `record_answer`."""
    spans: dict[str, SpanRef] = field(default_factory=dict)
    """Part -> the span of its call that ends here."""
    exemplars: dict[str, Exemplar] = field(default_factory=dict)
    """Names of buckets in `counts`, each with one of its traced calls."""
    wait_reports: dict[str, str] = field(default_factory=dict)
    """Job -> how long and why one of its parts waits after a call."""
    hooks: Subscriptions | None = None
    """The hooks of all worker processes, or None if they were not read with the jobs."""
    has_hooks: bool = False
    """Whether the settings of this process name hooks, which counts while no worker process has started."""
    some_paused: bool = False
    """Whether any pause is active."""
    orders: OrderQueue | None = None
    """The locked orders of the parts, or None if none of them has an order_key."""

    def touch(self, part: PartFacts) -> None:
        """Has the part's row written."""
        self.touched[part.id] = part

    def touch_and_wake(self, part: PartFacts) -> None:
        """Has the part's row written, and lets follow-ups that wait for its job check again."""
        self.touch(part)
        self.jobs_to_check.add(part.job_id)
