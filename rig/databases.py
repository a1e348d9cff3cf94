"""Databases and brokers for tests: where they are, whether they answer, and fresh schemas made fast.

A service is looked for at its usual local address or the URL in the environment. Unreachable: the test is skipped and
the last lines of the run say which service was missing and how to start it; REQUIRE_SERVICES=1 fails instead.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import URL

from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import fetch, run
from worker.outbox.tables import metadata


@dataclass(frozen=True)
class Service:
    """One service that some tests need."""

    name: str
    variable: str
    default: str
    how_to_start: str

    @property
    def url(self) -> str:
        """Where it is looked for."""
        return os.environ.get(self.variable) or self.default


POSTGRES = Service(
    "PostgreSQL",
    "TEST_POSTGRES_URL",
    "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    "docker run -d -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres:17 -c max_connections=400",
)
MARIADB = Service(
    "MariaDB",
    "TEST_MARIADB_URL",
    # PyMySQL reads the system's certificates for every connection that might use TLS: 10 ms and more.
    "mysql+pymysql://root@127.0.0.1:3306/?ssl_disabled=true",
    "docker run -d -p 3306:3306 -e MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1 mariadb:11.8",
)
REDIS = Service("Redis", "TEST_REDIS_URL", "redis://127.0.0.1:6379/0", "docker run -d -p 6379:6379 redis:8")

missing: dict[str, Service] = {}
"""Services a test of this process asked for in vain; the terminal summary prints them."""

marks: set[str] | None = None
"""The marks of the test that runs; None outside tests."""

MARKS = {"postgres", "mariadb", "process", "browser"}
"""A test that needs a service carries one of these, and `make test` leaves it out, also where servers are there."""

told: dict[str, None] = {}
"""Lines of the summary that other pytest processes of this run have handed over."""

_PORTS = {"redis": 6379, "mysql": 3306, "mariadb": 3306}


@cache
def answers(url: str) -> bool:
    """True when something listens there. Asked once a run, so that a missing service costs nothing."""
    parsed = make_url(url)
    port = parsed.port or _PORTS.get(parsed.get_backend_name(), 5432)
    try:
        with socket.create_connection((parsed.host or "127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


def need(service: Service) -> str:
    """The service's URL; else skips the test, or fails it under REQUIRE_SERVICES=1.

    A test without a mark that says so fails always.
    """
    if marks is not None and not marks & MARKS:
        pytest.fail(f"a test that needs {service.name} carries one of the marks {sorted(MARKS)}", pytrace=False)
    if not answers(service.url):
        lack(service, f"{service.name} does not answer at {make_url(service.url).render_as_string()}")
    return service.url


def lack(service: Service, reason: str) -> NoReturn:
    """Skips the test, and has the run's last lines say what was missing; fails it under REQUIRE_SERVICES=1."""
    missing[service.name] = service
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"{reason}; {service.how_to_start}", pytrace=False)
    pytest.skip(reason)


def summary() -> list[str]:
    """The last lines of a run: what was missing and how to start it."""
    mine = [
        f"skipped for want of {service.name}: start it with `{service.how_to_start}` or set {service.variable}"
        for service in missing.values()
    ]
    return list(dict.fromkeys([*mine, *told]))


def scratch_postgres(name: str, options: str = "") -> AbstractContextManager[str]:
    """A database of its own on the PostgreSQL server, dropped at the end; yields its URL."""
    return _scratch(POSTGRES, name, f"drop database if exists {name} with (force)", options)


def scratch_mariadb(name: str) -> AbstractContextManager[str]:
    """A database of its own on the MariaDB server, dropped at the end; yields its URL."""
    return _scratch(MARIADB, name, f"drop database if exists {name}")


@contextmanager
def _scratch(service: Service, name: str, drop: str, options: str = "") -> Iterator[str]:
    server = make_url(need(service))
    admin = create_engine(server, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(drop)
            connection.exec_driver_sql(f"create database {name} {options}")
        try:
            yield _shown(server.set(database=name))
        finally:
            with admin.connect() as connection:
                connection.exec_driver_sql(drop)
    finally:
        admin.dispose()


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)


_TABLES = [table.name for table in metadata.sorted_tables if table.name != "worker_site"]
_FILLED = "select " + ", ".join(f"exists (select 1 from {name})" for name in _TABLES)


def empty(database: Database) -> None:
    """Deletes every row but the site's own, only where there are any: cheaper than TRUNCATE while tables are small.

    How far contents were emptied is no fact of the site: the next test begins anew.
    """
    with database.writing() as connection:
        [found] = fetch(connection, _FILLED)
        for name in (name for name, has_rows in zip(_TABLES, found, strict=True) if has_rows):
            run(connection, f"delete from {name}")
        run(connection, "delete from worker_site where name = 'emptied_to'")
