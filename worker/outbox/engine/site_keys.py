"""The site's own random key, made by `db upgrade`: the key of the hashes in lanes, orders and limit keys.

Producers need this key but no app secret; it never leaves the database and the process's memory.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from worker.domain.errors import ConfigurationError
from worker.outbox.engine import mariadb
from worker.outbox.engine.database import is_lost, is_retryable
from worker.outbox.engine.dialect import MARIADB, dialect_of

_READ = text("select value from worker_site where name = 'lane_key'")
_keys: WeakKeyDictionary[Engine, bytes] = WeakKeyDictionary()


def lane_key(connection: Connection) -> bytes:
    """The key, read once per engine; a database that was never upgraded is a ConfigurationError."""
    known = _keys.get(connection.engine)
    if known is None:
        known = _keys[connection.engine] = _read(connection)
    return known


@lru_cache(maxsize=4096)
def lane_name(key: bytes, account: str, label: str, tenant: str | None = None) -> str:
    """The lane as it is stored: the account's name and a keyed hash of the readable lane inside it.

    A tenant's own lanes have a hash of its name behind them.
    """
    digest = hmac.new(key, f"{account}\n{label}".encode(), hashlib.sha256).hexdigest()
    own = "" if tenant is None else f".{hashlib.sha256(tenant.encode()).hexdigest()[:12]}"
    return f"{account}:{digest[:16]}{own}"


@lru_cache(maxsize=4096)
def order_id(key: bytes, account: str, order_key: str) -> str:
    """The order as it is stored beside its parts: a keyed hash of the account and the producer's order_key."""
    return hmac.new(key, f"{account}\n{order_key}".encode(), hashlib.sha256).hexdigest()[:32]


def _read(connection: Connection) -> bytes:
    if dialect_of(connection) is MARIADB:
        mariadb.check_caller(connection)
    try:
        value = connection.execute(_READ).scalar()
    except (ProgrammingError, OperationalError) as error:
        # SQLite raises OperationalError for a missing table too; that of a database that is away is raised as it is.
        if is_retryable(error) or (is_lost(error) and "no such table" not in str(error.orig)):
            raise
        where = connection.engine.url.render_as_string()  # its password is not in it
        raise ConfigurationError(f"the outbox's tables are not in {where}; run `worker db upgrade` on it") from error
    if value is None:
        raise ConfigurationError("the outbox has no lane key; run `worker db upgrade`")
    return bytes.fromhex(value)
