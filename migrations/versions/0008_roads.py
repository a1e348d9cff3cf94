"""The roads that a process takes from: a worker of urgent parts alone has no threads for the others.

Only adds: null, as the release before leaves it, is a process that takes from all.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def is_mysql() -> bool:
    """MariaDB or MySQL."""
    return op.get_context().dialect.name in ("mysql", "mariadb")


def is_mariadb() -> bool:
    """MariaDB itself: MySQL knows no column that may be there already."""
    return bool(getattr(op.get_context().dialect, "is_mariadb", False))


def key(length: int) -> sa.types.TypeEngine[str]:
    """Text that compares byte for byte on every database."""
    if is_mysql():
        collation = "utf8mb4_nopad_bin" if is_mariadb() else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=collation)
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Adds the column. MariaDB commits at once: a run that was cut short goes on where it was."""
    op.add_column("worker_processes", sa.Column("roads", key(100)), if_not_exists=is_mariadb() or None)


def downgrade() -> None:
    """Drops it."""
    op.drop_column("worker_processes", "roads", if_exists=is_mariadb() or None)
