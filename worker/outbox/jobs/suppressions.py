"""The list of those to whom nothing is sent, as keyed hashes, and the parts of which some were left out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from worker.domain.content.left_out import STAGING, SUPPRESSED
from worker.domain.content.recipient import same_person
from worker.domain.job_terms import term
from worker.domain.outcome import Refusal
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import execute, fetch, read_now
from worker.outbox.jobs.rows import failure_rows


def suppressed_among(connection: Connection, recipients: Collection[str]) -> set[str]:
    """The recipients among these that are on the list, without regard to case and width, as they were written."""
    by_key: dict[str, list[str]] = {}
    for one in recipients:
        by_key.setdefault(_key(connection, one), []).append(one)
    query = f"select id from {dialect_of(connection).chosen('worker_suppressions')}"
    return {one for row in fetch(connection, query, {"ids": ids_json(by_key)}) for one in by_key[row[0]]}


def suppress(connection: Connection, now_sql: str, recipients: Collection[str], person: str, why: str) -> int:
    """Puts recipients on the list; how many were not on it."""
    now = read_now(connection, now_sql)
    ids = {_key(connection, one) for one in recipients}
    query = f"select id from {dialect_of(connection).chosen('worker_suppressions')}"
    new = sorted(ids.difference(row[0] for row in fetch(connection, query, {"ids": ids_json(ids)})))
    rows = [{"id": id, "person": person, "why": why, "began_at": now} for id in new]
    insert_rows(connection, tables.suppressions, rows, conflict="ignore")
    return len(rows)


def lift(connection: Connection, recipients: Collection[str]) -> int:
    """Takes recipients off the list; how many were on it."""
    ids = {_key(connection, one) for one in recipients}
    return execute(
        connection, dialect_of(connection).delete_chosen("worker_suppressions"), {"ids": ids_json(ids)}
    ).rowcount


def _key(connection: Connection, recipient: str) -> str:
    return term(lane_key(connection), "recipient", same_person(recipient))


def left_out_of(connection: Connection, part_id: str) -> list[Refusal]:
    """The recipients that were left out of a part's calls."""
    query = "select recipient, kind, field from worker_failures where part_id = :part and field in (:listed, :staged)"
    rows = fetch(connection, query, {"part": part_id, "listed": SUPPRESSED, "staged": STAGING})
    return [Refusal(*row) for row in rows]


def leave_out(connection: Connection, now: int, part_id: str, left_out: Sequence[Refusal]) -> None:
    """Notes as failures that a part is not called because of them."""
    insert_rows(connection, tables.failures, failure_rows(part_id, left_out, now), conflict="ignore")
