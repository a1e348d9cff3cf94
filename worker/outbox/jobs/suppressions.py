"""The list of those to whom nothing is sent, as keyed hashes, and the parts of which some were left out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from worker.domain.content.suppression import SUPPRESSED, Named
from worker.domain.job_terms import same_person, term
from worker.domain.outcome import Refusal
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import execute, fetch, read_now


def suppressed_among(connection: Connection, recipients: Collection[str]) -> set[str]:
    """The recipients among these that are on the list, without regard to case and width, as they were written."""
    by_key: dict[str, list[str]] = {}
    for one in recipients:
        by_key.setdefault(_key(connection, one), []).append(one)
    query = f"select id from {dialect_of(connection).chosen('worker_suppressions')}"
    return {one for row in fetch(connection, query, {"ids": ids_json(by_key)}) for one in by_key[row[0]]}


def suppress(connection: Connection, now_sql: str, recipients: Collection[str], person: str, why: str) -> int:
    """Puts recipients on the list; how many were not on it."""
    before = _count(connection)
    now = read_now(connection, now_sql)
    rows = [
        {"id": id, "person": person, "why": why, "began_at": now}
        for id in sorted({_key(connection, one) for one in recipients})
    ]
    insert_rows(connection, tables.suppressions, rows, conflict="ignore")
    return _count(connection) - before


def lift(connection: Connection, recipients: Collection[str]) -> int:
    """Takes recipients off the list; how many were on it."""
    ids = {_key(connection, one) for one in recipients}
    return execute(
        connection, dialect_of(connection).delete_chosen("worker_suppressions"), {"ids": ids_json(ids)}
    ).rowcount


def _count(connection: Connection) -> int:
    return int(fetch(connection, "select count(*) from worker_suppressions")[0][0])


def _key(connection: Connection, recipient: str) -> str:
    return term(lane_key(connection), "recipient", same_person(recipient))


def left_out_of(connection: Connection, part_id: str) -> list[Refusal]:
    """The recipients that were left out of a part's calls."""
    query = "select recipient, kind from worker_failures where part_id = :part and field = :field"
    rows = fetch(connection, query, {"part": part_id, "field": SUPPRESSED})
    return [Refusal(recipient, kind, SUPPRESSED) for recipient, kind in rows]


def leave_out(connection: Connection, now_sql: str, part_id: str, recipients: Sequence[Named]) -> None:
    """Notes as failures that recipients are left out of a part's calls, from its first call on."""
    now = read_now(connection, now_sql)
    rows = [
        {
            "part_id": part_id,
            "kind": kind,
            "recipient_key": recipient.lower(),
            "recipient": recipient,
            "field": SUPPRESSED,
            "errcode": 0,
            "failed_at": now,
        }
        for kind, recipient in recipients
    ]
    insert_rows(connection, tables.failures, rows, conflict="ignore")
