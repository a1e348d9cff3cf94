"""What was done, counted for the metrics.

The processes of the previous release write no counts: while both run, what those do is missing in the sums. It runs
under an advisory lock, with a short lock timeout. MariaDB commits each change by itself: what an upgrade that was cut
short has done is passed over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0012"
down_revision = "0011"
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
    """Text of any length."""
    return mysql.LONGTEXT(charset="utf8mb4", collation=byte_collation()) if is_mysql() else sa.Text()


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "worker_counts",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("counts", long_text(), nullable=False),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )
    op.create_table(
        "worker_totals",
        sa.Column("name", key(300), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )


def downgrade() -> None:
    """Drops them: what was counted begins at 0 again."""
    op.drop_table("worker_totals")
    op.drop_table("worker_counts")
