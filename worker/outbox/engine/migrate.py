"""Upgrades and downgrades the outbox's tables with Alembic, one process at a time.

The changes themselves are in `migrations/versions`, of a checkout or of an installed wheel. Alembic is imported only
where tables are changed: the installation of a producer, which only reads the tables' revision, does not have it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from worker.domain.errors import ConfigurationError
from worker.outbox.engine.database import Database, is_retryable
from worker.outbox.engine.dialect import MARIADB, dialect_of
from worker.outbox.tables import VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

T = TypeVar("T")
ADVISORY_LOCK = 7_215_033_218_964_501_137
"""An arbitrary number, so that no other program uses the same lock."""
UPGRADE_LOCK_TIMEOUT_S = 60
"""Seconds that an upgrade waits for the upgrade of another process."""
COMPATIBLE_FROM = "compatible_from"
"""A variable in a revision's script: the oldest revision whose release may use the tables after this revision. If it is
missing, only the release with this revision may. It is also stored in `worker_site`, for older releases.
"""
SERIES = "series"
"""A row of `worker_site`, which every release since 0.1 stores. Tables of an unknown revision without it are older."""
TABLE_LOCK_TIMEOUT_S = 5
"""Seconds that a change waits for a table's lock. Producers have to wait meanwhile."""
_SCRIPT_VARIABLE = re.compile(rf'^(revision|down_revision|{COMPATIBLE_FROM}) = "(\w+)"', re.MULTILINE)
"""One of these variables in a revision's script."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release, as each worker process stores it in its row."""

    version: str
    """The package's version, or `unknown` if it is not installed as a package."""
    revision: str
    """The newest revision of the tables that the release contains."""


@cache
def this_release() -> Release:
    """Returns the release that this process runs."""
    try:
        return Release(version("im-delivery-worker")[:40], head())
    except PackageNotFoundError:
        return Release("unknown", head())


def migrations_path() -> Path:
    """Returns the folder of the migrations: in the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigurationError(f"the migrations are missing from {package}; install the package again")


def config(connection: Connection | None = None) -> Config:
    """Returns an Alembic configuration without an ini file."""
    from alembic.config import Config

    alembic_config = Config()
    alembic_config.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    alembic_config.attributes["connection"] = connection
    return alembic_config


def upgrade(engine: Engine, revision: str = "head") -> str | None:
    """Upgrades the tables to a revision, and creates the installation's lane key if there is none. Safe at any time.

    Tables of a newer release are not changed. Returns the tables' revision. Raises ConfigurationError if this release
    may not use them, and cannot upgrade them.
    """
    from alembic import command

    def work(connection: Connection) -> str | None:
        if not _is_unknown(current(connection)):
            command.upgrade(config(connection), revision)
            _insert_site_rows(connection)
            _store_compatible_from(connection)
        elif (refusal := refusal_of(connection)) is not None:
            raise refusal
        return current(connection)

    return _migrated(engine, work)


def downgrade(engine: Engine, revision: str) -> None:
    """Downgrades the tables to a revision, and deletes the data in dropped columns; `base` drops all outbox tables.

    Raises ConfigurationError if this release does not contain the tables' revision or the target. Use the release that
    does.
    """
    from alembic import command

    def work(connection: Connection) -> None:
        if _is_unknown(was := current(connection)):
            raise made_before(connection) or ConfigurationError(
                f"database: its tables are at revision {was}, and this release knows up to {head()};"
                " only the newer one can take them back"
            )
        if revision not in {"base", *_scripts()}:
            raise ConfigurationError(f"database: there is no revision {revision}; this release knows up to {head()}")
        command.downgrade(config(connection), revision)
        _store_compatible_from(connection)

    _migrated(engine, work)


TRIES = 5
"""How often a migration is tried that meets a deadlock with the workers beside it."""


def _migrated(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Runs a migration alone. After a deadlock it is tried again, except on MariaDB, which cannot roll DDL back."""
    for attempt in range(1, TRIES + 1):
        try:
            with _exclusive(engine) as connection:
                return work(connection)
        except DBAPIError as error:
            if attempt == TRIES or dialect_of(engine) is MARIADB or not is_retryable(error):
                raise
    raise AssertionError("unreachable")  # pragma: no cover


