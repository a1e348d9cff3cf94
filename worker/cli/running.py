"""`worker up` and `worker db`: a worker in one process, and the outbox's tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

from worker.accounts.sources import accounts_of
from worker.channels.registry import sorted_out
from worker.cli.options import system_user
from worker.config.places import UrlFrom
from worker.config.settings import Settings, load_settings, where
from worker.control.opening import database_of, opened
from worker.domain.account import Account
from worker.domain.errors import ConfigurationError
from worker.language import said
from worker.outbox.engine import migrate
from worker.outbox.engine.database import missing_file
from worker.outbox.lanes.processes import running
from worker.reporting.releases import ReleaseCheck, check_in, told_process


def run_embedded(threads: int | None, loglevel: str, *, with_console: bool = False) -> int:
    """Upgrades the tables and runs a worker with a broker in memory until a signal ends it; its exit status."""
    from worker.service.broker import EMBEDDED
    from worker.service.celery_app import make_app, start_worker

    found = load_settings()
    for hint in hints(found):
        sys.stderr.write(f"worker: {said(hint)}\n")
    settings = found.model_copy(update={"broker": UrlFrom(url=EMBEDDED)})
    upgrade_tables()
    app = make_app(settings)
    # A broker in memory has no other workers: gossip, mingle and heartbeats between them would be useless.
    alone = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
    with _console(settings) if with_console else nullcontext():
        return start_worker(app, threads=threads or settings.delivery.threads, loglevel=loglevel, **alone)


def _console(settings: Settings) -> AbstractContextManager[None]:
    from worker.service.web.console import console_beside

    return console_beside(settings, system_user)


def hints(settings: Settings) -> list[str]:
    """Settings that `worker up` does not use or misses, as sentences for the person who starts it."""
    found = []
    if settings.broker.url != "embedded":
        found.append("`worker up` uses a broker in memory; the broker of the settings is for `celery ... worker`")
    accounts = accounts_of(settings)
    good, wrong = sorted_out(accounts, accounts.names())
    unusable = [*wrong.items(), *_unread_secrets(good.values())]
    found.extend(f"account {name} cannot be used: {why}" for name, why in unusable)
    if not accounts.names():
        found.append(f"no account is configured; add [accounts.NAME] to {where()}, or say `worker accounts add NAME`")
    return found


def _unread_secrets(accounts: Iterable[Account]) -> Iterator[tuple[str, str]]:
    """Accounts whose settings are right, but whose secret is not where they say."""
    for account in accounts:
        if account.secret:
            try:
                account.secret.read()
            except ConfigurationError as error:
                yield account.name, str(error)


def upgrade_tables(told: Callable[[str], object] = lambda line: None) -> str | None:
    """Upgrades the tables to this release; returns their revision.

    That may be a newer one that this release can use. `told`: hears of a file that no setting names, and that is made.
    """
    settings = load_settings()
    file = missing_file(settings.database_url())
    database = database_of(settings)
    try:
        revision = migrate.upgrade(database.engine)
    finally:
        database.close()
    if file is not None and "database" not in settings.model_fields_set:
        told(f"made {file}, because no setting names a database; is this the folder? settings: {where()}")
    return revision


def downgrade_tables(revision: str) -> None:
    """Downgrades the tables to a revision; ConfigurationError while a worker is alive that could not use them then."""
    with opened() as database:
        with database.reading() as connection:
            alive = running(connection, database.now) if migrate.current(connection) else []
        for process in alive:
            if revision == "base" or (process.release is not None and process.release.revision > revision):
                raise ConfigurationError(
                    f"database: the worker {told_process(process)} could not use its tables at revision {revision}; end"
                    " the workers of newer releases first (one that was killed counts as alive for ten seconds)"
                )
        migrate.downgrade(database.engine, revision)


def check_releases() -> ReleaseCheck:
    """The revision of the tables, the releases that may use it, and those that worker processes which are alive run."""
    settings = load_settings()
    if missing_file(settings.database_url()):
        return ReleaseCheck(None, None, ())
    with opened(settings) as database, database.reading() as connection:
        return check_in(connection, database.now)


def release() -> str:
    """This release, and the revision of the tables that it was made for."""
    own = migrate.this_release()
    return f"im-delivery-worker {own.version}, tables at revision {own.revision}"
