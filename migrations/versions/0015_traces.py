"""The trace context of a job's producer, and a traced call for each bucket of a histogram.

The processes of the previous release write none of it, and read none. It runs under an advisory lock, with a short lock
timeout. MariaDB commits each change by itself: what an upgrade that was cut short has done is passed over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0015"
down_revision = "0014"
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


def long_text() -> sa.types.TypeEngine[str]:
    """JSON documents."""
    return mysql.LONGTEXT(charset="utf8mb4", collation=byte_collation()) if is_mysql() else sa.Text()


def upgrade() -> None:
    """Three columns."""
    op.add_column("worker_jobs", sa.Column("trace", key(568)))
    op.add_column("worker_counts", sa.Column("exemplars", long_text()))
    op.add_column("worker_totals", sa.Column("exemplar", key(200)))


def downgrade() -> None:
    """Drops them: calls of jobs that are open then belong to no trace."""
    op.drop_column("worker_totals", "exemplar")
    op.drop_column("worker_counts", "exemplars")
    op.drop_column("worker_jobs", "trace")
