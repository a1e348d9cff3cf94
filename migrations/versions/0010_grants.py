"""Credentials that callbacks bring.

The processes of the previous release do not know the channel that has them. It runs under an advisory lock, with a
short lock timeout. MariaDB commits each change by itself: what an upgrade that was cut short has done is passed over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0009"
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
    """Sealed texts."""
    return mysql.LONGTEXT(charset="utf8mb4", collation=byte_collation()) if is_mysql() else sa.Text()


def upgrade() -> None:
    """One table."""
    op.create_table(
        "worker_grants",
        sa.Column("kind", key(20), primary_key=True),
        sa.Column("account", key(60), primary_key=True),
        sa.Column("subject", key(128), primary_key=True),
        sa.Column("sealed", long_text()),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger()),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger()),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )


def downgrade() -> None:
    """Drops it: each corp then has to authorise its app again."""
    op.drop_table("worker_grants", if_exists=is_mysql())
