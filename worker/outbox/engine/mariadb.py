"""MariaDB and MySQL: makes engines, applies and checks the settings of their connections, and groups error numbers.

Every connection gets the same settings, whatever the server's defaults are: READ COMMITTED (with REPEATABLE READ, gap
locks would block producers), strict SQL mode (otherwise the server cuts long values without an error), UTC, utf8mb4.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from worker.domain.errors import ConfigurationError

RETRYABLE = frozenset({1020, 1205, 1213})
"""Record changed since the snapshot, lock wait timeout, deadlock."""
UNAVAILABLE = frozenset(
    {1053, 1077, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2005, 2006, 2013, 2014, 2055, 3169, 4031}
    | {1047, 1290, 1792, 1836}
)
"""Server shutting down, connection killed, broken or refused, and read-only server (a Galera node without quorum, a
primary made read-only). In the last case a new connection may reach a server that accepts writes.
"""
DUPLICATE_KEY = 1062
DATA_ERRORS = frozenset(
    {1048, DUPLICATE_KEY, 1153, 1264, 1265, 1292, 1300, 1364, 1366, 1406, 1690, 3140, 3819, *range(4035, 4045)}
)
"""NULL, duplicate, packet or value too long, out of range, invalid characters, check constraint, invalid JSON."""

NEEDED_CHARSET = "utf8mb4"
MIN_PACKET = 16 * 1024 * 1024
"""The smallest sufficient `max_allowed_packet`, in bytes. A statement has at most 4 MiB of rows, and the driver
escapes some characters with two bytes."""
_NO_LIMIT = 2**64 - 1
_SETTINGS = (
    "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    "time_zone = '+00:00'",
    # Some servers close idle connections after a minute, but pooled connections may be idle for longer.
    "wait_timeout = 28800",
    "innodb_lock_wait_timeout = 10",
    # A server's own default may leave out rows, miss a duplicate, refuse an update or a join, or end the connection
    # with each commit.
    f"sql_select_limit = {_NO_LIMIT}",
    "unique_checks = 1",
    "sql_safe_updates = 0",
    "sql_big_selects = 1",
    "completion_type = 'NO_CHAIN'",
)
# If a host disappears during a transaction, its locks must not last until TCP times out.
_MARIADB_ONLY = "idle_transaction_timeout = 60"
_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS


def _connect(connect: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Calls the driver's `connect`. Raises ConfigurationError for an unknown option or a missing file."""
    try:
        return connect(*args, **options)
    except (TypeError, AttributeError, OSError):
        # Errors of the connection itself are of PyMySQL's own classes.
        wrong = "is not one of PyMySQL's, or names a file that cannot be read"
        raise ConfigurationError(f"database: an option in its URL {wrong}; correct it") from None


def reading_engine(engine: Engine) -> Engine:
    """Returns an engine with a pool of its own for single reads, in autocommit mode.

    On the other engine, switching autocommit on and off would cost four round trips for each read.
    """
    size: int = getattr(engine.pool, "size", lambda: 8)()
    return mariadb_engine(engine.url, pool_size=size, isolation="AUTOCOMMIT")


def mariadb_engine(url: URL, *, pool_size: int, isolation: Any = "READ COMMITTED") -> Engine:
    """Returns an engine whose new connections get these settings and are checked."""
    engine = create_engine(
        url,
        isolation_level=isolation,
        pool_size=pool_size,
        max_overflow=32,
        pool_pre_ping=False,
        pool_timeout=10,
        pool_recycle=3600,
        pool_reset_on_return=None,  # see `_end_transaction`
        connect_args={"connect_timeout": 5, "charset": NEEDED_CHARSET, **_password(url)},
    )
    engine.dialect.connect = partial(_connect, engine.dialect.connect)  # type: ignore[method-assign]
    clock_was_checked = False

    # First: with its own listener, SQLAlchemy finds out once how to quote names under the session's settings.
    @event.listens_for(engine, "connect", insert=True)
    def _apply_settings(connection: Any, _record: Any) -> None:
        nonlocal clock_was_checked
        cursor = connection.cursor()
        is_mariadb = "mariadb" in str(getattr(connection, "server_version", "mariadb")).lower()
        settings = (*_SETTINGS, _MARIADB_ONLY) if is_mariadb else _SETTINGS
        cursor.execute("set session transaction isolation level read committed")
        cursor.execute("set session " + ", session ".join(settings))
        _check(cursor, is_mariadb)
        _set_tcp_timeouts(getattr(connection, "_sock", None))
        if not clock_was_checked:
            _check_clock(cursor)
            clock_was_checked = True
        cursor.close()

    @event.listens_for(engine, "reset")
    def _end_transaction(connection: Any, _record: Any, _state: Any) -> None:
        # Every answer of the server contains whether a transaction is open, so a needless rollback is avoided.
        if getattr(connection, "server_status", _IN_TRANSACTION) & _IN_TRANSACTION:
            connection.rollback()

    @event.listens_for(engine, "handle_error")
    def _mark_disconnect(context: Any) -> None:
        if error_number(context.original_exception) in UNAVAILABLE:
            context.is_disconnect = True

    return engine


