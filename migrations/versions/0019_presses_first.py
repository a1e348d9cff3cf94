"""An index by which presses and messages are offered to hooks before the ends of jobs, however many these are.

The processes of the previous release do not use it. It runs under an advisory lock, with a short lock timeout. MariaDB
commits each change by itself: what an upgrade that was cut short has done is passed over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
compatible_from = "0001"


def is_mariadb() -> bool:
    """MariaDB itself."""
    return bool(getattr(op.get_context().dialect, "is_mariadb", False))


def upgrade() -> None:
    """One index; that of MariaDB holds all rows."""
    where = sa.text("state = 0")
    op.create_index(
        "worker_events_first",
        "worker_events",
        ["job_state", "due_at", "id"],
        postgresql_where=where,
        sqlite_where=where,
        if_not_exists=is_mariadb() or None,
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_index("worker_events_first", "worker_events")
