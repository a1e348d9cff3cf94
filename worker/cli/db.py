"""`worker db`: the outbox's tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from worker.cli.options import Commands, Json, echo_error, print_value
from worker.config.settings import load_settings, settings_location
from worker.control.opening import make_database, open_database
from worker.domain.errors import ConfigurationError
from worker.domain.state import JobState
from worker.language import term
from worker.outbox.engine import migrate
from worker.outbox.engine.database import missing_file
from worker.outbox.lanes.processes import running_processes
from worker.reporting.releases import ReleaseCheck, process_text, read_releases

app = Commands(name="db", help="Makes, upgrades and checks the outbox's tables.", no_args_is_help=True)


@app.command()
def upgrade(as_json: Json = False) -> None:
    """Brings the tables to this release; safe at any time."""
    revision = upgrade_tables(echo_error)
    print_value({"revision": revision}, f"tables at revision {revision}", as_json=as_json)


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="The older release's: what `worker --version` says there.")],
    yes: Annotated[bool, typer.Option("--yes", help="Also drops the whole outbox, which is what base means.")] = False,
    as_json: Json = False,
) -> None:
    """Takes the tables back to an older release, with what only the newer one stored; end its processes first."""
    with open_database() as database:
        with database.reading() as connection:
            if (refusal := migrate.made_before(connection)) is not None:
                raise refusal
            alive = running_processes(connection, database.now) if migrate.current(connection) else []
            jobs = migrate.jobs_by_state(connection) if revision == "base" and not yes else None
        for process in alive:
            if revision == "base" or (process.release is not None and process.release.revision > revision):
                raise ConfigurationError(
                    f"database: the worker {process_text(process)} could not use its tables at revision {revision}; end"
                    " the workers of newer releases first (one that was killed counts as alive for ten seconds)"
                )
        if jobs is not None:
            echo_error(
                "base drops the outbox with all of its jobs, and nothing brings them back; add --yes if you mean it"
            )
            for state, count in jobs.items():
                echo_error(f"{count:>8}  {term('state', JobState(state).label)}")
            raise typer.Exit(1)
        migrate.downgrade(database.engine, revision)
    print_value({"revision": revision}, f"tables at revision {revision}", as_json=as_json)


@app.command()
def check(as_json: Json = False) -> bool:
    """Which release each living worker runs, and which may use the tables; exit status 1 unless all run this one."""
    releases = check_releases()
    print_value(releases.as_json(), "\n".join(releases.lines()), as_json=as_json)
    return releases.is_done


def upgrade_tables(on_create: Callable[[str], object] = lambda line: None) -> str | None:
    """Upgrades the tables to this release; returns their revision, which may be a newer one that this release can use.

    `on_create` gets a sentence if a SQLite file is created although no setting names a database.
    """
    settings = load_settings()
    file = missing_file(settings.database_url())
    database = make_database(settings)
    try:
        revision = migrate.upgrade(database.engine)
    finally:
        database.close()
    if file is not None and "database" not in settings.model_fields_set:
        on_create(
            f"created {file}, because no setting names a database; check that this is the right folder."
            f" Settings: {settings_location()}"
        )
    return revision


def check_releases() -> ReleaseCheck:
    """Reads the revision of the tables, the releases that may use it, and those of the workers that are alive."""
    settings = load_settings()
    if missing_file(settings.database_url()):
        return ReleaseCheck(None, None, ())
    with open_database(settings) as database, database.reading() as connection:
        return read_releases(connection, database.now)
