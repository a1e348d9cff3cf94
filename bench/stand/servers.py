"""What a bench has to itself on servers that others use too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, make_url

from bench.stand.stacks import REDIS
from rig.stacks import broker_of

CONNECT_S = 10


@contextmanager
def own_database(server: str, name: str) -> Iterator[str]:
    """A database of this name without tables, dropped at the end with whoever is still connected; yields its URL."""
    admin = create_engine(
        server, isolation_level="AUTOCOMMIT", pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_S}
    )
    force = " with (force)" if admin.dialect.name == "postgresql" else ""
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"create database {name}")
        try:
            yield _in(server, name)
        finally:
            with admin.connect() as connection:
                connection.exec_driver_sql(f"drop database {name}{force}")
    finally:
        admin.dispose()


def own_redis(number: int) -> str:
    """The URL of a database of the Redis that all stacks use."""
    return _in(broker_of(REDIS), str(number))


def _in(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)
