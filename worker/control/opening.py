"""Opens the database of the settings, for what commits by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worker.config.settings import Settings, load_settings, where
from worker.domain.errors import ConfigurationError
from worker.outbox.engine import migrate
from worker.outbox.engine.database import Database, make_engine, missing_file


def require_there(settings: Settings) -> None:
    """ConfigurationError when the outbox is an SQLite file that does not exist: opening would create an empty one."""
    if (file := missing_file(settings.database_url())) is not None:
        missing = f"there is no file {file}; run `worker db upgrade`, or correct database in {where()}"
        raise ConfigurationError("database: " + missing)  # a sentence by itself, which `worker doctor` says alone


def database_of(settings: Settings, *, pool_size: int = 8) -> Database:
    """The outbox of the settings; connects to nothing yet."""
    return Database(make_engine(settings.database_url(), pool_size=pool_size))


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Database]:
    """The database of the settings, or of those in force; an SQLite file that does not exist is not created."""
    # One of its own: an engine of the application's may commit each statement by itself.
    settings = load_settings() if settings is None else settings
    require_there(settings)
    database = database_of(settings)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def at_hand(database: Database | None, settings: Settings | None) -> Iterator[tuple[Database, Settings]]:
    """A database that is open already, else that of the settings (None: those in force); and the settings."""
    if database is not None:
        yield database, settings or Settings()
    else:
        settings = settings or load_settings()
        with opened_current(settings) as opened:
            yield opened, settings


@contextmanager
def opened_current(settings: Settings) -> Iterator[Database]:
    """The same, where this release may use the tables."""
    with opened(settings) as database:
        migrate.require_current(database)
        yield database
