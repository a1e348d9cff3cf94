"""What parts wait for, and have waited for.

The processes of the previous release do not write it: what a part waits for beside them is not kept. It runs under an
advisory lock, with a short lock timeout. MariaDB commits each change by itself: what an upgrade that was cut short has
done is passed over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"
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


def make_table(name: str, *columns: sa.Column[object]) -> None:
    """A table with MariaDB's options; there, one that an upgrade which was cut short has made is passed over."""
    op.create_table(
        name,
        *columns,
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )


def upgrade() -> None:
    """One table."""
    make_table(
        "worker_waits",
        sa.Column("part_id", key(40), primary_key=True),
        sa.Column("reason", key(100), primary_key=True),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Drops it: what was waited for is then not told any more."""
    op.drop_table("worker_waits", if_exists=is_mysql())
