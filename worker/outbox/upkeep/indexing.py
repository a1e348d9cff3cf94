"""Writes the terms by which jobs that have ended are found, a lot at a time, each one transaction.

A commit that ends a job notes it; what is noted and not indexed yet is searched row by row, so a lag costs time and
hides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate

from sqlalchemy import Connection, text

from worker.domain.job import job_of, part_id
from worker.domain.job_terms import FACTS, IndexedJob
from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import fetch, run
from worker.outbox.jobs.rows import COUNTER_NAMES

LOT = 500
BYTES = 8 * 1024 * 1024
"""A lot ends with the job that brings its messages and recipients to this length."""


def index_lot(database: Database, most: int = LOT) -> int:
    """Indexes the oldest jobs that are noted; returns how many, 0 where none is left or another process has them."""
    return database.run(lambda connection: _index(connection, most))


def forget_terms(connection: Connection, ids: Collection[str]) -> None:
    """Deletes all terms of these jobs, and what is noted of them."""
    if ids:
        chosen = {"ids": ids_json(ids)}
        run(connection, dialect_of(connection).delete_chosen("worker_unindexed", "job_id"), chosen)
        _delete(connection, [(term, job) for job, terms in _known(connection, ids).items() for term in terms])


def _index(connection: Connection, most: int) -> int:
    dialect = dialect_of(connection)
    # Locked, so that a commit which ends one of them once more waits, and notes it again afterwards.
    query = f"select job_id from worker_unindexed order by job_id limit :most{dialect.lock}{dialect.skip_locked}"
    noted = [row[0] for row in fetch(connection, query, {"most": most})]
    if not noted:
        return 0
    noted = _bounded(connection, noted)
    wanted = {job.id: job.terms(lane_key(connection)) for job in _ended(connection, noted)}
    known = _known(connection, noted)
    missing = [
        {"term": term, "job_id": job} for job, terms in wanted.items() for term in sorted(terms - known.get(job, set()))
    ]
    insert_rows(connection, tables.terms, missing, conflict="ignore")
    # A job that is open again keeps its terms until it has ended again: what is found by them is looked at anyway.
    stale = [(term, job) for job, terms in known.items() for term in terms - wanted.get(job, terms)]
    _delete(connection, stale)
    run(connection, dialect.delete_chosen("worker_unindexed", "job_id"), {"ids": ids_json(noted)})
    return len(noted)


def _bounded(connection: Connection, ids: Sequence[str]) -> list[str]:
    """The first of these jobs, as many as may be read together."""
    dialect = dialect_of(connection)
    length = f"{dialect.octet_length}(message) + {dialect.octet_length}(recipients)"
    query = f"select id, {length} from {dialect.chosen('worker_jobs')}"
    lengths = dict(fetch(connection, query, {"ids": ids_json(ids)}))
    read = accumulate((int(lengths.get(id, 0)) for id in ids), initial=0)
    return [id for id, before in zip(ids, read, strict=False) if before < BYTES]


def _ended(connection: Connection, ids: Iterable[str]) -> list[IndexedJob]:
    """The jobs among these of which nothing is open."""
    dialect = dialect_of(connection)
    columns = f"id, state, {' + '.join(COUNTER_NAMES)}, {', '.join(FACTS)}"
    query = f"select {columns} from {dialect.chosen('worker_jobs')} and n_open = 0"
    rows = fetch(connection, query, {"ids": ids_json(ids)})
    # They are numbered from 0, also those that were added later.
    parts = {"ids": ids_json(part_id(row[0], n) for row in rows for n in range(row[2]))}
    receipts = f"select part_id, msgid from {dialect.chosen('worker_receipts', 'part_id')} and msgid is not null"
    attempts = f"select part_id, errcode from {dialect.chosen('worker_attempts', 'part_id')} and errcode <> 0"
    msgids: dict[str, set[str]] = {}
    for part, msgid in fetch(connection, receipts, parts):
        msgids.setdefault(job_of(part), set()).add(msgid)
    codes: dict[str, set[int]] = {}
    for part, code in fetch(connection, attempts, parts):
        codes.setdefault(job_of(part), set()).add(code)
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


def _known(connection: Connection, ids: Collection[str]) -> dict[str, set[str]]:
    """The terms of these jobs that are written."""
    source = dialect_of(connection).chosen("worker_terms", "job_id", index="worker_terms_job")
    found: dict[str, set[str]] = {}
    for term, job in fetch(connection, f"select term, job_id from {source}", {"ids": ids_json(ids)}):
        found.setdefault(job, set()).add(term)
    return found


def _delete(connection: Connection, pairs: Sequence[tuple[str, str]]) -> None:
    if pairs:
        rows = [{"term": term, "job": job} for term, job in pairs]
        connection.execute(text("delete from worker_terms where term = :term and job_id = :job"), rows)