def current(connection: Connection) -> str | None:
    """Returns the tables' revision, or None before the first upgrade."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar()
    return revision


def head() -> str:
    """Returns the newest revision that this release contains."""
    scripts = _scripts()
    newest = scripts.keys() - {variables.get("down_revision") for variables in scripts.values()}
    if not newest:
        raise ConfigurationError(f"no revision in {migrations_path()}; install the package again")
    return max(newest)


def is_current(connection: Connection) -> bool:
    """Returns whether this release may use the tables: they are at its newest revision, or a newer one allows it."""
    return refusal_of(connection) is None


def refusal_of(connection: Connection) -> ConfigurationError | None:
    """Returns the error for tables that this release may not use, with what to do, or None if it may."""
    revision = current(connection)
    if revision == head():
        return None
    if _is_unknown(revision):
        return unknown_revision(str(revision), _site_rows(connection))
    return ConfigurationError(
        f"database: its tables are at revision {revision or 'none'}, this release needs {head()};"
        " run `worker db upgrade`"
    )


def can_upgrade(connection: Connection) -> bool:
    """Returns whether `worker db upgrade` is what the tables need."""
    revision = current(connection)
    return revision != head() and not _is_unknown(revision)


def made_before(connection: Connection) -> ConfigurationError | None:
    """Returns the error for tables of before 0.1, whose revisions no release since knows, or None for other tables."""
    revision = current(connection)
    return _of_before(str(revision)) if _is_unknown(revision) and SERIES not in _site_rows(connection) else None


def unknown_revision(revision: str, site: Mapping[str, str]) -> ConfigurationError | None:
    """Returns the error for a revision that this release does not contain, or None if it may use the tables.

    `site` has the rows of `worker_site`, which a producer may read, too.
    """
    if SERIES not in site:
        return _of_before(revision)
    stored, _, oldest = site.get(COMPATIBLE_FROM, "").partition(" ")
    if stored == revision and oldest in _scripts():
        return None
    return ConfigurationError(
        f"database: its tables are at revision {revision}, which only a newer release than this one, at {head()},"
        f" may use; run that one, or take the tables back with it first: `worker db downgrade {head()}`"
    )


def producer_refusal(site: Mapping[str, str]) -> ConfigurationError | None:
    """Returns the error for a producer whose release may not use the tables, by the rows of `worker_site`, or None."""
    revision = site.get(COMPATIBLE_FROM, "").partition(" ")[0]
    return unknown_revision(revision, site) if _is_unknown(revision or None) else None


def _of_before(revision: str) -> ConfigurationError:
    return ConfigurationError(
        f"database: its tables are at revision {revision} of before 0.1, which no release brings up to this one; take"
        " the open jobs along or begin anew, as docs/migrate.md#an-outbox-of-before-01 says"
    )


def jobs_by_state(connection: Connection) -> dict[int, int]:
    """Returns how many jobs there are in each state."""
    if current(connection) is None:
        return {}
    query = text("select state, count(*) from worker_jobs group by state order by state")
    return {int(state): int(jobs) for state, jobs in connection.execute(query)}


def usable_from(connection: Connection) -> str | None:
    """Returns the oldest revision whose release may use the tables as they are, or None before the first upgrade."""
    revision = current(connection)
    return None if revision is None else _compatible_from(connection) or revision


def head_compatible_from() -> str:
    """Returns the oldest revision whose release may use the tables after an upgrade to this release."""
    return _compatible_from_in_script(head())


def require_current(database: Database) -> str:
    """Returns the tables' revision. Raises ConfigurationError with what to run if this release may not use them."""
    with database.reading() as connection:
        if (refusal := refusal_of(connection)) is not None:
            raise refusal
        return str(current(connection))


def _is_unknown(revision: str | None) -> bool:
    """Returns whether it is a revision that this release does not contain."""
    return revision is not None and revision not in _scripts()


def _site_rows(connection: Connection) -> dict[str, str]:
    """Returns the rows of `worker_site` that say which releases may use the tables."""
    if not inspect(connection).has_table("worker_site"):
        return {}
    query = text("select name, value from worker_site where name in (:series, :compatible_from)")
    rows = connection.execute(query, {"series": SERIES, "compatible_from": COMPATIBLE_FROM})
    return {str(name): str(value) for name, value in rows}


