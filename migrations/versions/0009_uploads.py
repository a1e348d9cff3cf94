"""Files by the upload job that brings their media_id: each upload that ends asks for its own.

Only adds: workers of the release before write the same rows.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
compatible_from = "0009"  # releases before never ask

NAME = "worker_media_job"


def is_mariadb() -> bool:
    """MariaDB itself: MySQL knows no index that may be there already."""
    return bool(getattr(op.get_context().dialect, "is_mariadb", False))


def upgrade() -> None:
    """Makes the index. MariaDB commits at once: a run that was cut short goes on where it was."""
    op.create_index(NAME, "worker_media", ["job_id"], if_not_exists=is_mariadb() or None)


def downgrade() -> None:
    """Drops it."""
    op.drop_index(NAME, "worker_media", if_exists=is_mariadb() or None)
