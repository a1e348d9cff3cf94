"""Alembic's environment for the outbox: runs our revisions on the connection `worker.outbox.engine.migrate` hands over.

Our version table is our own, so the application's Alembic beside us in the same database never meets it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import context
from alembic.ddl.mysql import MySQLImpl
from sqlalchemy.exc import DBAPIError

from worker.outbox.engine.mariadb import error_number
from worker.outbox.tables import VERSION_TABLE, metadata

DONE_BEFORE = frozenset({1060, 1061, 1091})
"""A column or an index that is there already; nothing there to drop."""


class Continued(MySQLImpl):
    """MariaDB and MySQL commit every change at once, so an upgrade that was cut short begins again in the middle."""

    def add_column(self, *args: Any, **options: Any) -> None:
        """Adds it, unless a run that was cut short did."""
        with _unless_done():
            super().add_column(*args, **options)

    def drop_column(self, *args: Any, **options: Any) -> None:
        """Drops it, unless a run that was cut short did."""
        with _unless_done():
            super().drop_column(*args, **options)

    def create_index(self, *args: Any, **options: Any) -> None:
        """Makes it, unless a run that was cut short did."""
        with _unless_done():
            super().create_index(*args, **options)

    def drop_index(self, *args: Any, **options: Any) -> None:
        """Drops it, unless a run that was cut short did."""
        with _unless_done():
            super().drop_index(*args, **options)


@contextmanager
def _unless_done() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if error_number(error.orig) not in DONE_BEFORE:
            raise


connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `worker db upgrade` (or worker.outbox.engine.migrate.upgrade): it locks and connects")

context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    compare_server_default=True,
)
if connection.dialect.name in ("mysql", "mariadb"):
    migration = context.get_context()
    migration.impl = Continued(connection.dialect, connection, False, None, None, migration.opts)
with context.begin_transaction():
    context.run_migrations()
