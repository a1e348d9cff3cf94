"""Opens the database of the settings, for commands that commit their own transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from worker.config.settings import Settings, load_settings, settings_location
from worker.domain.errors import ConfigurationError
from worker.outbox.engine import migrate
from worker.outbox.engine.database import Database, make_engine, missing_file
from worker.outbox.engine.error_text import MISSING_TABLES, remedy_of


def require_database_file(settings: Settings) -> None:
    """Raises ConfigurationError if the outbox is an SQLite file that does not exist.

    Opening the file would create an empty database.
    """
    if (file := missing_file(settings.database_url())) is not None:
        missing = f"there is no file {file}; run `worker db upgrade`, or correct database in {settings_location()}"
        raise ConfigurationError("database: " + missing)  # a sentence by itself, which `worker doctor` says alone


def make_database(settings: Settings, *, pool_size: int = 8) -> Database:
    """Returns the database of the settings. Does not connect yet."""
    return Database(make_engine(settings.database_url(), pool_size=pool_size))


@contextmanager
def open_database(settings: Settings | None = None) -> Iterator[Database]:
    """Opens the database of the settings, by default those in force, and closes it at the end.

    An SQLite file that does not exist is not created.
    """
    # An engine of its own, because an engine of the application may commit each statement by itself.
    settings = load_settings() if settings is None else settings
    require_database_file(settings)
    database = make_database(settings)
    try:
        yield database
    except DBAPIError as error:
        if remedy_of(error) == MISSING_TABLES:
            migrate.require_current(database)  # which says what is wrong with the tables, if it knows
        raise
    finally:
        database.close()


@contextmanager
def open_outbox(database: Database | None, settings: Settings | None) -> Iterator[tuple[Database, Settings]]:
    """Yields an open database and its settings: `database`, or else the database that the settings name.

    Without `settings`, `database` gets the default values, and the other one the settings in force.
    """
    if database is not None:
        yield database, settings or Settings()
    else:
        settings = settings or load_settings()
        with open_current_database(settings) as database_in_use:
            yield database_in_use, settings


@contextmanager
def open_current_database(settings: Settings) -> Iterator[Database]:
    """Opens the database of the settings, after checking that this release may use its tables."""
    with open_database(settings) as database:
        migrate.require_current(database)
        yield database
