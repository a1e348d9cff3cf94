"""Upgrades the outbox's tables, one process at a time, from a checkout or from an installed wheel.

Knows Alembic and locks; the changes themselves are in `migrations/versions`. Alembic is loaded where tables are
changed: a producer's installation, which only asks what revision they are at, does not have it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from worker.domain.errors import ConfigurationError
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import MARIADB, dialect_of
from worker.outbox.tables import VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

ADVISORY_LOCK = 7_215_033_218_964_501_137
"""A number that no other program in the database is likely to lock."""
WAIT_FOR_OTHERS_S = 60
"""Seconds that one upgrade waits for another process's upgrade."""
COMPATIBLE_FROM = "compatible_from"
"""A variable of a revision's script, stored as a row of `worker_site`: the oldest revision whose release may use the
tables as this one leaves them. Without it only the revision's own release may.
"""
WAIT_FOR_TABLES_S = 5
"""Seconds that a change waits for a table's lock; producers queue up behind it meanwhile."""
_OF_A_SCRIPT = re.compile(rf'^(revision|down_revision|{COMPATIBLE_FROM}) = "(\w+)"', re.MULTILINE)
"""What a revision's script says of itself."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release: what a worker process writes of itself into its row."""

    version: str
    """The package's; `unknown` where it is not installed as a package."""
    revision: str
    """The newest revision of the tables that it knows."""


@cache
def this_release() -> Release:
    """The release of this very process."""
    try:
        return Release(version("im-delivery-worker")[:40], head())
    except PackageNotFoundError:
        return Release("unknown", head())


def migrations_path() -> Path:
    """The folder of the migrations: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigurationError(f"the migrations are missing from {package}; install the package again")


def config(connection: Connection | None = None) -> Config:
    """An Alembic configuration without an ini file."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def upgrade(engine: Engine, revision: str = "head") -> str | None:
    """Upgrades the tables to a revision, and makes the site's lane key if there is none; safe at any time.

    Tables of a newer release stay as they are. Returns the tables' revision. Raises ConfigurationError when this
    release may not use a newer one's tables.
    """
    from alembic import command

    with _alone(engine) as connection:
        if not _is_newer(connection):
            command.upgrade(config(connection), revision)
            _make_site_rows(connection)
            _note_compatible_from(connection)
        elif not is_current(connection):
            raise _not_this_release(connection)
        return current(connection)


def downgrade(engine: Engine, revision: str) -> None:
    """Undoes changes with the data stored in them; `base` drops every table of ours.

    Raises ConfigurationError when this release does not know the tables' revision or the wanted one: the newer release
    has to do it.
    """
    from alembic import command

    with _alone(engine) as connection:
        if _is_newer(connection):
            raise ConfigurationError(
                f"database: its tables are at revision {current(connection)}, and this release knows up to {head()};"
                " only the newer one can take them back"
            )
        if revision not in {"base", *_scripts()}:
            raise ConfigurationError(f"database: there is no revision {revision}; this release knows up to {head()}")
        command.downgrade(config(connection), revision)
        _note_compatible_from(connection)


def current(connection: Connection) -> str | None:
    """The revision the database is at; None before the first upgrade."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar()
    return found


def head() -> str:
    """The newest revision this release knows."""
    scripts = _scripts()
    newest = scripts.keys() - {said.get("down_revision") for said in scripts.values()}
    if not newest:
        raise ConfigurationError(f"no revision in {migrations_path()}; install the package again")
    return max(newest)


def is_current(connection: Connection) -> bool:
    """True when this release may use the tables: at its own newest revision, or at a newer one that says so."""
    return current(connection) == head() or (_is_newer(connection) and _compatible_from(connection) in _scripts())


def usable_from(connection: Connection) -> str | None:
    """The oldest revision whose release may use the tables as they are; None before the first upgrade."""
    found = current(connection)
    return None if found is None else _compatible_from(connection) or found


def lets_in_from() -> str:
    """The oldest revision whose release may use the tables as this release makes them."""
    return _oldest_for(head())


def require_current(database: Database) -> str:
    """The tables' revision, which this release may use; otherwise a ConfigurationError that says what to run."""
    with database.reading() as connection:
        if not is_current(connection):
            raise _not_this_release(connection)
        return str(current(connection))


