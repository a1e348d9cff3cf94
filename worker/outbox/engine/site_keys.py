"""The random key of an installation, for the hashes in the names of lanes, orders and limits.

`db upgrade` creates it. Producers need this key but no app secret. It stays in the database and in memory.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from worker.domain.errors import ConfigurationError
from worker.outbox.engine import mariadb, postgresql
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.error_text import MISSING_TABLES, remedy_of

_CALLER_CHECKS = {"mysql": mariadb.check_caller, "postgresql": postgresql.check_caller}
"""Dialect -> what checks the session of a producer."""
_keys: WeakKeyDictionary[Engine, bytes] = WeakKeyDictionary()


def lane_key(connection: Connection) -> bytes:
    """Returns the key, which is read once per engine.

    Raises ConfigurationError if tables or key are missing, or this release may not use the tables.
    """
    key = _keys.get(connection.engine)
    if key is None:
        key = _keys[connection.engine] = _read(connection)
    return key


@lru_cache(maxsize=4096)
def lane_name(key: bytes, account: str, label: str, tenant: str | None = None) -> str:
    """Returns the stored name of a lane: the account's name, and a keyed hash of the readable lane `label`.

    For a tenant's own lane a hash of the tenant's name follows.
    """
    digest = hmac.new(key, f"{account}\n{label}".encode(), hashlib.sha256).hexdigest()
    suffix = "" if tenant is None else f".{hashlib.sha256(tenant.encode()).hexdigest()[:12]}"
    return f"{account}:{digest[:16]}{suffix}"


@lru_cache(maxsize=4096)
def order_id(key: bytes, account: str, order_key: str) -> str:
    """Returns the stored id of an order: a keyed hash of the account and the producer's order_key."""
    return hmac.new(key, f"{account}\n{order_key}".encode(), hashlib.sha256).hexdigest()[:32]


def _read(connection: Connection) -> bytes:
    # Not when this module is loaded: it loads the tables, which a producer has no need of before its first job.
    from worker.outbox.engine.migrate import COMPATIBLE_FROM, SERIES, producer_refusal

    query = f"select name, value from worker_site where name in ('lane_key', '{SERIES}', '{COMPATIBLE_FROM}')"
    if (check := _CALLER_CHECKS.get(dialect_of(connection).name)) is not None:
        check(connection)
    try:
        site = {str(name): str(value) for name, value in connection.execute(text(query))}
    except DBAPIError as error:
        if remedy_of(error) != MISSING_TABLES:
            raise
        where = connection.engine.url.set(query={}).render_as_string()  # without the password, wherever it is
        raise ConfigurationError(f"the outbox's tables are not in {where}; run `worker db upgrade` on it") from error
    if (refusal := producer_refusal(site)) is not None:
        raise refusal
    if "lane_key" not in site:
        raise ConfigurationError("the outbox has no lane key; run `worker db upgrade`")
    return bytes.fromhex(site["lane_key"])
