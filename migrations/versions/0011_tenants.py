"""The tenant of a job.

The processes of the previous release enqueue jobs without one, and take the parts of a tenant for a lane apart. It runs
under an advisory lock, with a short lock timeout. MariaDB commits each change by itself: what an upgrade that was cut
short has done is passed over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0011"
down_revision = "0010"
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
    """One column."""
    op.add_column("worker_jobs", sa.Column("tenant", key(60)))


def downgrade() -> None:
    """Drops it; what is queued for tenants stays where it is, which the release before takes for lanes apart."""
    op.drop_column("worker_jobs", "tenant")
