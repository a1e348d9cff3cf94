"""Writes the search terms of jobs that have ended, a batch at a time.

A commit that ends a job adds it to `worker_unindexed`. A search reads the jobs in that table one by one, so a backlog
makes searches slower but hides nothing. A job leaves the table only if its row is as it was read, so a job that was
added again meanwhile is indexed again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import accumulate, takewhile
from typing import Any

from sqlalchemy import Connection, text

from worker.domain.job import job_of, part_id
from worker.domain.job_terms import FACTS, IndexedJob
from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.engine.bulk import batched, delete_by_id, insert_rows, rows_by_id
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import fetch, read_now
from worker.outbox.jobs.reading import batches_by_bytes
from worker.outbox.jobs.rows import COUNTER_NAMES
from worker.outbox.lanes.processes import all_hooks
from worker.outbox.upkeep.ended_tags import hooked_tags_of, store_ended_tags

BATCH = 500
"""The largest number of jobs in a batch."""
TERMS = 5_000
"""A batch ends with the job that brings it to about this many terms. One statement writes at most this many."""
BYTES = 8 * 1024 * 1024
"""A batch ends before the job whose message and recipients would bring it beyond this length."""
IDLE_S = 0.5
PAUSE_FACTOR, BACKLOG_PAUSE_FACTOR = 9, 4
"""The pause after a batch, as a multiple of the time that it took; the second one if the batch was full."""
_OTHER_TERMS = 6
"""Terms of most jobs besides those of their recipients."""

TermsOfJobs = list[tuple[str, str]]
"""Terms, each with the id of its job."""


class Indexing:
    """Indexes the jobs that have ended: works for a tenth of the time, or for a fifth while there is a backlog."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic):
        self._database, self._monotonic = database, monotonic

    def turn(self) -> float:
        """Indexes a batch. Returns the seconds until the next one. Raises if the database is away."""
        began = self._monotonic()
        indexed = index_batch(self._database)
        if not indexed:
            return IDLE_S
        return (PAUSE_FACTOR if indexed < BATCH else BACKLOG_PAUSE_FACTOR) * (self._monotonic() - began)


def index_batch(database: Database) -> int:
    """Indexes the newest jobs that wait for it. Returns how many, or 0 if there are none."""
    with database.reading() as connection:
        query = f"select job_id, note from worker_unindexed order by job_id desc limit {BATCH}"
        notes: dict[str, str] = dict(fetch(connection, query))
        ids = _bounded(connection, list(notes)) if notes else []
        jobs = _jobs(connection, ids) if ids else []
        missing, stale = _differences(connection, jobs) if ids else ([], [])
        hooks = all_hooks(connection) if ids else None
        patterns = hooks.tags if hooks else frozenset[str]()
        tagged = [job for job in jobs if job.tags] if patterns else []
    if ids:
        batch_notes = {job: notes[job] for job in ids}

        def write(connection: Connection) -> None:
            unchanged = _write(connection, batch_notes, missing, stale)
            if ended := hooked_tags_of((job for job in tagged if job.id in unchanged), patterns):
                store_ended_tags(connection, read_now(connection, database.now), ended)

        database.run(write)
    return len(ids)


def _write(connection: Connection, notes: Mapping[str, str], missing: TermsOfJobs, stale: TermsOfJobs) -> set[str]:
    """Writes the terms of the jobs whose note in `worker_unindexed` is unchanged, and deletes their rows there.

    Returns these jobs. A job with a new note is left for a later batch. A job that was purged meanwhile has no note
    and gets no terms.
    """
    lock = dialect_of(connection).lock_in_order("job_id")
    rows = rows_by_id(connection, "job_id, note", "worker_unindexed", notes, "job_id", only=lock)
    unchanged = {job for job, note in rows if notes[job] == note}
    delete_by_id(connection, "worker_unindexed", unchanged, "job_id")
    for batch in batched(({"term": term, "job_id": job} for term, job in missing if job in unchanged), TERMS):
        insert_rows(connection, tables.terms, batch, conflict="ignore")
    if stale_rows := [{"term": term, "job": job} for term, job in stale if job in unchanged]:
        connection.execute(text("delete from worker_terms where term = :term and job_id = :job"), stale_rows)
    return unchanged


def delete_terms(connection: Connection, ids: Collection[str]) -> None:
    """Deletes all terms of these jobs, and their rows in `worker_unindexed`."""
    delete_by_id(connection, "worker_unindexed", ids, "job_id")
    delete_by_id(connection, "worker_terms", ids, "job_id", index="worker_terms_job")


def count_terms(connection: Connection, ids: Collection[str]) -> int:
    """Returns how many terms these jobs have together."""
    return int(rows_by_id(connection, "count(*)", "worker_terms", ids, "job_id", index="worker_terms_job")[0][0])


def _bounded(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Returns the first of these jobs, as many as `TERMS` and `BYTES` allow in one batch."""
    recipients = dict(rows_by_id(connection, "id, asked", "worker_jobs", ids))
    terms_before = accumulate((_OTHER_TERMS + int(recipients.get(id, 0)) for id in ids), initial=0)
    first = [id for id, _ in takewhile(lambda pair: pair[1] < TERMS, zip(ids, terms_before, strict=False))]
    return next(batches_by_bytes(connection, first, BYTES))


def _differences(connection: Connection, jobs: Sequence[IndexedJob]) -> tuple[TermsOfJobs, TermsOfJobs]:
    """Returns the terms that the index lacks for these jobs, and the terms that it has and the jobs no longer have."""
    terms_of = {job.id: job.terms(lane_key(connection)) for job in jobs}
    ids, indexed = list(terms_of), dict[str, set[str]]()
    for term, job in rows_by_id(connection, "term, job_id", "worker_terms", ids, "job_id", index="worker_terms_job"):
        indexed.setdefault(job, set()).add(term)
    missing = [(term, job) for job, terms in terms_of.items() for term in sorted(terms - indexed.get(job, set()))]
    stale = [(term, job) for job, terms in indexed.items() for term in terms - terms_of.get(job, set())]
    return missing, stale


def _jobs(connection: Connection, ids: Iterable[str]) -> list[IndexedJob]:
    """Reads these jobs. Includes jobs that are open again, so that no search misses them meanwhile."""
    columns = f"id, state, {' + '.join(COUNTER_NAMES)}, {', '.join(FACTS)}"
    rows = rows_by_id(connection, columns, "worker_jobs", ids)
    # A job's parts are numbered from 0 without gaps, including parts that were added later.
    parts = [part_id(row[0], n) for row in rows for n in range(row[2])]
    queries = (
        ("msgid", "worker_receipts", "and msgid is not null"),
        ("errcode", "worker_attempts", "and errcode <> 0"),
    )
    msgids, codes = (
        _by_job(rows_by_id(connection, f"part_id, {name}", table, parts, "part_id", only=only))
        for name, table, only in queries
    )
    return [
        IndexedJob(
            id,
            state=JobState(state),
            msgids=msgids.get(id, ()),
            errcodes=codes.get(id, ()),
            **dict(zip(FACTS, facts, strict=True)),
        )
        for id, state, _, *facts in rows
    ]


def _by_job(rows: Iterable[tuple[Any, ...]]) -> dict[str, set[Any]]:
    values: dict[str, set[Any]] = {}
    for part, value in rows:
        values.setdefault(job_of(part), set()).add(value)
    return values