def _is_newer(connection: Connection) -> bool:
    """True when the tables are at a revision this release does not know."""
    found = current(connection)
    return found is not None and found not in _scripts()


def _not_this_release(connection: Connection) -> ConfigurationError:
    """Why this release may not use the tables, and what to run."""
    found = current(connection) or "none"
    if _is_newer(connection):
        return ConfigurationError(
            f"database: its tables are at revision {found}, which only a newer release than this one, at {head()}, may"
            f" use; run that one, or take the tables back with it first: `worker db downgrade {head()}`"
        )
    return ConfigurationError(
        f"database: its tables are at revision {found}, this release needs {head()}; run `worker db upgrade`"
    )


def _scripts() -> dict[str, Mapping[str, str]]:
    """The revisions this release knows, and what the script of each says of itself."""
    texts = [path.read_text(encoding="utf-8") for path in migrations_path().glob("versions/*.py")]
    return {said["revision"]: said for said in (dict(_OF_A_SCRIPT.findall(one)) for one in texts)}


def _oldest_for(revision: str) -> str:
    return _scripts()[revision].get(COMPATIBLE_FROM, revision)


def _note_compatible_from(connection: Connection) -> None:
    """Stores the oldest revision whose release may use the tables, because that release's code cannot know it."""
    found = current(connection)
    if found is None:
        return
    # With the tables' revision: after an upgrade that was cut short the row is of another revision and is ignored.
    row = {"name": COMPATIBLE_FROM, "value": f"{found} {_oldest_for(found)}"}
    connection.execute(text("delete from worker_site where name = :name"), {"name": COMPATIBLE_FROM})
    connection.execute(text("insert into worker_site (name, value) values (:name, :value)"), row)


def _compatible_from(connection: Connection) -> str | None:
    """The oldest revision whose release may use the tables as they are; None: no row of this revision says so."""
    query = text("select value from worker_site where name = :name")
    revision, _, oldest = str(connection.execute(query, {"name": COMPATIBLE_FROM}).scalar()).partition(" ")
    return oldest if revision == current(connection) else None


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """One transaction with the advisory lock held and a short lock timeout for the tables."""
    if dialect_of(engine) is MARIADB:
        with engine.connect() as connection, _named_lock(connection), connection.begin():
            yield connection
        return
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Freed with the transaction, so it also works behind a transaction pooler. lock_timeout counts for
            # advisory locks too: a long one for our turn, then a short one for the tables.
            connection.exec_driver_sql(f"set local lock_timeout = '{WAIT_FOR_OTHERS_S}s'")
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({ADVISORY_LOCK})")
            connection.exec_driver_sql(f"set local lock_timeout = '{WAIT_FOR_TABLES_S}s'")
        # SQLite: BEGIN IMMEDIATE is the lock.
        yield connection


@contextmanager
def _named_lock(connection: Connection) -> Iterator[None]:
    """A lock of MariaDB's connection; one of the transaction would end with the first change of a table."""
    # Names of locks are global to the server, so this one includes a hash of the database's name.
    lock = f"concat('{VERSION_TABLE}:', left(sha2(database(), 256), 32))"
    got = connection.exec_driver_sql(f"select get_lock({lock}, {WAIT_FOR_OTHERS_S})").scalar()
    if got != 1:
        raise ConfigurationError(f"another `worker db upgrade` has been running for {WAIT_FOR_OTHERS_S} s; try again")
    connection.exec_driver_sql(f"set session lock_wait_timeout = {WAIT_FOR_TABLES_S}")
    connection.commit()
    try:
        yield
    finally:
        # The next user of the connection gets it as it was; a connection that broke has lost lock and setting anyway.
        with suppress(DBAPIError):
            connection.exec_driver_sql("set session lock_wait_timeout = default")
            connection.exec_driver_sql(f"select release_lock({lock})")


def _make_site_rows(connection: Connection) -> None:
    """The random key of lanes and limit keys, which is never changed: that would orphan every lane; and `accounts`."""
    for name in ("lane_key", "accounts"):
        if connection.execute(text("select 1 from worker_site where name = :name"), {"name": name}).first() is None:
            insert = text("insert into worker_site (name, value) values (:name, :value)")
            connection.execute(insert, {"name": name, "value": secrets.token_hex(32)})
