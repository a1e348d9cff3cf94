"""What people did to jobs: one row for each command that changes something.

Needs nothing of the previous release, which neither reads nor writes the new table. It runs under an advisory lock,
with a short lock timeout.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
compatible_from = "0001"


def is_mysql() -> bool:
    """MariaDB or MySQL."""
    return op.get_context().dialect.name in ("mysql", "mariadb")


def byte_collation() -> str:
    """Compares byte for byte and does not pad: `utf8mb4_bin` takes "k " for "k"."""
    is_mariadb = bool(getattr(op.get_context().dialect, "is_mariadb", False))
    return "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"


def key(length: int) -> sa.types.TypeEngine[str]:
    """Text that compares byte for byte on every database."""
    if is_mysql():
        return mysql.VARCHAR(length, charset="utf8mb4", collation=byte_collation())
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def long_text() -> sa.types.TypeEngine[str]:
    """JSON documents."""
    return mysql.LONGTEXT(charset="utf8mb4", collation=byte_collation()) if is_mysql() else sa.Text()


def upgrade() -> None:
    """One table."""
    op.create_table(
        "worker_audit",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("action", key(20), nullable=False),
        sa.Column("person", key(128), nullable=False),
        sa.Column("why", key(300), nullable=False),
        sa.Column("asked", long_text(), nullable=False),
        sa.Column("counts", long_text(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )


def downgrade() -> None:
    """Drops it, with all that it says."""
    op.drop_table("worker_audit", if_exists=is_mysql())
