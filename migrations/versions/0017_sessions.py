"""The console's sessions, and the sign-ins that were tried.

The processes of the previous release have no console. It runs under an advisory lock, with a short lock timeout.
MariaDB commits each change by itself: what an upgrade that was cut short has done is passed over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
compatible_from = "0001"

OPTIONS = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB", "mysql_row_format": "DYNAMIC"}


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
    """Two tables."""
    op.create_table(
        "worker_sessions",
        sa.Column("id", key(64), primary_key=True),
        sa.Column("person", key(128), nullable=False),
        sa.Column("way", key(20), nullable=False),
        sa.Column("proof", key(64)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        **OPTIONS,
        if_not_exists=is_mysql(),
    )
    op.create_table(
        "worker_sign_ins",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("subject", key(64), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=False),
        **OPTIONS,
        if_not_exists=is_mysql(),
    )
    op.create_index(
        "worker_sign_ins_subject", "worker_sign_ins", ["subject", "tried_at"], if_not_exists=is_mariadb() or None
    )


def downgrade() -> None:
    """Drops both: everyone is signed out."""
    op.drop_table("worker_sign_ins", if_exists=is_mysql())
    op.drop_table("worker_sessions", if_exists=is_mysql())
