"""The recipients whom staging left out of a part's calls, as failures of theirs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from worker.domain.content.staging import STAGING
from worker.domain.outcome import Refusal
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.rows import failure_rows


def left_out_of(connection: Connection, part_id: str) -> list[Refusal]:
    """The recipients that were left out of a part's calls."""
    query = "select recipient, kind, field from worker_failures where part_id = :part and field = :staged"
    return [Refusal(*row) for row in fetch(connection, query, {"part": part_id, "staged": STAGING})]


def leave_out(connection: Connection, now: int, part_id: str, left_out: Sequence[Refusal]) -> None:
    """Notes as failures that a part is not called because of them."""
    insert_rows(connection, tables.failures, failure_rows(part_id, left_out, now), conflict="ignore")
