"""What TLS verifies of the connection to the database, for `worker doctor`.

The drivers use TLS if the server has it, and verify nothing unless the URL says so.
"""

from __future__ import annotations

import ssl
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection


class Verified(StrEnum):
    """What is verified of the server."""

    LOCAL = "local"
    """Nothing needs to be: the server is on this machine."""
    FULL = "full"
    """Its certificate, and that it is the one of the host in the URL."""
    AUTHORITY = "authority"
    """Its certificate alone."""
    NOTHING = "nothing"
    """Nothing, but the connection is encrypted."""
    PLAIN = "plain"
    """There is no TLS."""


_THIS_MACHINE = ("", "localhost", "127.0.0.1", "::1")
_BY_SSLMODE = {"verify-full": Verified.FULL, "verify-ca": Verified.AUTHORITY}
_REMEDIES = {
    "postgresql": "sslmode=verify-full and sslrootcert=system, or the path of a PEM file",
    # With ssl_verify_identity, PyMySQL would forget the authority that SQLAlchemy gives it, and not check the name.
    "mysql": "ssl_ca=PATH, and no ssl_verify_ option,",
}
"""By dialect."""


def remedy(connection: Connection) -> str:
    """Returns what belongs behind the ? of the URL, for everything to be verified."""
    return _REMEDIES.get(connection.dialect.name, "")


def verified(connection: Connection) -> Verified:
    """Returns what is verified of the server at the other end of this connection."""
    driver: Any = connection.connection.driver_connection
    match connection.dialect.driver:
        case "psycopg":
            return _by_libpq(driver.pgconn)
        case "pymysql":
            return _by_context(driver)
        case _:
            return Verified.LOCAL


def _by_libpq(connection: Any) -> Verified:
    host = (connection.host or b"").decode()
    if not connection.ssl_in_use:
        return Verified.LOCAL if host.startswith(("/", "@")) or host in _THIS_MACHINE else Verified.PLAIN
    # With the values of the environment and of the service file.
    options = {option.keyword: option.val for option in connection.info}
    return _BY_SSLMODE.get((options[b"sslmode"] or b"").decode(), Verified.NOTHING)


def _by_context(connection: Any) -> Verified:
    if connection.unix_socket or not isinstance(connection._sock, ssl.SSLSocket):
        return Verified.LOCAL if connection.unix_socket or connection.host in _THIS_MACHINE else Verified.PLAIN
    context = connection.ctx
    if context.verify_mode is not ssl.CERT_REQUIRED:
        return Verified.NOTHING
    return Verified.FULL if context.check_hostname else Verified.AUTHORITY
