"""Accounts in a table, and the accounts that each process cannot use.

The processes of the previous release know neither: they leave the jobs of such accounts to those of this one, and tell
of no account that they cannot use. It runs under an advisory lock, with a short lock timeout. MariaDB commits each
change by itself: what an upgrade that was cut short has done is passed over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
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
    if is_mysql():
        return mysql.LONGTEXT(charset="utf8mb4", collation=byte_collation())
    return sa.Text()


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
    """One table and one column."""
    make_table(
        "worker_accounts",
        sa.Column("name", key(60), primary_key=True),
        sa.Column("version", key(32), nullable=False),
        sa.Column("settings", long_text(), nullable=False),
        sa.Column("sealed", long_text()),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
    )
    op.add_column("worker_processes", sa.Column("unusable", long_text()))


def downgrade() -> None:
    """Drops both, and with them the secrets of these accounts."""
    op.drop_column("worker_processes", "unusable")
    op.drop_table("worker_accounts", if_exists=is_mysql())