def _scripts() -> dict[str, Mapping[str, str]]:
    """Returns the revisions that this release contains, each with the variables of its script."""
    texts = [path.read_text(encoding="utf-8") for path in migrations_path().glob("versions/*.py")]
    scripts = (dict(_SCRIPT_VARIABLE.findall(text)) for text in texts)
    return {variables["revision"]: variables for variables in scripts}


def _compatible_from_in_script(revision: str) -> str:
    return _scripts()[revision].get(COMPATIBLE_FROM, revision)


def _store_compatible_from(connection: Connection) -> None:
    """Stores the oldest revision whose release may use the tables. That release does not have the newer script."""
    revision = current(connection)
    if revision is None:
        return
    # With the tables' revision, so that after an interrupted upgrade a row of another revision is ignored.
    row = {"name": COMPATIBLE_FROM, "value": f"{revision} {_compatible_from_in_script(revision)}"}
    connection.execute(text("delete from worker_site where name = :name"), {"name": COMPATIBLE_FROM})
    connection.execute(text("insert into worker_site (name, value) values (:name, :value)"), row)


def _compatible_from(connection: Connection) -> str | None:
    """Returns the stored oldest revision, or None if none is stored for the tables' revision."""
    query = text("select value from worker_site where name = :name")
    revision, _, oldest = str(connection.execute(query, {"name": COMPATIBLE_FROM}).scalar()).partition(" ")
    return oldest if revision == current(connection) else None


@contextmanager
def _exclusive(engine: Engine) -> Iterator[Connection]:
    """Opens a transaction that holds the lock of upgrades, with a short lock timeout for the tables."""
    if dialect_of(engine) is MARIADB:
        with engine.connect() as connection, _named_lock(connection), connection.begin():
            yield connection
        return
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # The lock ends with the transaction, so it also works behind a pooler. lock_timeout applies to advisory
            # locks too: it is long for the upgrade of another process, then short for the tables.
            connection.exec_driver_sql(f"set local lock_timeout = '{UPGRADE_LOCK_TIMEOUT_S}s'")
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({ADVISORY_LOCK})")
            connection.exec_driver_sql(f"set local lock_timeout = '{TABLE_LOCK_TIMEOUT_S}s'")
        # SQLite: BEGIN IMMEDIATE is the lock.
        yield connection


@contextmanager
def _named_lock(connection: Connection) -> Iterator[None]:
    """Holds a lock of the connection on MariaDB, where a transaction's lock would end with the first DDL statement."""
    # Lock names are global to the server, so the name contains a hash of the database's name.
    lock = f"concat('{VERSION_TABLE}:', left(sha2(database(), 256), 32))"
    is_locked = connection.exec_driver_sql(f"select get_lock({lock}, {UPGRADE_LOCK_TIMEOUT_S})").scalar()
    if is_locked != 1:
        raise ConfigurationError(
            f"another `worker db upgrade` has been running for {UPGRADE_LOCK_TIMEOUT_S} s; try again"
        )
    connection.exec_driver_sql(f"set session lock_wait_timeout = {TABLE_LOCK_TIMEOUT_S}")
    connection.commit()
    try:
        yield
    finally:
        # Resets the connection before it returns to the pool. A broken connection has lost lock and setting anyway.
        with suppress(DBAPIError):
            connection.exec_driver_sql("set session lock_wait_timeout = default")
            connection.exec_driver_sql(f"select release_lock({lock})")


def _insert_site_rows(connection: Connection) -> None:
    """Inserts the random `lane_key`, the version of `accounts` and `series`.

    Never changes the key: all lanes would be lost.
    """
    for name, value in (("lane_key", secrets.token_hex(32)), ("accounts", secrets.token_hex(32)), (SERIES, "0.1")):
        if connection.execute(text("select 1 from worker_site where name = :name"), {"name": name}).first() is None:
            insert = text("insert into worker_site (name, value) values (:name, :value)")
            connection.execute(insert, {"name": name, "value": value})
