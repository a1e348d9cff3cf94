"""Which jobs name which stored files, so that a file goes with the last of them.

Only adds: producers and workers of the release before run on beside it. Files of the jobs they make meanwhile are not
noted. Such a file stays for ever, unless a noted job names the same copy: with that job it goes, four days after its
end at the earliest, and an unnoted one planned for later is left without it. So be through with an upgrade by then.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JOBS_AT_ONCE = 500


def is_mysql() -> bool:
    """MariaDB or MySQL."""
    return op.get_context().dialect.name in ("mysql", "mariadb")


def is_mariadb() -> bool:
    """MariaDB itself: MySQL knows no index that may be there already."""
    return bool(getattr(op.get_context().dialect, "is_mariadb", False))


def id_column(name: str) -> sa.Column[Any]:
    """An id, compared byte for byte, in the primary key."""
    if is_mysql():
        collation = "utf8mb4_nopad_bin" if is_mariadb() else "utf8mb4_0900_bin"
        kind: sa.types.TypeEngine[str] = mysql.VARCHAR(32, charset="utf8mb4", collation=collation)
    else:
        kind = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
    return sa.Column(name, kind, primary_key=True)


def upgrade() -> None:
    """Makes the table and notes the files of the jobs that are there."""
    op.create_table(
        "worker_blob_uses",
        id_column("job_id"),
        id_column("blob_id"),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )
    op.create_index("worker_blob_uses_blob", "worker_blob_uses", ["blob_id"], if_not_exists=is_mariadb() or None)
    if not op.get_context().as_sql:
        note_uses(op.get_bind())


def note_uses(connection: sa.Connection) -> None:
    """A run that was cut short on MariaDB begins anew."""
    connection.execute(sa.text("delete from worker_blob_uses"))
    page = sa.text(
        "select id, message from worker_jobs where id > :after and message like :files order by id"
        f" limit {JOBS_AT_ONCE}"
    )
    after = ""
    while rows := connection.execute(page, {"after": after, "files": '%"files"%'}).all():
        after = rows[-1][0]
        uses = {(job, blob) for job, message in rows for blob in blobs_of(message)}
        if uses:
            connection.execute(
                sa.text("insert into worker_blob_uses (job_id, blob_id) values (:job, :blob)"),
                [{"job": job, "blob": blob} for job, blob in sorted(uses)],
            )


def blobs_of(message: str) -> list[str]:
    """The files a job's message names; none of one that cannot be read, which must not stop an upgrade."""
    try:
        document = json.loads(message)
    except ValueError:
        return []
    files = document.get("files") if isinstance(document, dict) else None
    entries = files.values() if isinstance(files, dict) else ()
    return [file["blob"] for file in entries if isinstance(file, dict) and file.get("blob")]


def downgrade() -> None:
    """Drops what this revision made."""
    op.drop_table("worker_blob_uses", if_exists=is_mysql())
