"""PostgreSQL: the settings of our connections, which are left as they are behind a pooler.

A pooler such as PgBouncer may give each transaction another connection of the server. A setting or a prepared statement
of one client then belongs to another, so behind a pooler we make neither.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from worker.domain.errors import ConfigurationError
from worker.outbox.engine.error_text import code_of

LOST = ("08", "57P", "25006")
"""SQLSTATEs, or their beginnings: cut or not reached, server shutting down; and a server that takes no writes (a
standby, or a primary made read-only), because a new connection may reach one that does.
"""

PREPARE = "prepare_threshold"
"""psycopg's option, which the URL may have: after how many uses a statement is prepared; `none`: never."""
_SETTINGS = (
    # Each statement of ours has its index. But a plan made while a table was empty scans it, and a connection keeps its
    # plans while the table grows (until the next ANALYZE). Without sequential scans an empty table is planned like a
    # full one. Tables without an index (the few rows of lanes and processes) are still scanned, at an estimated cost so
    # high that the JIT would compile the statement, hence the second setting.
    "set enable_seqscan = off",
    "set jit = off",
    # The locks of a process that stops during a transaction, or of a host that vanished, must not last for hours.
    "set idle_in_transaction_session_timeout = '60s'",
    "set tcp_keepalives_idle = 30",
    "set tcp_keepalives_interval = 10",
    "set tcp_keepalives_count = 3",
    # A mark must survive a power cut. A stronger setting, such as one that waits for standbys, stays.
    "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
)


def postgres_engine(url: URL, *, pool_size: int) -> Engine:
    """An engine whose connections are set up before their first use."""
    prepare = _prepare(url)
    engine = create_engine(
        url.difference_update_query([PREPARE]),
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=32,
        pool_pre_ping=False,
        pool_timeout=10,
        connect_args={
            "connect_timeout": 5,
            "application_name": "im-delivery-worker",
            "keepalives_idle": 10,
            "tcp_user_timeout": 15000,
            **prepare,
        },
    )
    if engine.dialect.driver == "psycopg":

        @event.listens_for(engine, "connect")
        def _make_ready(connection: Any, _record: Any) -> None:
            connection.autocommit = True
            if not is_pooled(connection):
                connection.execute("; ".join(_SETTINGS), prepare=False)
            elif not prepare:
                connection.prepare_threshold = None
            connection.autocommit = False

    @event.listens_for(engine, "handle_error")
    def _notice_the_end(context: Any) -> None:
        if (code_of(context.original_exception) or "").startswith(LOST):
            context.is_disconnect = True

    return engine


def is_pooled(connection: Any) -> bool:
    """Whether a pooler is between us and the server."""
    # A pooler answers the start-up with a process number of its own, not with that of the server's process.
    [pid] = connection.execute("select pg_backend_pid()", prepare=False).fetchone()
    return bool(pid != connection.info.backend_pid)


def left_to_the_role(connection: Connection) -> list[str]:
    """Our plan settings that are not in force: behind a pooler the role has to have them; none on other databases."""
    if connection.dialect.name != "postgresql":
        return []
    return [name for name in ("enable_seqscan", "jit") if connection.exec_driver_sql(f"show {name}").scalar() != "off"]


def _prepare(url: URL) -> dict[str, int | None]:
    said = url.query.get(PREPARE)
    if said is None:
        return {}
    if said == "none":
        return {PREPARE: None}
    if isinstance(said, str) and said.isdecimal():
        return {PREPARE: int(said)}
    raise ConfigurationError(f"database: {PREPARE} in its URL is a number or none")
