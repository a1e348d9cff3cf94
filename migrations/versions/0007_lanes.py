"""Penalties, starts and the breaker of lanes, and the events they leave.

Only adds: workers of the release before run on beside it; what they block says nothing of these columns.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"
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


def zero(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    """A column that is 0 in the rows that are there, and in those that the release before writes."""
    return sa.Column(name, kind, nullable=False, server_default=sa.text("0"))


def columns() -> list[sa.Column[Any]]:
    """What a lane's row says from now on."""
    return [
        sa.Column("hint", key(80)),
        zero("step", sa.SmallInteger()),
        zero("struck_until", sa.BigInteger()),
        sa.Column("calls", sa.Integer()),
        zero("changed_at", sa.BigInteger()),
        zero("rest_s", sa.Integer()),
        zero("failures", sa.Integer()),
    ]


def upgrade() -> None:
    """Adds the columns and the table. MariaDB commits each at once: a run that was cut short goes on where it was."""
    for column in columns():
        op.add_column("worker_lanes", column, if_not_exists=is_mariadb() or None)
    op.create_table(
        "worker_lane_events",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("lane", key(100), nullable=False),
        sa.Column("account", key(60), nullable=False),
        sa.Column("label", key(100), nullable=False),
        sa.Column("what", key(20), nullable=False),
        sa.Column("reason", key(300), nullable=False),
        sa.Column("remedy", key(300)),
        sa.Column("hint", key(80)),
        sa.Column("until", sa.BigInteger()),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )


def downgrade() -> None:
    """Drops what this revision made."""
    op.drop_table("worker_lane_events", if_exists=is_mysql())
    for column in reversed(columns()):
        op.drop_column("worker_lanes", column.name, if_exists=is_mariadb() or None)
