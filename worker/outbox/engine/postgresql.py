"""PostgreSQL: makes engines, and applies the settings of their connections, except behind a pooler.

A pooler such as PgBouncer may give each transaction another connection of the server, so a client's settings and
prepared statements would leak to other clients. Behind a pooler the connections use neither.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from worker.domain.errors import ConfigurationError
from worker.outbox.engine.error_text import sqlstate_of

UNAVAILABLE = ("08", "57P", "25006")
"""SQLSTATEs, or their first characters: connection broken or refused, server shutting down, and read-only server (a
standby, or a primary made read-only). In the last case a new connection may reach a server that accepts writes.
"""

NEEDED_ENCODING = "UTF8"
PREPARE = "prepare_threshold"
"""psycopg's option, which the URL may contain: after how many uses a statement is prepared, or `none` for never."""
_SETTINGS = (
    # Every statement of the outbox has an index. But a plan that was made while a table was empty scans the table, and
    # a connection keeps its plans until the next ANALYZE, while the table grows. Without sequential scans an empty
    # table is planned like a full one. Small tables without a suitable index (lanes, processes) are still scanned, but
    # at an estimated cost so high that the JIT would compile the statement, hence the second setting.
    "set enable_seqscan = off",
    "set jit = off",
    # Also for single reads. A stricter level would refuse some of them.
    "set default_transaction_isolation = 'read committed'",
    "set standard_conforming_strings = on",
    # If a process hangs during a transaction, or its host disappears, its locks must not last for hours.
    "set idle_in_transaction_session_timeout = '60s'",
    "set tcp_keepalives_idle = 30",
    "set tcp_keepalives_interval = 10",
    "set tcp_keepalives_count = 3",
    # A mark must survive a power cut. A stricter setting, such as waiting for standbys, is not changed.
    "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
)


def postgres_engine(url: URL, *, pool_size: int) -> Engine:
    """Returns an engine whose new connections get these settings."""
    prepare = _prepare(url)
    engine = create_engine(
        url.difference_update_query([PREPARE]),
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=32,
        pool_pre_ping=False,
        pool_timeout=10,
        connect_args={**connect_arguments(url), **prepare},
    )
    if engine.dialect.driver == "psycopg":
        # First: with its own listener, SQLAlchemy finds out once how the session reads texts.
        @event.listens_for(engine, "connect", insert=True)
        def _apply_settings(connection: Any, _record: Any) -> None:
            _check_encoding(connection)
            connection.autocommit = True
            if not is_pooled(connection):
                connection.execute("; ".join(_SETTINGS), prepare=False)
            elif not prepare:
                connection.prepare_threshold = None
            connection.autocommit = False

    @event.listens_for(engine, "handle_error")
    def _mark_disconnect(context: Any) -> None:
        if (sqlstate_of(context.original_exception) or "").startswith(UNAVAILABLE):
            context.is_disconnect = True

    return engine


def is_pooled(connection: Any) -> bool:
    """Returns whether the connection goes through a pooler."""
    # A pooler starts the connection with a process id of its own, not with that of the server's process.
    [pid] = connection.execute("select pg_backend_pid()", prepare=False).fetchone()
    return bool(pid != connection.info.backend_pid)


def missing_plan_settings(connection: Connection) -> list[str]:
    """Returns the planner settings that are not in effect. Behind a pooler, the database role has to set them.

    Returns an empty list on other databases.
    """
    if connection.dialect.name != "postgresql":
        return []
    return [name for name in ("enable_seqscan", "jit") if connection.exec_driver_sql(f"show {name}").scalar() != "off"]


def check_caller(connection: Connection) -> None:
    """Checks that a producer's connection can send every character. Called once per engine, with its first job."""
    encoding = connection.exec_driver_sql("select current_setting('client_encoding')").scalar()
    if encoding != NEEDED_ENCODING:
        raise ConfigurationError(
            f"database: the session's characters are {encoding}, because PGCLIENTENCODING, the role or the database"
            " says so; let them say UTF8, or add client_encoding=utf8 to the URL of its psycopg engine"
        )


def _check_encoding(connection: Any) -> None:
    """Closes the connection and raises ConfigurationError if the database cannot store every character."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, NEEDED_ENCODING):
        connection.close()
        raise ConfigurationError(
            f"database: its characters are {encoding}, which lack some of a message; put the outbox into a database"
            " that was created with encoding 'UTF8'"
        )


def connect_arguments(url: URL) -> dict[str, str | int]:
    """Returns what the worker says to libpq, and what is therefore not read from the environment."""
    # Otherwise PGHOSTADDR would lead to another server than the URL.
    host = {"hostaddr": ""} if (url.host or "host" in url.query) and "hostaddr" not in url.query else {}
    return {
        "connect_timeout": 5,
        "application_name": "im-delivery-worker",
        # Otherwise PGCLIENTENCODING, or the role or database, may choose one that lacks characters. A pooler knows this
        # setting and keeps it for each client.
        "client_encoding": NEEDED_ENCODING,
        # A server that vanishes during a statement is noticed at the first probe after the timeout.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "tcp_user_timeout": 15000,
        **host,
    }


def _prepare(url: URL) -> dict[str, int | None]:
    value = url.query.get(PREPARE)
    if value is None:
        return {}
    if value == "none":
        return {PREPARE: None}
    if isinstance(value, str) and value.isdecimal():
        return {PREPARE: int(value)}
    raise ConfigurationError(f"database: {PREPARE} in its URL must be a number or none")
