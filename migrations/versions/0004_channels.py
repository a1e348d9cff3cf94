"""Chats a webhook's callbacks told of, and what became of a customer group-send at each member and customer.

Only adds: producers and workers of the release before run on beside it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("worker_chats", "worker_confirmations")


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


def table(name: str, *columns: sa.Column[Any]) -> None:
    """One table. MariaDB commits each one at once: a run that was cut short must be able to go on where it was."""
    op.create_table(
        name,
        *columns,
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )


def upgrade() -> None:
    """Makes the tables."""
    table(
        "worker_chats",
        sa.Column("account", key(60), primary_key=True),
        sa.Column("chat_id", key(128), primary_key=True),
        sa.Column("chat_type", key(20), nullable=False),
        sa.Column("person", key(128)),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("gone_at", sa.BigInteger()),
        sa.Column("allowance", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    table(
        "worker_confirmations",
        sa.Column("part_id", key(40), primary_key=True),
        sa.Column("member", key(128), primary_key=True),
        sa.Column("recipient", key(128), primary_key=True),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("happened_at", sa.BigInteger()),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Drops what this revision made, with all that is remembered in it."""
    for name in reversed(TABLES):
        op.drop_table(name, if_exists=is_mysql())
