"""When a job was cancelled.

Needs nothing of the previous release, whose processes do not read the column: a job that is cancelled while one of its
parts is under their call may be sent again by them. It runs under an advisory lock, with a short lock timeout. MariaDB
commits each change by itself: what an upgrade that was cut short has done is passed over for columns.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
compatible_from = "0001"


def upgrade() -> None:
    """One column."""
    op.add_column("worker_jobs", sa.Column("cancelled_at", sa.BigInteger()))


def downgrade() -> None:
    """Drops it: a part that is queued again is sent."""
    op.drop_column("worker_jobs", "cancelled_at")
