"""Which release each worker process runs, and the version of each job's documents.

The processes of the previous release write neither: a process without a release runs an earlier one, and a job without
a version has the first. It runs under an advisory lock, with a short lock timeout. MariaDB commits each change by
itself: what an upgrade that was cut short has done is passed over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
compatible_from = "0001"


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


def upgrade() -> None:
    """Three columns."""
    op.add_column("worker_jobs", sa.Column("payload", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("worker_processes", sa.Column("version", key(40)))
    op.add_column("worker_processes", sa.Column("revision", key(32)))


def downgrade() -> None:
    """Drops them: all jobs are then taken for such as every release can read."""
    op.drop_column("worker_processes", "revision")
    op.drop_column("worker_processes", "version")
    op.drop_column("worker_jobs", "payload")
