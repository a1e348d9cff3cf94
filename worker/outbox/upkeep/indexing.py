"""Writes the terms by which jobs that have ended are found, a lot at a time.

A commit that ends a job notes it; what is noted and not indexed yet is searched row by row, so a lag costs time and
hides nothing. A note is taken away only as it was read, so a job that was noted again meanwhile is indexed again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate, takewhile
from typing import Any

from sqlalchemy import Connection, text

from worker.domain.job import job_of, part_id
from worker.domain.job_terms import FACTS, IndexedJob
from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, in_lots, insert_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import fetch, run
from worker.outbox.jobs.reading import lots_by_bytes
from worker.outbox.jobs.rows import COUNTER_NAMES

LOT = 500
TERMS = 5_000
"""A lot ends with the job that brings it to about so many terms; so many are written with one statement."""
BYTES = 8 * 1024 * 1024
"""A lot ends before the job that brings its messages and recipients beyond this length."""
_BESIDE = 6
"""Terms of most jobs beside their recipients."""

Pairs = list[tuple[str, str]]
"""Terms, each with the id of its job."""


def index_lot(database: Database, most: int = LOT) -> int:
    """Indexes the newest jobs that are noted; returns how many, 0 where none is left."""
    with database.reading() as connection:
        query = "select job_id, note from worker_unindexed order by job_id desc limit :most"
        notes: dict[str, str] = dict(fetch(connection, query, {"most": most}))
        lot = _bounded(connection, list(notes)) if notes else []
        missing, stale = _differences(connection, lot) if lot else ([], [])
    if lot:
        database.run(partial(_write, notes={job: notes[job] for job in lot}, missing=missing, stale=stale))
    return len(lot)


def _write(connection: Connection, notes: Mapping[str, str], missing: Pairs, stale: Pairs) -> None:
    """Writes the terms of those jobs whose notes are as they were read, and takes these notes away.

    One that was noted again is indexed again, and one that was purged meanwhile gets no terms.
    """
    dialect = dialect_of(connection)
    query = f"select job_id, note from {dialect.chosen('worker_unindexed', 'job_id')}{dialect.in_order('job_id')}"
    there = fetch(connection, query, {"ids": ids_json(notes)})
    same = {job for job, note in there if notes[job] == note}
    run(connection, dialect.delete_chosen("worker_unindexed", "job_id"), {"ids": ids_json(same)})
    for few in in_lots(({"term": term, "job_id": job} for term, job in missing if job in same), TERMS):
        insert_rows(connection, tables.terms, few, conflict="ignore")
    if gone := [{"term": term, "job": job} for term, job in stale if job in same]:
        connection.execute(text("delete from worker_terms where term = :term and job_id = :job"), gone)


def forget_terms(connection: Connection, ids: Collection[str]) -> None:
    """Deletes all terms of these jobs, and what is noted of them."""
    if ids:
        chosen, dialect = {"ids": ids_json(ids)}, dialect_of(connection)
        run(connection, dialect.delete_chosen("worker_unindexed", "job_id"), chosen)
        run(connection, dialect.delete_chosen("worker_terms", "job_id", index="worker_terms_job"), chosen)


def count_terms(connection: Connection, ids: Collection[str]) -> int:
    """How many terms these jobs have."""
    source = dialect_of(connection).chosen("worker_terms", "job_id", index="worker_terms_job")
    return int(fetch(connection, f"select count(*) from {source}", {"ids": ids_json(ids)})[0][0])


def _bounded(connection: Connection, ids: Sequence[str]) -> list[str]:
    """The first of these jobs, as many as may be indexed together."""
    query = f"select id, asked from {dialect_of(connection).chosen('worker_jobs')}"
    asked = dict(fetch(connection, query, {"ids": ids_json(ids)}))
    before = accumulate((_BESIDE + int(asked.get(id, 0)) for id in ids), initial=0)
    few = [id for id, _ in takewhile(lambda one: one[1] < TERMS, zip(ids, before, strict=False))]
    return next(lots_by_bytes(connection, few, BYTES))


def _differences(connection: Connection, ids: Sequence[str]) -> tuple[Pairs, Pairs]:
    """The terms that these jobs lack, and those that they have no more."""
    wanted = {job.id: job.terms(lane_key(connection)) for job in _jobs(connection, ids)}
    source = dialect_of(connection).chosen("worker_terms", "job_id", index="worker_terms_job")
    known: dict[str, set[str]] = {}
    for term, job in fetch(connection, f"select term, job_id from {source}", {"ids": ids_json(ids)}):
        known.setdefault(job, set()).add(term)
    missing = [(term, job) for job, terms in wanted.items() for term in sorted(terms - known.get(job, set()))]
    stale = [(term, job) for job, terms in known.items() for term in terms - wanted.get(job, set())]
    return missing, stale


def _jobs(connection: Connection, ids: Iterable[str]) -> list[IndexedJob]:
    """The jobs of these ids; one that is open again, too: between the looks of a search it must not be missing."""
    dialect = dialect_of(connection)
    columns = f"id, state, {' + '.join(COUNTER_NAMES)}, {', '.join(FACTS)}"
    rows = fetch(connection, f"select {columns} from {dialect.chosen('worker_jobs')}", {"ids": ids_json(ids)})
    # They are numbered from 0, also those that were added later.
    parts = {"ids": ids_json(part_id(row[0], n) for row in rows for n in range(row[2]))}
    receipts = f"select part_id, msgid from {dialect.chosen('worker_receipts', 'part_id')} and msgid is not null"
    attempts = f"select part_id, errcode from {dialect.chosen('worker_attempts', 'part_id')} and errcode <> 0"
    msgids, codes = (_by_job(fetch(connection, query, parts)) for query in (receipts, attempts))
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
