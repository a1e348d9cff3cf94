"""The SQL of docs/database-roles.md and docs/databases.md, on the servers, as the pages show it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, create_engine, make_url

from rig import databases
from rig.stacks import make_tables
from tests.docs.page import ROOT, Page

ROLES = "docs/database-roles.md"
CLIENTS = {"psql": "postgresql-client", "mariadb": "mariadb-client"}
"""Program -> the package that has it."""


def block(page: str, begin: str) -> str:
    """The one block that begins so."""
    (found,) = [one.text for one in Page(page).blocks if one.text.startswith(begin)]
    return found


def statements(text: str) -> Iterator[str]:
    """Each statement without its comment."""
    yield from (one for line in text.splitlines() if (one := line.partition("--")[0].strip(" ;")))


@contextmanager
def connected(url: str, isolation_level: str | None = None) -> Iterator[Connection]:
    """A connection whose open transaction is rolled back."""
    engine = create_engine(url, isolation_level=isolation_level) if isolation_level else create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def types(line: str, url: URL, **environment: str) -> None:
    """One line in a shell, for this database in the place of the application's; it has to end well."""
    program = line.partition(" ")[0]
    if shutil.which(program) is None:
        client = databases.Service(f"the client {program}", "PATH", "", f"apt-get install {CLIENTS[program]}")
        databases.lack(client, f"this machine has no {program} to type the page's line")
    typed = line.replace(" app ", f" {url.database} ")
    env = {**os.environ, **environment}
    done = subprocess.run(["bash", "-uc", typed], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.postgres
def test_postgresql_has_the_roles_of_the_page() -> None:
    """The script by the page's line; then each user is in its role, in a transaction that is not committed."""
    with databases.scratch_postgres(f"worker_page_{os.getpid()}") as found:
        url = make_url(found)
        where = {
            "PGHOST": url.host,
            "PGPORT": str(url.port or 5432),
            "PGUSER": url.username,
            "PGPASSWORD": url.password,
        }
        types(block(ROLES, "psql "), url, **{name: value for name, value in where.items() if value})
        with connected(found) as connection:
            connection.exec_driver_sql("create role app")
            for statement in statements(block(ROLES, "create role")):
                connection.exec_driver_sql(statement)
            members = connection.exec_driver_sql(
                "select m.rolname, r.rolname from pg_auth_members a join pg_roles m on m.oid = a.member"
                " join pg_roles r on r.oid = a.roleid where m.rolname = 'app' or m.rolname like 'outbox%%'"
            )

            assert {tuple(row) for row in members} == {
                ("outbox_migrator", "delivery_migrator"),
                ("outbox_worker", "delivery_worker"),
                ("outbox_receiver", "delivery_receiver"),
                ("outbox_console", "delivery_console"),
                ("outbox_metrics", "delivery_reader"),
                ("app", "delivery_producer"),
            }


@pytest.mark.mariadb
def test_mariadb_has_the_roles_of_the_page(tmp_path: Path) -> None:
    """The script by the page's line; a user of this test's own has the role by default."""
    user = f"outbox_{os.getpid()}"
    with databases.scratch_mariadb(f"worker_page_{os.getpid()}") as found:
        url = make_url(found)
        options = {"host": url.host, "port": url.port or 3306, "user": url.username, "password": url.password or ""}
        lines = [f"{name} = {value}" for name, value in options.items()]
        (tmp_path / ".my.cnf").write_text("\n".join(["[client]", "skip-ssl", *lines, ""]), encoding="utf-8")
        types(block(ROLES, "mariadb "), url, HOME=str(tmp_path))
        with connected(found, "AUTOCOMMIT") as connection:
            try:
                for statement in statements(block(ROLES, "create user").replace("outbox_worker", user)):
                    connection.exec_driver_sql(statement)
                told = connection.exec_driver_sql(f"select default_role from mysql.user where user = '{user}'").scalar()
            finally:
                connection.exec_driver_sql(f"drop user if exists {user}")

    assert told == "delivery_worker"


@pytest.mark.postgres
def test_postgresql_takes_what_the_page_advises() -> None:
    """The role's settings and the tables' of autovacuum, in a transaction that is not committed."""
    page = "docs/databases.md"
    with databases.scratch_postgres(f"worker_page_{os.getpid()}") as found:
        make_tables(found)
        with connected(found) as connection:
            connection.exec_driver_sql("create role worker")
            for statement in statements(block(page, "alter role") + block(page, "alter table")):
                connection.exec_driver_sql(statement)
            role = connection.exec_driver_sql("select rolconfig from pg_roles where rolname = 'worker'").scalar()
            tables = connection.exec_driver_sql("select relname from pg_class where reloptions is not null").scalars()

            assert role == ["enable_seqscan=off", "jit=off", "idle_in_transaction_session_timeout=60s"]
            assert {"worker_parts", "worker_jobs", "worker_budgets"} <= {*tables}
