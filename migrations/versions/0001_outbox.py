"""The outbox's tables, all of them.

Written out, never derived from `outbox/tables`: what this revision makes must not change when the tables move on.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
compatible_from = "0001"

TABLES = (
    "worker_site",
    "worker_blob_uses",
    "worker_task_ids",
    "worker_jobs",
    "worker_parts",
    "worker_order_queue",
    "worker_orders",
    "worker_attempts",
    "worker_receipts",
    "worker_failures",
    "worker_response_codes",
    "worker_confirmations",
    "worker_media",
    "worker_blobs",
    "worker_blob_chunks",
    "worker_bodies",
    "worker_duplicates",
    "worker_chats",
    "worker_inbound",
    "worker_events",
    "worker_tokens",
    "worker_budgets",
    "worker_lanes",
    "worker_lane_events",
    "worker_leases",
    "worker_processes",
    "worker_audit",
    "worker_pauses",
    "worker_unindexed",
    "worker_ended_tags",
    "worker_terms",
    "worker_waits",
    "worker_accounts",
    "worker_grants",
    "worker_counts",
    "worker_totals",
    "worker_rates",
    "worker_alerts",
    "worker_sessions",
    "worker_sign_ins",
)


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


def long_text() -> sa.types.TypeEngine[str]:
    """JSON documents and vendor texts."""
    return mysql.LONGTEXT(charset="utf8mb4", collation=byte_collation()) if is_mysql() else sa.Text()


def chunk() -> sa.types.TypeEngine[bytes]:
    """At most 1 MiB of a file."""
    return sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def table(name: str, *columns: sa.Column[Any]) -> None:
    """One table. MariaDB commits each one at once: a run that was cut short must be able to go on where it was."""
    op.create_table(
        name,
        *columns,
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        if_not_exists=is_mysql(),
    )


def index(name: str, table_name: str, *columns: str, where: str | None = None, unique: bool = False) -> None:
    """One index, partial where the database can."""
    condition = None if where is None else sa.text(where)
    op.create_index(
        name,
        table_name,
        list(columns),
        unique=unique,
        postgresql_where=condition,
        sqlite_where=condition,
        if_not_exists=is_mariadb() or None,
    )


def upgrade() -> None:
    """Makes every table; the lane key is put in by `worker.outbox.engine.migrate`, which has the random source."""
    create_site()
    create_jobs()
    create_parts()
    create_orders()
    create_calls()
    create_files()
    create_repeats()
    create_callbacks()
    create_limits()
    create_processes()
    create_control()
    create_search()
    create_accounts()
    create_counters()
    create_alerts()
    create_sessions()


def downgrade() -> None:
    """Drops every table, with all that is remembered in them."""
    for name in reversed(TABLES):
        op.drop_table(name, if_exists=is_mysql())


def create_site() -> None:
    """Where random values of this installation live."""
    table(
        "worker_site",
        sa.Column("name", key(40), primary_key=True),
        sa.Column("value", key(200), nullable=False),
    )


def create_jobs() -> None:
    """What producers ask."""
    table(
        "worker_blob_uses",
        sa.Column("job_id", key(32), primary_key=True),
        sa.Column("blob_id", key(32), primary_key=True),
    )
    index("worker_blob_uses_blob", "worker_blob_uses", "blob_id")
    table(
        "worker_task_ids",
        sa.Column("account", key(60), primary_key=True),
        sa.Column("task_id", key(128), primary_key=True),
        sa.Column("part_id", key(40), primary_key=True),
    )
    index("worker_task_ids_part", "worker_task_ids", "part_id")
    table(
        "worker_jobs",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("kind", key(40), nullable=False),
        sa.Column("channel", key(40), nullable=False),
        sa.Column("account", key(60), nullable=False),
        sa.Column("message", long_text(), nullable=False),
        sa.Column("recipients", long_text(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("dedupe_key", key(200)),
        sa.Column("content_hash", key(64)),
        sa.Column("order_key", key(200)),
        sa.Column("tags", long_text()),
        sa.Column("on_unknown", key(12), nullable=False),
        sa.Column("target_job_id", key(32)),
        sa.Column("replay_of", key(32)),
        sa.Column("warnings", long_text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("awaited", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("n_open", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("n_accepted", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("n_partial", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("n_rejected", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("n_exhausted", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("n_unknown", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("n_expired", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("n_cancelled", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("on_gap", key(4)),
        sa.Column("cancelled_at", sa.BigInteger()),
        sa.Column("quiet_hours", key(80)),
        sa.Column("payload", sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("tenant", key(60)),
        sa.Column("trace", key(568)),
    )
    index("worker_jobs_dedupe", "worker_jobs", "account", "dedupe_key", where="dedupe_key is not null", unique=True)
    index("worker_jobs_replay", "worker_jobs", "replay_of", where="replay_of is not null")
    index("worker_jobs_target", "worker_jobs", "target_job_id", where="target_job_id is not null")


def create_parts() -> None:
    """One vendor call each."""
    table(
        "worker_parts",
        sa.Column("id", key(40), primary_key=True),
        sa.Column("job_id", key(32), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("lane", key(100), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("not_before", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("offered_until", sa.BigInteger()),
        sa.Column("claim", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("incarnation", key(32)),
        sa.Column("marked_at", sa.BigInteger()),
        sa.Column("first_marked_at", sa.BigInteger()),
        sa.Column("deadline_at", sa.BigInteger()),
        sa.Column("tries", sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("busy", sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("repeats", sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("doubts", sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("unheard", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("flagged", sa.Boolean()),
        sa.Column("waits_on", key(32)),
        sa.Column("spec", long_text(), nullable=False),
        sa.Column("reason", key(300)),
        sa.Column("order_id", key(32)),
        sa.Column("limit_name", key(40)),
    )
    index("worker_parts_waiting", "worker_parts", "waits_on", where="waits_on is not null")
    if is_mysql():
        index("worker_parts_due_by_state", "worker_parts", "state", "not_before", "id")
        index("worker_parts_expiry_by_state", "worker_parts", "state", "expires_at")
        index("worker_parts_queue_by_state", "worker_parts", "state", "lane", "priority", "not_before", "id")
        return
    index("worker_parts_doubt", "worker_parts", "not_before", where="state = 6")
    index("worker_parts_due", "worker_parts", "not_before", "id", where="state = 0")
    index("worker_parts_expiry", "worker_parts", "expires_at", where="state = 0 and expires_at is not null")
    index("worker_parts_queue", "worker_parts", "lane", "priority", "not_before", "id", where="state = 0")
    index("worker_parts_sending", "worker_parts", "incarnation", where="state = 1")


def create_orders() -> None:
    """Parts that wait for each other."""
    table(
        "worker_order_queue",
        sa.Column("part_id", key(40), primary_key=True),
        sa.Column("order_id", key(32), nullable=False),
        sa.Column("place_at", sa.BigInteger(), nullable=False),
        sa.Column("job_id", key(32), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("skips", sa.Boolean(), nullable=False),
    )
    index("worker_order_queue_next", "worker_order_queue", "order_id", "place_at", "job_id", "n")
    table(
        "worker_orders",
        sa.Column("id", key(32), primary_key=True),
    )


def create_calls() -> None:
    """What was called and what the vendor gave."""
    table(
        "worker_attempts",
        sa.Column("part_id", key(40), primary_key=True),
        sa.Column("claim", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("incarnation", key(32), nullable=False),
        sa.Column("outcome", key(20), nullable=False),
        sa.Column("doubtful", sa.Boolean(), nullable=False),
        sa.Column("reason", key(300)),
        sa.Column("http_status", sa.SmallInteger()),
        sa.Column("errcode", sa.BigInteger()),
        sa.Column("errmsg", long_text()),
        sa.Column("hint", key(80)),
        sa.Column("caller_ip", key(60)),
        sa.Column("unseen", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("duration_ms", sa.Integer()),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
    )
    table(
        "worker_receipts",
        sa.Column("part_id", key(40), primary_key=True),
        sa.Column("claim", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("msgid", long_text()),
        sa.Column("media_id", long_text()),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("recalled_at", sa.BigInteger()),
        sa.Column("from_repeat", sa.Boolean(), nullable=False),
        sa.Column("not_sent", sa.Boolean(), nullable=False),
        sa.Column("warning", long_text()),
        sa.Column("extra", long_text()),
    )
    table(
        "worker_failures",
        sa.Column("part_id", key(40), primary_key=True),
        sa.Column("kind", key(12), primary_key=True),
        sa.Column("recipient_key", key(128), primary_key=True),
        sa.Column("recipient", key(128), nullable=False),
        sa.Column("field", key(40), nullable=False),
        sa.Column("errcode", sa.BigInteger(), nullable=False),
        sa.Column("failed_at", sa.BigInteger(), nullable=False),
    )
    table(
        "worker_response_codes",
        sa.Column("id", key(64), primary_key=True),
        sa.Column("part_id", key(40), nullable=False),
        sa.Column("source", key(12), nullable=False),
        sa.Column("code", long_text(), nullable=False),
        sa.Column("state", key(8), nullable=False),
        sa.Column("leased_by", key(40)),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("person", key(128)),
    )
    index("worker_response_codes_leased", "worker_response_codes", "leased_by", where="state = 'leased'")
    index("worker_response_codes_part", "worker_response_codes", "part_id")
    table(
        "worker_confirmations",
        sa.Column("part_id", key(40), primary_key=True),
        sa.Column("member", key(128), primary_key=True),
        sa.Column("recipient", key(128), primary_key=True),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("happened_at", sa.BigInteger()),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
    )


def create_files() -> None:
    """Files that travel with a job, and what the vendor called them."""
    table(
        "worker_media",
        sa.Column("id", key(64), primary_key=True),
        sa.Column("scope", key(100), nullable=False),
        sa.Column("upload_type", key(20), nullable=False),
        sa.Column("job_id", key(32), nullable=False),
        sa.Column("media_id", long_text()),
        sa.Column("valid_until", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    index("worker_media_job", "worker_media", "job_id")
    table(
        "worker_blobs",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("sha256", key(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    index("ix_worker_blobs_sha256", "worker_blobs", "sha256")
    table(
        "worker_blob_chunks",
        sa.Column("blob_id", key(32), primary_key=True),
        sa.Column("n", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("data", chunk(), nullable=False),
    )


def create_repeats() -> None:
    """What makes a repeat safe."""
    table(
        "worker_bodies",
        sa.Column("part_id", key(40), primary_key=True),
        sa.Column("body", long_text(), nullable=False),
        sa.Column("window_id", key(64)),
        sa.Column("frozen_at", sa.BigInteger(), nullable=False),
    )
    table(
        "worker_duplicates",
        sa.Column("id", key(64), primary_key=True),
        sa.Column("owner", key(40), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("others_since", sa.BigInteger()),
    )


def create_callbacks() -> None:
    """What vendors call back with, and what the application hears of it."""
    table(
        "worker_chats",
        sa.Column("account", key(60), primary_key=True),
        sa.Column("chat_id", key(128), primary_key=True),
        sa.Column("chat_type", key(20), nullable=False),
        sa.Column("person", key(128)),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("gone_at", sa.BigInteger()),
        sa.Column("allowance", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("callback_at", sa.BigInteger()),
    )
    index("worker_chats_person", "worker_chats", "account", "person", where="person is not null")
    table(
        "worker_inbound",
        sa.Column("id", key(64), primary_key=True),
        sa.Column("account", key(60), nullable=False),
        sa.Column("event", key(80), nullable=False),
        sa.Column("person", key(128), nullable=False),
        sa.Column("payload", long_text(), nullable=False),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("stored_by", key(32), nullable=False),
        sa.Column("part_id", key(40)),
    )
    index("worker_inbound_received", "worker_inbound", "received_at")
    table(
        "worker_events",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("kind", key(20), nullable=False),
        sa.Column("job_id", key(32)),
        sa.Column("part_id", key(40)),
        sa.Column("inbound_id", key(64)),
        sa.Column("job_state", sa.SmallInteger()),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("offered_until", sa.BigInteger()),
        sa.Column("claim", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("holder", key(32)),
        sa.Column("error", long_text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("tag", key(100)),
        sa.Column("counts", long_text()),
    )
    index("worker_events_due", "worker_events", "due_at", "id", where="state = 0")
    index("worker_events_job", "worker_events", "job_id")
    index("worker_events_running", "worker_events", "holder", where="holder is not null")
    index("worker_events_tag", "worker_events", "tag", "id", where="tag is not null")
    index("worker_events_first", "worker_events", "job_state", "due_at", "id", where="state = 0")
    if is_mysql():
        index("worker_events_parked_by_state", "worker_events", "state", "id")
        return
    index("worker_events_parked", "worker_events", "id", where="state = 3")


def create_limits() -> None:
    """Tokens, budgets and what blocks a lane."""
    table(
        "worker_tokens",
        sa.Column("account", key(60), primary_key=True),
        sa.Column("fingerprint", key(64), primary_key=True),
        sa.Column("sealed", long_text()),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("fetched_at", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("lease_holder", key(32)),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("refused", key(300)),
        sa.Column("probe_at", sa.BigInteger()),
    )
    table(
        "worker_budgets",
        sa.Column("id", key(64), primary_key=True),
        sa.Column("buckets", long_text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
    )
    table(
        "worker_lanes",
        sa.Column("lane", key(100), primary_key=True),
        sa.Column("account", key(60), nullable=False),
        sa.Column("label", key(100), nullable=False),
        sa.Column("blocked_until", sa.BigInteger(), nullable=False),
        sa.Column("reason", key(300), nullable=False),
        sa.Column("remedy", key(300)),
        sa.Column("parked", sa.Boolean(), nullable=False),
        sa.Column("cause", key(20)),
        sa.Column("limit_name", key(40)),
        sa.Column("blocked_at", sa.BigInteger(), nullable=False),
        sa.Column("hint", key(80)),
        sa.Column("step", sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("struck_until", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("calls", sa.Integer()),
        sa.Column("changed_at", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("rest_s", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("failures", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    table(
        "worker_lane_events",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("lane", key(100), nullable=False),
        sa.Column("account", key(60), nullable=False),
        sa.Column("label", key(100), nullable=False),
        sa.Column("what", key(20), nullable=False),
        sa.Column("reason", key(300), nullable=False),
        sa.Column("remedy", key(300)),
        sa.Column("hint", key(80)),
        sa.Column("until", sa.BigInteger()),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
    )


def create_processes() -> None:
    """Which processes live, and which one leads."""
    table(
        "worker_leases",
        sa.Column("name", key(40), primary_key=True),
        sa.Column("holder", key(32), nullable=False),
        sa.Column("held_until", sa.BigInteger(), nullable=False),
    )
    table(
        "worker_processes",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("alive_until", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column("host", key(100), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("lanes", long_text(), nullable=False),
        sa.Column("queues", key(100)),
        sa.Column("unusable", long_text()),
        sa.Column("version", key(40)),
        sa.Column("revision", key(32)),
        sa.Column("health", long_text()),
        sa.Column("hooks", long_text()),
        sa.Column("hindered", long_text()),
    )
    op.create_index("worker_processes_ended", "worker_processes", ["ended_at"])


def create_control() -> None:
    """What people did and paused, and what parts wait for."""
    table(
        "worker_audit",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("action", key(20), nullable=False),
        sa.Column("person", key(128), nullable=False),
        sa.Column("why", key(300), nullable=False),
        sa.Column("asked", long_text(), nullable=False),
        sa.Column("counts", long_text(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
    )
    table(
        "worker_pauses",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("account", key(60)),
        sa.Column("channel", key(40)),
        sa.Column("kind", key(40)),
        sa.Column("tag", key(100)),
        sa.Column("job_id", key(32)),
        sa.Column("parked_until", sa.BigInteger(), nullable=False),
        sa.Column("person", key(128), nullable=False),
        sa.Column("why", key(300), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
    )
    index("worker_pauses_job", "worker_pauses", "job_id")
    table(
        "worker_waits",
        sa.Column("part_id", key(40), primary_key=True),
        sa.Column("reason", key(100), primary_key=True),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
    )


def create_search() -> None:
    """The index by which jobs that have ended are found, and those that are not in it yet."""
    table(
        "worker_unindexed",
        sa.Column("job_id", key(32), primary_key=True),
        sa.Column("note", key(32), nullable=False),
    )
    table(
        "worker_ended_tags",
        sa.Column("tag", key(100), primary_key=True),
        sa.Column("note", key(32), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("check_at", sa.BigInteger()),
        sa.Column("witness", key(32)),
        sa.Column("reported_at", sa.BigInteger()),
    )
    index("worker_ended_tags_check", "worker_ended_tags", "check_at", "reported_at")
    table(
        "worker_terms",
        sa.Column("term", key(12), primary_key=True),
        sa.Column("job_id", key(32), primary_key=True),
    )
    index("worker_terms_job", "worker_terms", "job_id")


def create_accounts() -> None:
    """Accounts that the application keeps here, and what corps gave to third-party apps."""
    table(
        "worker_accounts",
        sa.Column("name", key(60), primary_key=True),
        sa.Column("version", key(32), nullable=False),
        sa.Column("settings", long_text(), nullable=False),
        sa.Column("sealed", long_text()),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
    )
    table(
        "worker_grants",
        sa.Column("kind", key(20), primary_key=True),
        sa.Column("account", key(60), primary_key=True),
        sa.Column("subject", key(128), primary_key=True),
        sa.Column("sealed", long_text()),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger()),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger()),
    )


def create_counters() -> None:
    """What is counted over all processes."""
    table(
        "worker_counts",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("counts", long_text(), nullable=False),
        sa.Column("exemplars", long_text()),
    )
    table(
        "worker_totals",
        sa.Column("name", key(300), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("exemplar", key(200)),
    )
    table(
        "worker_rates",
        sa.Column("length_us", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("began_at", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("account", key(60), primary_key=True),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("unanswered", sa.BigInteger(), nullable=False),
    )


def create_alerts() -> None:
    """Alerts that people are told of."""
    table(
        "worker_alerts",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("alert", key(40), nullable=False),
        sa.Column("subject", key(200), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("gone_at", sa.BigInteger()),
        sa.Column("raised_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("job_id", key(32)),
    )


def create_sessions() -> None:
    """The console's sessions, and the sign-ins that were tried."""
    table(
        "worker_sessions",
        sa.Column("id", key(64), primary_key=True),
        sa.Column("person", key(128), nullable=False),
        sa.Column("way", key(20), nullable=False),
        sa.Column("proof", key(64)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
    )
    table(
        "worker_sign_ins",
        sa.Column("id", key(32), primary_key=True),
        sa.Column("subject", key(64), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=False),
    )
    index("worker_sign_ins_subject", "worker_sign_ins", "subject", "tried_at")
