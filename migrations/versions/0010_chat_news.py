"""When the vendor's newest news of a chat happened: a callback that was repeated late changes nothing.

Only adds: null, as the release before leaves it, is a chat without news since.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
compatible_from = "0009"


def is_mariadb() -> bool:
    """MariaDB itself: MySQL knows no column that may be there already."""
    return bool(getattr(op.get_context().dialect, "is_mariadb", False))


def upgrade() -> None:
    """Adds the column. MariaDB commits at once: a run that was cut short goes on where it was."""
    op.add_column("worker_chats", sa.Column("told_at", sa.BigInteger()), if_not_exists=is_mariadb() or None)


def downgrade() -> None:
    """Drops it."""
    op.drop_column("worker_chats", "told_at", if_exists=is_mariadb() or None)
