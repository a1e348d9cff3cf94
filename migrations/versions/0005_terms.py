"""The index by which jobs that have ended are found.

Everything that has ended waits to be indexed by the workers of this release; to note it reads all jobs once, in one
transaction, which with SQLite keeps producers waiting. Jobs that a process of the previous release ends afterwards are
found by their ids, dedupe keys and times only. It runs under an advisory lock, with a short lock timeout.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
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
    """Two tables, one of them with an index; what has ended is noted in the other."""
    make_table(
        "worker_unindexed",
        sa.Column("job_id", key(32), primary_key=True),
        sa.Column("note", key(32), nullable=False),
    )
    make_table(
        "worker_terms",
        sa.Column("term", key(12), primary_key=True),
        sa.Column("job_id", key(32), primary_key=True),
    )
    op.create_index("worker_terms_job", "worker_terms", ["job_id"], if_not_exists=is_mariadb() or None)
    op.execute(
        "insert into worker_unindexed (job_id, note) select id, '0005' from worker_jobs j"
        " where n_open = 0 and finished_at is not null"
        " and not exists (select 1 from worker_unindexed u where u.job_id = j.id)"
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_table("worker_terms", if_exists=is_mysql())
    op.drop_table("worker_unindexed", if_exists=is_mysql())
