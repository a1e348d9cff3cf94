"""${message}.

What it needs of the previous release: say it here. It runs under an advisory lock, with a short lock timeout. MariaDB
commits each change by itself: what an upgrade that was cut short has done is passed over for columns and indexes; a new
table says `if_not_exists=True`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "${up_revision}"
down_revision = "${down_revision}"
branch_labels = None
depends_on = None
compatible_from = "${down_revision}"  # the oldest revision whose release may use these tables; its own: none older


def key(length: int) -> sa.types.TypeEngine[str]:
    """Text that compares byte for byte on every database: the type of every short text. Without one leave this out."""
    dialect = op.get_context().dialect
    if dialect.name in ("mysql", "mariadb"):
        collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=collation)
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """One change."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Its inverse."""
    ${downgrades if downgrades else "pass"}
