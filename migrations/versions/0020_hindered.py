"""What each worker process says that it cannot do now, such as publish, although a restart would not help it.

The processes of the previous release write nothing here, which reads as nothing. It runs under an advisory lock, with a
short lock timeout. MariaDB commits each change by itself: what an upgrade that was cut short has done is passed over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0020"
down_revision = "0019"
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


def long_text() -> sa.types.TypeEngine[str]:
    """JSON documents."""
    return mysql.LONGTEXT(charset="utf8mb4", collation=byte_collation()) if is_mysql() else sa.Text()


def upgrade() -> None:
    """One column."""
    op.add_column("worker_processes", sa.Column("hindered", long_text()))


def downgrade() -> None:
    """Drops it: all processes then seem to be able to do their work."""
    op.drop_column("worker_processes", "hindered")
