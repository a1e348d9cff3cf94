"""Pauses.

The processes of the previous release do not read the new table: they send what is paused, and wake nothing. It runs
under an advisory lock, with a short lock timeout.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
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
    """One table and its index."""
    op.create_table(
        "worker_pauses",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("account", key(60)),
        sa.Column("channel", key(40)),
        sa.Column("kind", key(40)),
        sa.Column("tag", key(100)),
        sa.Column("job_id", key(32)),
        sa.Column("parked_until", sa.BigInteger(), nullable=False),
        sa.Column("person", key(128), nullable=False),
        sa.Column("why", key(300), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )
    op.create_index("worker_pauses_job", "worker_pauses", ["job_id"], if_not_exists=is_mariadb() or None)


def downgrade() -> None:
    """Drops it: what is paused goes on."""
    op.execute(f"update worker_parts set not_before = 0 where state = 0 and not_before > {2**62}")
    op.drop_table("worker_pauses", if_exists=is_mysql())
