"""What vendors tell us, and what application hooks must hear.

Only adds: a worker of the release before runs on beside it. Cards with a task_id of the caller's own that were enqueued
before are not found by it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("worker_task_ids", "worker_inbound", "worker_events")


def is_mysql() -> bool:
    """MariaDB or MySQL."""
    return op.get_context().dialect.name in ("mysql", "mariadb")


def is_mariadb() -> bool:
    """MariaDB itself."""
    return bool(getattr(op.get_context().dialect, "is_mariadb", False))


def byte_collation() -> str:
    """Compares byte for byte and does not pad: `utf8mb4_bin` takes "k " for "k"."""
    return "utf8mb4_nopad_bin" if is_mariadb() else "utf8mb4_0900_bin"


def key(length: int) -> sa.types.TypeEngine[str]:
    """Text that compares byte for byte on every database."""
    if is_mysql():
        return mysql.VARCHAR(length, charset="utf8mb4", collation=byte_collation())
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def long_text() -> sa.types.TypeEngine[str]:
    """JSON documents and long texts."""
    return mysql.LONGTEXT(charset="utf8mb4", collation=byte_collation()) if is_mysql() else sa.Text()


def table(name: str, *columns: sa.Column[Any]) -> None:
    """One table. MariaDB commits each one at once: a run that was cut short must be able to go on where it was."""
    op.create_table(
        name,
        *columns,
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )


def index(name: str, table_name: str, *columns: str, where: str | None = None) -> None:
    """One index, partial where the database can."""
    condition = None if where is None else sa.text(where)
    op.create_index(
        name,
        table_name,
        list(columns),
        postgresql_where=condition,
        sqlite_where=condition,
        if_not_exists=is_mariadb() or None,
    )


def upgrade() -> None:
    """Makes the tables, and room for who pressed beside a response_code and for what else a receipt holds."""
    op.add_column("worker_response_codes", sa.Column("person", key(128)), if_not_exists=is_mariadb() or None)
    op.add_column("worker_receipts", sa.Column("extra", long_text()), if_not_exists=is_mariadb() or None)
    table(
        "worker_task_ids",
        sa.Column("account", key(60), primary_key=True),
        sa.Column("task_id", key(128), primary_key=True),
        sa.Column("part_id", key(40), primary_key=True),
    )
    table(
        "worker_inbound",
        sa.Column("id", key(64), primary_key=True),
        sa.Column("account", key(60), nullable=False),
        sa.Column("event", key(80), nullable=False),
        sa.Column("person", key(128), nullable=False),
        sa.Column("payload", long_text(), nullable=False),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("stored_by", key(32), nullable=False),
        sa.Column("part_id", key(40)),
    )
    index("worker_inbound_received", "worker_inbound", "received_at")
    table(
        "worker_events",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("kind", key(20), nullable=False),
        sa.Column("job_id", key(32)),
        sa.Column("part_id", key(40)),
        sa.Column("inbound_id", key(64)),
        sa.Column("job_state", sa.SmallInteger()),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("offered_until", sa.BigInteger()),
        sa.Column("claim", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("holder", key(32)),
        sa.Column("error", long_text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
    )
    index("worker_events_due", "worker_events", "due_at", "id", where="state = 0")
    index("worker_events_job", "worker_events", "job_id")
    index("worker_events_running", "worker_events", "holder", where="holder is not null")
    if is_mysql():
        index("worker_events_parked_by_state", "worker_events", "state", "id")
    else:
        index("worker_events_parked", "worker_events", "id", where="state = 3")


def downgrade() -> None:
    """Drops what this revision made, with all that is remembered in it."""
    for name in reversed(TABLES):
        op.drop_table(name, if_exists=is_mysql())
    op.drop_column("worker_receipts", "extra", if_exists=is_mariadb() or None)
    op.drop_column("worker_response_codes", "person", if_exists=is_mariadb() or None)
