"""The status of group-sends as last read from the vendor: a row for each member, and for each customer of a member."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from worker.domain.job import part_range
from worker.domain.outcome import Confirmation
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.sql import fetch, mappings

ID_CHARACTERS = 128


def store_confirmations(connection: Connection, part_id: str, confirmations: Iterable[Confirmation], now: int) -> None:
    """Stores what a page of the vendor says about a part's task. A later page replaces an earlier one."""
    rows = {
        (member, recipient): {
            "part_id": part_id,
            "member": member,
            "recipient": recipient,
            "status": confirmation.status,
            "happened_at": None if confirmation.happened_at is None else confirmation.happened_at * SECOND,
            "seen_at": now,
        }
        for confirmation in confirmations
        for member, recipient in [(confirmation.member[:ID_CHARACTERS], confirmation.recipient[:ID_CHARACTERS])]
    }
    if rows and part_id:
        # Sorted, so that two transactions lock the same rows in one order.
        ordered = [rows[key] for key in sorted(rows)]
        insert_rows(connection, tables.confirmations, ordered, conflict="replace")


def next_to_read(connection: Connection, part_id: str, after: str) -> str | None:
    """Returns the first member after `after` who has sent and whose customers' status can still change, or None."""
    # The status of a member's own row, which has no recipient, is 2 when the member has sent.
    query = (
        "select m.member from worker_confirmations m where m.part_id = :part and m.recipient = '' and m.status = 2"
        " and m.member > :after and (exists (select 1 from worker_confirmations r where r.part_id = m.part_id"
        " and r.member = m.member and r.recipient <> '' and r.status = 0) or not exists (select 1 from"
        " worker_confirmations r where r.part_id = m.part_id and r.member = m.member and r.recipient <> ''))"
        " order by m.member limit 1"
    )
    rows = fetch(connection, query, {"part": part_id, "after": after})
    return rows[0][0] if rows else None


def is_settled(connection: Connection, part_id: str) -> bool:
    """Returns whether every member has sent and no customer waits any more. False if nothing was read yet."""
    # A member's row has no recipient. Its status is 2 when the member has sent; 0 of a customer means waiting.
    query = (
        "select count(*), sum(case when (recipient = '' and status <> 2) or (recipient <> '' and status = 0)"
        " then 1 else 0 end) from worker_confirmations where part_id = :part"
    )
    [(count, waiting)] = fetch(connection, query, {"part": part_id})
    return bool(count) and not waiting


def confirmations_of_job(connection: Connection, job_id: str) -> Sequence[Mapping[str, Any]]:
    """Returns all rows of a job's parts."""
    query = (
        "select part_id, member, recipient, status, happened_at, seen_at from worker_confirmations"
        " where part_id > :low and part_id < :high order by part_id, member, recipient"
    )
    return mappings(connection, query, part_range(job_id))


def count_confirmations(connection: Connection, job_id: str) -> int:
    """Counts the rows of a job's parts."""
    query = "select count(*) from worker_confirmations where part_id > :low and part_id < :high"
    return int(fetch(connection, query, part_range(job_id))[0][0])


def members_of(connection: Connection, part_id: str) -> tuple[int, int]:
    """Returns how many members the task has, and how many of them have sent."""
    query = (
        "select count(*), sum(case when status = 2 then 1 else 0 end) from worker_confirmations"
        " where part_id = :part and recipient = ''"
    )
    [(members, sent)] = fetch(connection, query, {"part": part_id})
    return int(members), int(sent or 0)
