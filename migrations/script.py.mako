"""${message}.

What it needs of the previous release: say it here. It runs under an advisory lock, with a short lock timeout. MariaDB
commits each change by itself: what an upgrade that was cut short has done is passed over for columns and indexes; a new
table says `if_not_exists=True`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
compatible_from = ${repr(down_revision)}  # the oldest revision whose release may use these tables; its own: none older


def upgrade() -> None:
    """One change."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Its inverse."""
    ${downgrades if downgrades else "pass"}
