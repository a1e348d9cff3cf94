"""Reads the accounts that are stored in the outbox, which `worker accounts` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from worker.accounts.live import Table
from worker.accounts.sealing import SealKeys, with_lazy_secrets
from worker.config.settings import Settings
from worker.domain.errors import ConfigurationError
from worker.outbox.engine import error_text
from worker.outbox.engine.database import Database, make_engine, missing_file
from worker.outbox.lanes.accounts import AccountRow, account_rows, accounts_version, versions_by_account


class OutboxAccounts:
    """The tables of the accounts in the outbox, read again if one of them has changed."""

    def __init__(self, settings: Settings, database: Database | None = None):
        """`database` is the outbox's, if the process has it open for its whole life."""
        self._settings, self._keys, self._database = settings, SealKeys(settings), database
        self._state: str | None = None
        self._rows: dict[str, AccountRow] = {}
        self._tables: Mapping[str, Table] = {}

    def refresh(self) -> Mapping[str, Table]:
        """Returns the tables. Raises ConfigurationError if the outbox cannot be read."""
        url = self._settings.database_url()
        if missing_file(url):
            return self._tables
        # Otherwise opened for this read alone: a producer may fork later, and many producers would hold idle
        # connections.
        database = self._database or Database(make_engine(url, pool_size=1))
        try:
            self._read(database)
        except SQLAlchemyError as error:
            remedy = error_text.remedy_of(error) or f"failed with {type(error).__name__}"
            raise ConfigurationError(f"database: {remedy}, so that its accounts cannot be read") from None
        finally:
            if database is not self._database:
                database.close()
        return self._tables

    def _read(self, database: Database) -> None:
        with database.reading() as connection:
            # Read before the rows, so that a change in between is noticed next time.
            state = accounts_version(connection)
            if state == self._state:
                return
            versions = versions_by_account(connection)
            old = {name: row for name, row in self._rows.items() if versions.get(name) == row.version}
            new = account_rows(connection, sorted(versions.keys() - old.keys()))
        tables = {name: self._tables[name] for name in old} | {row.name: self._table(row) for row in new}
        self._rows, self._tables, self._state = old | {row.name: row for row in new}, tables, state

    def _table(self, row: AccountRow) -> Any:
        """Returns the account's table. If the row holds no table, returns something that makes the account invalid."""
        try:
            stored = json.loads(row.settings)
        except (ValueError, RecursionError):
            return None
        if not isinstance(stored, dict):
            return stored
        return with_lazy_secrets(stored, partial(self._keys.unseal, row.name, row.sealed, stored))
