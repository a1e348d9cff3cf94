"""Lines in which parts with an order_key wait for each other.

Only adds: producers and workers of the release before run on beside it. What they enqueue meanwhile, and what is open
by now, goes unordered as before; what they end in a line is seen within seconds by the leader of this release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


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
    """Adds the columns, then the tables; MariaDB commits each step at once, and a run may begin anew."""
    again = is_mariadb() or None
    op.add_column("worker_jobs", sa.Column("on_gap", key(4)), if_not_exists=again)
    op.add_column("worker_parts", sa.Column("turn", key(32)), if_not_exists=again)
    options = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB", "mysql_row_format": "DYNAMIC"}
    op.create_table(
        "worker_turns",
        sa.Column("part_id", key(40), primary_key=True),
        sa.Column("turn", key(32), nullable=False),
        sa.Column("place_at", sa.BigInteger(), nullable=False),
        sa.Column("job_id", key(32), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("skips", sa.Boolean(), nullable=False),
        if_not_exists=is_mysql(),
        **options,
    )
    line = ["turn", "place_at", "job_id", "n"]
    op.create_index("worker_turns_line", "worker_turns", line, if_not_exists=again)
    op.create_table("worker_orders", sa.Column("id", key(32), primary_key=True), if_not_exists=is_mysql(), **options)


def downgrade() -> None:
    """Drops what this revision made: what waits in a line, and for nothing else, is due again and goes unordered."""
    op.execute(
        "update worker_parts set not_before = 0, offered_until = null, reason = null where turn is not null"
        " and state = 0 and waits_on is null and not_before = 4611686018427387904"
    )
    again = is_mariadb() or None
    op.drop_table("worker_orders", if_exists=is_mysql())
    op.drop_table("worker_turns", if_exists=is_mysql())
    op.drop_column("worker_parts", "turn", if_exists=again)
    op.drop_column("worker_jobs", "on_gap", if_exists=again)
