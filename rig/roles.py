"""An outbox whose tables belong to the migrator, with a user for each database role.

Knows the GRANT scripts of `deploy/sql` and the clients that run them; a test or a bench says what the users then do.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sqlalchemy import URL, create_engine, make_url

from rig import databases
from rig.stacks import make_tables
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database, make_engine

SCRIPTS = Path(__file__).parents[1] / "deploy" / "sql"
Server = Literal["postgresql", "mariadb"]
Role = Literal["migrator", "worker", "producer", "reader", "receiver", "console"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class RoleUsers:
    """A migrated outbox, and how each role reaches it."""

    server: Server
    admin: str
    """The URL of the user who owns the server."""

    def url(self, role: Role) -> str:
        """The database as a user of this role."""
        own = make_url(self.admin)
        return own.set(username=_user(own.database, role)).render_as_string(hide_password=False)


@contextmanager
def role_users(server: Server, name: str) -> Iterator[RoleUsers]:
    """A fresh outbox that the migrator has made, with the scripts run before and after, as the page says."""
    scratch = databases.scratch_postgres if server == "postgresql" else databases.scratch_mariadb
    with scratch(name) as admin:
        users = RoleUsers(server, admin)
        run_script(users)
        _run(admin, _users(users))
        try:
            make_tables(users.url("migrator"))
            run_script(users)
            yield users
        finally:
            _run(admin, [f"drop {_USER[server]} {_named(users, role)}" for role in ROLES])


@contextmanager
def as_role(users: RoleUsers, role: Role, clock: DrivenClock | None = None) -> Iterator[Database]:
    """The outbox as this role has it."""
    engine = make_engine(users.url(role))
    with closing(Database(engine, clock=clock) if clock else Database(engine)) as database:
        yield database


def run_script(users: RoleUsers) -> None:
    """Gives the roles their rights, with the server's own client."""
    url, script = make_url(users.admin), SCRIPTS / f"{users.server}-roles.sql"
    command = _psql(url) if users.server == "postgresql" else _mariadb(url)
    with script.open("rb") as opened:
        done = subprocess.run(command, stdin=opened, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


_USER = {"postgresql": "role", "mariadb": "user"}


def _user(database: str | None, role: Role) -> str:
    """Users are the whole server's, so each outbox has its own."""
    return f"{role}_{database}"


def _named(users: RoleUsers, role: Role) -> str:
    user = _user(make_url(users.admin).database, role)
    return user if users.server == "postgresql" else f"'{user}'@'127.0.0.1'"


def _users(users: RoleUsers) -> Iterator[str]:
    for role in ROLES:
        user, ours = _named(users, role), f"delivery_{role}"
        if users.server == "mariadb":
            yield f"create or replace user {user}"
            yield f"grant {ours} to {user}"
            yield f"set default role {ours} for {user}"
            continue
        yield f"create role {user} login in role {ours}"
        if role == "migrator":
            # Its tables belong to the role, whichever user makes them.
            yield f"alter role {user} set role = {ours}"


def _run(url: str, statements: Iterator[str] | list[str]) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def _psql(url: URL) -> list[str]:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return ["psql", "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", plain]


def _mariadb(url: URL) -> list[str]:
    password = [f"--password={url.password}"] if url.password else []
    where = [f"--host={url.host or '127.0.0.1'}", f"--port={url.port or 3306}", f"--user={url.username}"]
    return ["mariadb", *where, *password, "--skip-ssl", str(url.database)]
