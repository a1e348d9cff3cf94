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
CHATS_AT_ONCE = 500


def is_mariadb() -> bool:
    """MariaDB itself: MySQL knows no index that may be there already."""
    return bool(getattr(op.get_context().dialect, "is_mariadb", False))


def upgrade() -> None:
    """Writes the members as they are compared, and makes the index."""
    if not op.get_context().as_sql:
        write_in_lower_case(op.get_bind())
    op.create_index(
        NAME,
        "worker_chats",
        ["account", "person"],
        postgresql_where=NAMED,
        sqlite_where=NAMED,
        if_not_exists=is_mariadb() or None,
    )


def write_in_lower_case(connection: sa.Connection) -> None:
    """As the worker does it: SQLite's own lower(), and PostgreSQL's under the collation C, know ASCII alone."""
    page = sa.text(
        "select account, chat_id, person from worker_chats where person is not null"
        " and (account > :account or (account = :account and chat_id > :chat))"
        f" order by account, chat_id limit {CHATS_AT_ONCE}"
    )
    change = sa.text("update worker_chats set person = :person where account = :account and chat_id = :chat")
    account = chat = ""
    while rows := connection.execute(page, {"account": account, "chat": chat}).all():
        account, chat = rows[-1][0], rows[-1][1]
        changed = [
            {"account": row[0], "chat": row[1], "person": row[2].lower()} for row in rows if row[2] != row[2].lower()
        ]
        if changed:
            connection.execute(change, changed)


def downgrade() -> None:
    """Drops the index; the members stay as they are."""
    op.drop_index(NAME, "worker_chats", if_exists=is_mariadb() or None)
