"""Single chats by the member whose they are: a send may name him instead of the chat, and each mark asks.

Only adds; members are written in lower case from now on, as they are compared.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = "worker_chats_person"
NAMED = sa.text("person is not null")


def is_mariadb() -> bool:
    """MariaDB itself: MySQL knows no index that may be there already."""
    return bool(getattr(op.get_context().dialect, "is_mariadb", False))


def upgrade() -> None:
    """Writes the members as they are compared, and makes the index."""
    op.execute("update worker_chats set person = lower(person) where person is not null")
    op.create_index(
        NAME,
        "worker_chats",
        ["account", "person"],
        postgresql_where=NAMED,
        sqlite_where=NAMED,
        if_not_exists=is_mariadb() or None,
    )


def downgrade() -> None:
    """Drops the index; the members stay as they are."""
    op.drop_index(NAME, "worker_chats", if_exists=is_mariadb() or None)
