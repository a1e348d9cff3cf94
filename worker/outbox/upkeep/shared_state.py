"""Upgrades an outbox and the database of the shared state together, and takes over what the outbox held of it.

Both have the same tables. What they must have in common is the lane key, for it names lanes and limits.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from worker.domain.callbacks.inbound import GrantKind
from worker.domain.errors import ConfigurationError
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.migrate import TWO_KEYS, stored_lane_key, upgrade
from worker.outbox.engine.sql import mappings

ROWS = 500
"""Rows that are written in one statement."""


def upgrade_all(database: Database) -> str | None:
    """Upgrades the tables to this release, those of a shared state first; returns the outbox's revision.

    A new database gets the lane key of the other. ConfigurationError, before anything is changed, where they have two.
    """
    if not database.shares_state:
        return upgrade(database.engine)
    own, shared = stored_lane_key(database.engine), stored_lane_key(database.state.engine)
    if own and shared and own != shared:
        raise ConfigurationError(TWO_KEYS)
    try:
        upgrade(database.state.engine, lane_key=own)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("database:", "state_database:", 1)) from None
    # Read again: another installation may have made it meanwhile.
    shared = stored_lane_key(database.state.engine)
    if own and shared != own:
        raise ConfigurationError(TWO_KEYS)
    revision = upgrade(database.engine, lane_key=shared)
    _take_over(database)
    return revision


def _take_over(database: Database) -> None:
    """Copies what an outbox without a shared state has counted, and what callbacks brought it; what is there stays."""
    with database.reading() as connection:
        budgets = mappings(connection, f"select {tables.columns_of(tables.budgets)} from worker_budgets")
        # Authorisation codes live for minutes, and one that was exchanged has no row that would keep it out.
        query = f"select {tables.columns_of(tables.grants)} from worker_grants where kind <> :kind"
        grants = mappings(connection, query, {"kind": GrantKind.AUTH_CODE.value})

    def work(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
        insert_rows(connection, table, rows, conflict="ignore")

    for table, rows in ((tables.budgets, budgets), (tables.grants, grants)):
        for start in range(0, len(rows), ROWS):
            page = rows[start : start + ROWS]
            database.state.run(lambda connection, table=table, page=page: work(connection, table, page))  # type: ignore[misc]
