"""Writes the terms by which jobs that have ended are found, a lot at a time.

A commit that ends a job notes it; what is noted and not indexed yet is searched row by row, so a lag costs time and
hides nothing. A note is taken away only as it was read, so a job that was noted again meanwhile is indexed again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate, takewhile
from typing import Any

from sqlalchemy import Connection, text

from worker.domain.job import job_of, part_id
from worker.domain.job_terms import FACTS, IndexedJob
from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.engine.bulk import delete_by_id, in_lots, insert_rows, rows_by_id
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import fetch, read_now
from worker.outbox.jobs.reading import batches_by_bytes
from worker.outbox.jobs.rows import COUNTER_NAMES
from worker.outbox.lanes.processes import hooked_tags
from worker.outbox.upkeep.ended_tags import note_ended, tags_that_ended

LOT = 500
TERMS = 5_000
"""A lot ends with the job that brings it to about so many terms; so many are written with one statement."""
BYTES = 8 * 1024 * 1024
"""A lot ends before the job that brings its messages and recipients beyond this length."""
_BESIDE = 6
"""Terms of most jobs beside their recipients."""

Pairs = list[tuple[str, str]]
"""Terms, each with the id of its job."""


def index_lot(database: Database) -> int:
    """Indexes the newest jobs that are noted; returns how many, 0 where none is left."""
    with database.reading() as connection:
        query = f"select job_id, note from worker_unindexed order by job_id desc limit {LOT}"
        notes: dict[str, str] = dict(fetch(connection, query))
        lot = _bounded(connection, list(notes)) if notes else []
        jobs = _jobs(connection, lot) if lot else []
        missing, stale = _differences(connection, jobs) if lot else ([], [])
        hooked = [job for job in jobs if job.tags] if lot and (tags := hooked_tags(connection)) else []
    if lot:
        own = {job: notes[job] for job in lot}

        def write(connection: Connection) -> None:
            same = _write(connection, own, missing, stale)
            if ended := tags_that_ended((job for job in hooked if job.id in same), tags):
                note_ended(connection, read_now(connection, database.now), ended)

        database.run(write)
    return len(lot)


def _write(connection: Connection, notes: Mapping[str, str], missing: Pairs, stale: Pairs) -> set[str]:
    """Writes the terms of those jobs whose notes are as they were read, takes these notes away, and returns the jobs.

    One that was noted again is indexed again, and one that was purged meanwhile gets no terms.
    """
    locked = dialect_of(connection).in_order("job_id")
    there = rows_by_id(connection, "job_id, note", "worker_unindexed", notes, "job_id", only=locked)
    same = {job for job, note in there if notes[job] == note}
    delete_by_id(connection, "worker_unindexed", same, "job_id")
    for few in in_lots(({"term": term, "job_id": job} for term, job in missing if job in same), TERMS):
        insert_rows(connection, tables.terms, few, conflict="ignore")
    if gone := [{"term": term, "job": job} for term, job in stale if job in same]:
        connection.execute(text("delete from worker_terms where term = :term and job_id = :job"), gone)
    return same


def forget_terms(connection: Connection, ids: Collection[str]) -> None:
    """Deletes all terms of these jobs, and what is noted of them."""
    delete_by_id(connection, "worker_unindexed", ids, "job_id")
    delete_by_id(connection, "worker_terms", ids, "job_id", index="worker_terms_job")


def count_terms(connection: Connection, ids: Collection[str]) -> int:
    """How many terms these jobs have."""
    return int(rows_by_id(connection, "count(*)", "worker_terms", ids, "job_id", index="worker_terms_job")[0][0])


def _bounded(connection: Connection, ids: Sequence[str]) -> list[str]:
    """The first of these jobs, as many as may be indexed together."""
    asked = dict(rows_by_id(connection, "id, asked", "worker_jobs", ids))
    before = accumulate((_BESIDE + int(asked.get(id, 0)) for id in ids), initial=0)
    few = [id for id, _ in takewhile(lambda one: one[1] < TERMS, zip(ids, before, strict=False))]
    return next(batches_by_bytes(connection, few, BYTES))


def _differences(connection: Connection, jobs: Sequence[IndexedJob]) -> tuple[Pairs, Pairs]:
    """The terms that these jobs lack, and those that they have no more."""
    wanted = {job.id: job.terms(lane_key(connection)) for job in jobs}
    ids, known = list(wanted), dict[str, set[str]]()
    for term, job in rows_by_id(connection, "term, job_id", "worker_terms", ids, "job_id", index="worker_terms_job"):
        known.setdefault(job, set()).add(term)
    missing = [(term, job) for job, terms in wanted.items() for term in sorted(terms - known.get(job, set()))]
    stale = [(term, job) for job, terms in known.items() for term in terms - wanted.get(job, set())]
    return missing, stale


def _jobs(connection: Connection, ids: Iterable[str]) -> list[IndexedJob]:
    """The jobs of these ids; one that is open again, too: between the looks of a search it must not be missing."""
    columns = f"id, state, {' + '.join(COUNTER_NAMES)}, {', '.join(FACTS)}"
    rows = rows_by_id(connection, columns, "worker_jobs", ids)
    # They are numbered from 0, also those that were added later.
    parts = [part_id(row[0], n) for row in rows for n in range(row[2])]
    named = (("msgid", "worker_receipts", "and msgid is not null"), ("errcode", "worker_attempts", "and errcode <> 0"))
    msgids, codes = (
        _by_job(rows_by_id(connection, f"part_id, {name}", table, parts, "part_id", only=only))
        for name, table, only in named
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
    found: dict[str, set[Any]] = {}
    for part, value in rows:
        found.setdefault(job_of(part), set()).add(value)
    return found