def _password(url: str | URL) -> dict[str, bytes]:
    """Returns a password with characters beyond ASCII as UTF-8, which PyMySQL would send as Latin-1 or not at all."""
    password = make_url(url).password
    return {} if password is None or password.isascii() else {"password": password.encode()}


def error_number(error: BaseException | None) -> int | None:
    """Returns the server's or the driver's error number, or None if there is none."""
    args = getattr(error, "args", ())
    return args[0] if args and type(args[0]) is int else None


def _set_tcp_timeouts(sock: Any) -> None:
    """Makes TCP notice a vanished server within seconds, as PostgreSQL's `tcp_user_timeout` does."""
    if isinstance(sock, socket.socket) and sock.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        # A server that vanishes during a statement is noticed at the first probe after the timeout.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000)


def _check(cursor: Any, is_mariadb: bool) -> None:
    """Checks that the settings are in effect (a proxy may drop them), and that the server's own are sufficient.

    Raises ConfigurationError with the setting to change.
    """
    # Not SHOW VARIABLES, which makes a table of all variables and takes 20 ms.
    level = "tx_isolation" if is_mariadb else "transaction_isolation"
    cursor.execute(f"select @@{level}, @@sql_mode, @@max_allowed_packet, @@binlog_format, @@log_bin")
    [[isolation, mode, packet, binlog, is_logging]] = cursor.fetchall()
    if isolation != "READ-COMMITTED":
        raise ConfigurationError(
            f"database: the connection runs {isolation}, not READ-COMMITTED; let the proxy keep session settings"
        )
    if "STRICT_ALL_TABLES" not in mode:
        raise ConfigurationError(
            "database: the connection is not in strict SQL mode; let the proxy keep session settings"
        )
    if is_logging and binlog == "STATEMENT":
        raise ConfigurationError("database: binlog_format=STATEMENT refuses READ COMMITTED; set it to ROW or MIXED")
    if packet < MIN_PACKET:
        raise ConfigurationError("database: max_allowed_packet is too small; set it to 16M or more")


def check_caller(connection: Connection) -> None:
    """Checks that a producer's connection can store every character, and reads what is there.

    Called once per engine, with its first job.
    """
    query = "select @@character_set_client, @@sql_mode, @@sql_select_limit, @@unique_checks"
    [[charset, mode, limit, checks]] = connection.exec_driver_sql(query).all()
    if charset != NEEDED_CHARSET:
        raise ConfigurationError(
            f"database: the session's characters are {charset}; add charset={NEEDED_CHARSET} to the URL of its engine"
        )
    harmful = {
        "sql_mode has EMPTY_STRING_IS_NULL": "EMPTY_STRING_IS_NULL" in mode,
        f"sql_select_limit is {limit}": limit < _NO_LIMIT,
        "unique_checks is 0": not checks,
    }
    for setting in (name for name, is_so in harmful.items() if is_so):
        raise ConfigurationError(
            f"database: the session's {setting}, so statements of the outbox would not see or write what is there; set"
            " it to the server's usual value for this engine"
        )


def _check_clock(cursor: Any) -> None:
    # The SQL of the clock (`dialect.py`) needs a SYSDATE that is read when it is evaluated.
    cursor.execute("select sysdate(6), sleep(0.001), sysdate(6)")
    [[first, _, second]] = cursor.fetchall()
    if first == second:
        raise ConfigurationError("database: the server runs with sysdate-is-now; start it without")
