"""Tells which session settings come from the environment, the role, the database or the server and stay in effect.

What our connections set by themselves is in `postgresql.py`, `mariadb.py` and `database.py`. What is left is here:
either it is the administrator's to say (a schema, a time limit), or it does not change what a statement does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.outbox.engine.dialect import MARIADB, dialect_of

SHORTEST_MS = 30_000
"""A statement or a transaction may take this long: deleting a batch, or a scan of very many lanes."""

_LIMITS = ("statement_timeout", "lock_timeout", "transaction_timeout", "idle_session_timeout")
_READ_ONLY = "default_transaction_read_only"
_SOURCES = {
    "client": "the environment or the URL",
    "user": "the role",
    "database": "the database",
    "database user": "the role in this database",
}
_OF_OURS = ("application_name", "client_encoding")
"""Settings that our connections say when they connect, so that their source is the client."""


@dataclass(frozen=True, slots=True)
class InheritedSetting:
    """A session setting that is not ours."""

    name: str
    value: str
    source: str
    """The place that says so, as words: `the role`."""
    cuts_off: bool = False
    """True if it ends transactions that are not too long."""
    forbids_writes: bool = False


def inherited_settings(connection: Connection) -> list[InheritedSetting]:
    """Returns the settings that a connection of the worker inherits: on MariaDB and MySQL only harmful ones."""
    if connection.dialect.name == "postgresql":
        return list(_of_postgresql(connection))
    return list(_of_mariadb(connection)) if dialect_of(connection) is MARIADB else []


def _of_postgresql(connection: Connection) -> Iterator[InheritedSetting]:
    # `current_setting` writes a unit; `setting` is in the unit of `pg_settings`, for the limits milliseconds.
    query = "select name, current_setting(name), setting, source from pg_settings order by name"
    for name, value, setting, source in connection.exec_driver_sql(query):
        cuts_off = name in _LIMITS and 0 < int(setting) < SHORTEST_MS
        forbids_writes = name == _READ_ONLY and setting == "on"
        is_inherited = source in _SOURCES and name not in _OF_OURS
        if is_inherited or cuts_off or forbids_writes:
            yield InheritedSetting(name, value, _SOURCES.get(source, "the server"), cuts_off, forbids_writes)


def _of_mariadb(connection: Connection) -> Iterator[InheritedSetting]:
    if getattr(connection.dialect, "is_mariadb", False):
        query, per_second = "select @@max_statement_time, @@tx_read_only", 1000
        limit, read_only = "max_statement_time", "tx_read_only"
    else:
        query, per_second = "select @@max_execution_time, @@transaction_read_only", 1
        limit, read_only = "max_execution_time", "transaction_read_only"
    [[amount, is_read_only]] = connection.exec_driver_sql(query)
    if 0 < amount * per_second < SHORTEST_MS:
        yield InheritedSetting(limit, f"{amount:g}", "the server", cuts_off=True)
    if is_read_only:
        yield InheritedSetting(read_only, "1", "the server", forbids_writes=True)
