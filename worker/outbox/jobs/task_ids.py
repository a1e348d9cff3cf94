"""The task_ids that sends have used: they name the card that is pressed, and can prove that a call was accepted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.sql import fetch


def may_be_anothers(connection: Connection, accounts: Sequence[str], task_id: str, part_id: str) -> bool:
    """Whether another part of these accounts may have sent a card under the caller's task_id."""
    # Parts that are in the air, accepted or in doubt: a card that the vendor refused readably did not use its task_id.
    return any(
        fetch(connection, _OTHERS_CARD, {"account": account, "task": task_id, "part": part_id}) for account in accounts
    )


_OTHERS_CARD = (
    "select 1 from worker_task_ids t join worker_parts p on p.id = t.part_id where t.account = :account"
    " and t.task_id = :task and t.part_id <> :part and (p.state in (1, 2, 3, 6) or p.doubts > 0) limit 1"
)


def note_task_ids(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Stores which part sends a card under a task_id that the caller chose: (account, task_id, part_id)."""
    insert_rows(connection, tables.task_ids, list(rows), conflict="ignore")
