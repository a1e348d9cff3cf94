"""Reads what a mailing's counts are made of: its jobs page by page, their recalls and corrections, and their parts.

Every statement uses an index. So the cost depends only on the mailing's own jobs and on the parts that are open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection

from worker.domain.job import JobKind, part_id
from worker.domain.job_filter import JobFilter
from worker.domain.job_terms import tags_of
from worker.domain.state import JobState, PartState, states_of
from worker.outbox.control.listing import JobRowsPage, job_page, newest_errcodes_of
from worker.outbox.engine.bulk import batched, rows_by_id
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.reading import IS_CORRECTION
from worker.outbox.jobs.rows import ADDRESSED_COUNTERS, COUNTER_NAMES

COLUMNS = ("id", "kind", "account", "channel", "asked", "replay_of", "created_at", "tags", *COUNTER_NAMES)
"""The columns of a job from which counts are computed."""
TOGETHER = 20_000
"""How many jobs are read at once."""
PARTS = 500
"""How many parts' specs are read at once."""


def mailing_pages(
    connection: Connection, filter: JobFilter, now: int, most: int, states: Sequence[JobState] | None = None
) -> Iterator[JobRowsPage]:
    """Yields pages of the jobs of a filter, newest first, `most` jobs at most. The last page says if there may be more.

    `states` are used where the filter has none. A page that ends because it has checked as many jobs as it may counts
    as a full one.
    """
    states = states if filter.state is None else states_of("state", filter.state)
    read, cursor = partial(job_page, connection, filter, states, COLUMNS, newest_first=True, now=now), None
    for left in range(most, 0, -TOGETHER):
        page = read(cursor=cursor, limit=min(TOGETHER, left))
        yield page
        cursor = page.cursor
        if cursor is None:
            return
    older = read(cursor=cursor, limit=1)
    yield JobRowsPage([], None, is_cut_short=older.cursor is not None)


class TaggedJobs(NamedTuple):
    """Jobs of an account with the same tags."""

    account: str
    tags: tuple[str, ...]
    jobs: int
    last_at: int
    """When the newest of them was enqueued."""
    states: Sequence[int]
    """How many of them are in each state, in the order of JobState."""


def recently_tagged(connection: Connection, jobs: int, most: int) -> list[TaggedJobs]:
    """Returns at most `most` different tags of the newest `jobs` jobs, the newest first."""
    source = f"worker_jobs{dialect_of(connection).force_index('primary')}"
    newest = f"select account, tags, created_at, state from {source} order by id desc limit {jobs}"
    states = ", ".join(f"sum(case when state = {state:d} then 1 else 0 end)" for state in JobState)
    query = (
        f"select account, tags, count(*), max(created_at), {states} from ({newest}) newest where tags is not null"
        f" group by account, tags order by max(created_at) desc limit {most}"
    )
    rows = fetch(connection, query)
    return [
        TaggedJobs(account, tuple(tags_of(tags)), int(count), int(at), [*map(int, counts)])
        for account, tags, count, at, *counts in rows
    ]


class Follower(NamedTuple):
    """A recall of a job, or a correction."""

    target: str
    kind: str
    state: JobState
    created_at: int
    meant_anybody: bool
    """Whether its message has reached a person, may have, or is still to."""


def recalls_and_corrections(connection: Connection, ids: Collection[str]) -> list[Follower]:
    """Returns the recalls and corrections of these jobs."""
    only = f"and (kind = '{JobKind.RECALL}' or {IS_CORRECTION})"
    columns = f"target_job_id, kind, state, created_at, {' + '.join(ADDRESSED_COUNTERS)}"
    rows = rows_by_id(connection, columns, "worker_jobs", ids, "target_job_id", only=only, index="worker_jobs_target")
    return [Follower(target, kind, JobState(state), at, meant > 0) for target, kind, state, at, meant in rows]


def in_flight_by_job(connection: Connection) -> Counter[str]:
    """Returns job -> its calls in flight, for all jobs. There are not more calls than threads."""
    source = f"worker_parts{dialect_of(connection).force_index('worker_parts_due_by_state')}"
    return Counter(row[0] for row in fetch(connection, f"select job_id from {source} where state = 1"))


class PartShare(NamedTuple):
    """A part with its recipients."""

    id: str
    job_id: str
    state: PartState
    spec: str


def part_shares(connection: Connection, jobs: dict[str, int]) -> Iterator[list[PartShare]]:
    """Yields the parts of these jobs (job id -> number of parts), some hundred at a time."""
    ids = (part_id(job, n) for job, count in jobs.items() for n in range(count))
    for lot in batched(ids, PARTS):
        rows = rows_by_id(connection, "id, job_id, state, spec", "worker_parts", lot)
        yield [PartShare(id, job, PartState(state), spec) for id, job, state, spec in rows]


class FailedPart(NamedTuple):
    """A part that did not reach all of its recipients."""

    id: str
    job_id: str
    is_accepted: bool
    """Whether only recipients that the vendor named did not get it."""
    spec: str
    reason: str | None
    errcode: int | None
    """That of its newest call with an answer, as far as its calls are still stored."""


_NOT_REACHED = f"({PartState.REJECTED:d}, {PartState.EXHAUSTED:d}, {PartState.EXPIRED:d}, {PartState.PARTIAL:d})"


def failed_parts(connection: Connection, jobs: dict[str, int]) -> Iterator[list[FailedPart]]:
    """Yields the parts of these jobs (job id -> number of parts) that did not reach all, some hundred at a time."""
    ids = (part_id(job, n) for job, count in jobs.items() for n in range(count))
    columns = "id, job_id, state, spec, reason"
    for lot in batched(ids, PARTS):
        rows = rows_by_id(connection, columns, "worker_parts", lot, only=f"and state in {_NOT_REACHED}")
        newest = newest_errcodes_of(connection, [row[0] for row in rows])
        yield [
            # What expired did so after its last answer, whatever that was.
            FailedPart(
                id,
                job,
                state == PartState.PARTIAL,
                spec,
                reason,
                None if state == PartState.EXPIRED else newest.get(id),
            )
            for id, job, state, spec, reason in rows
        ]


def refused_by_list(connection: Connection, parts: Iterable[str]) -> dict[str, dict[tuple[str, int], int]]:
    """Returns part -> how many recipients the vendor named, by its list and the errcode of its answer."""
    columns, found = "part_id, field, errcode, count(*)", dict[str, dict[tuple[str, int], int]]()
    for part, name, errcode, count in rows_by_id(
        connection, columns, "worker_failures", parts, "part_id", only="group by part_id, field, errcode"
    ):
        found.setdefault(part, {})[name, errcode] = int(count)
    return found


def replayed_jobs(connection: Connection, ids: Collection[str]) -> set[str]:
    """Returns those of the jobs that have a newer replay, also of the same original, that was not cancelled."""
    originals = dict(rows_by_id(connection, "id, coalesce(replay_of, id)", "worker_jobs", ids))
    of, only = {*originals.values()}, f"and state <> {JobState.CANCELLED:d} group by replay_of"
    newest = dict(
        rows_by_id(
            connection, "replay_of, max(id)", "worker_jobs", of, "replay_of", only=only, index="worker_jobs_replay"
        )
    )
    return {id for id, original in originals.items() if newest.get(original, "") > id}
