"""What the console stands on: the outbox, the settings, the accounts; and a connection for the reads of one page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.outbox.engine.database import Database

STATEMENT_S = 10.0
"""Seconds after which the database ends a statement of a page, which is then an error's page."""


@dataclass(frozen=True, slots=True)
class Site:
    """One installation."""

    settings: Settings
    database: Database
    accounts: AccountSource

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for the reads of one page."""
        with self.database.reading_for(STATEMENT_S) as connection:
            yield connection
