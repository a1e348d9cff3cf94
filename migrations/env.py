"""Alembic's environment for the outbox: runs our revisions on the connection `worker.outbox.migrate` hands over.

Our version table is our own, so the application's Alembic beside us in the same database never meets it.
"""

from __future__ import annotations

from alembic import context

from worker.outbox.tables import VERSION_TABLE, metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `worker db upgrade` (or worker.outbox.migrate.upgrade): it locks and connects")

context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
