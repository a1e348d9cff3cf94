"""Migrations and tables say the same, on every database; the application's own Alembic never meets ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Column, Connection, Index, Integer, MetaData, Table, inspect, text

import worker
from rig.databases import scratch_mariadb, scratch_postgres
from tests.support.producing import ACCOUNTS, ANN, HELLO
from worker import ConfigurationError, include_object
from worker.outbox.control.audit_and_sign_in import audit_rows
from worker.outbox.engine import migrate
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.migrate import current, downgrade, head, is_current, require_current, upgrade
from worker.outbox.jobs.chats import list_chats
from worker.outbox.jobs.events import list_events
from worker.outbox.jobs.inbound import list_inbound
from worker.outbox.jobs.reading import job_rows
from worker.outbox.lanes.lanes import list_lane_events
from worker.outbox.tables import VERSION_TABLE, is_made, metadata


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""

    @contextmanager
    def scratch_sqlite(name: str) -> Iterator[str]:
        yield f"sqlite:///{tmp_path / name}.db"

    scratch = {"sqlite": scratch_sqlite, "postgres": scratch_postgres, "mariadb": scratch_mariadb}[request.param]
    with scratch(f"worker_test_{os.getpid()}_empty") as url:
        database = Database(make_engine(url))
        yield database
        database.close()


def differences(connection: Connection, tables: MetaData, **options: object) -> list[object]:
    """What autogenerate would change."""
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": other_default, **options}
    )
    return list(compare_metadata(context, tables))


def other_default(*defaults: Any) -> bool | None:
    """Alembic's own comparison, but MariaDB's word for false is 0, and MySQL's is '0'."""
    context, _, _, inspected, _, rendered = defaults
    is_false = str(inspected).strip("'") == "0" and rendered == "false"
    return False if context.dialect.name == "mysql" and is_false else None


def test_migrations_make_the_tables(database: Database) -> None:
    """Columns, types, server defaults, indexes with their conditions: nothing to autogenerate."""

    def ours(thing: object, name: str | None, type_: str, *_: object) -> bool:
        """Our tables without Alembic's own, with the indexes this database has."""
        return is_made(thing, database.dialect.name) if isinstance(thing, Index) else name != VERSION_TABLE

    with database.reading() as connection:
        assert differences(connection, metadata, include_object=ours) == []
        assert head() == current(connection)
        assert is_current(connection)


def test_indexes_keep_their_conditions(empty_database: Database) -> None:
    """Autogenerate does not compare partial indexes, collations and defaults closely: the DDL itself is compared."""
    database = empty_database
    upgrade(database.engine)
    with database.reading() as connection:
        migrated = ddl(connection)
    downgrade(database.engine, "base")
    metadata.create_all(database.engine)
    with database.reading() as connection:
        made = ddl(connection)

    assert made == migrated


def ddl(connection: Connection) -> dict[str, object]:
    """Every index, and every column with its default and collation, as the database itself says them."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(
            text("select name, sql from sqlite_master where name like 'worker_%' or name like 'ix_worker_%'")
        )
        return {name: " ".join((sql or "").replace('"', "").split()) for name, sql in rows if name != VERSION_TABLE}
    if connection.dialect.name == "mysql":
        tables = connection.execute(text("show tables like 'worker_%'")).scalars().all()
        made = {name: connection.execute(text(f"show create table {name}")).one()[1] for name in tables}
        # Keys stand in the order they were made in.
        return {name: sorted(str(sql).replace(",\n", "\n").splitlines()) for name, sql in made.items()}
    found: dict[str, object] = dict(
        connection.execute(text("select indexname, indexdef from pg_indexes where schemaname = 'public'")).all()  # type: ignore[arg-type]
    )
    columns = connection.execute(
        text(
            "select table_name || '.' || column_name, data_type, character_maximum_length, is_nullable, column_default,"
            " collation_name from information_schema.columns where table_schema = 'public'"
        )
    )
    found |= {row[0]: tuple(row[1:]) for row in columns}
    return {name: value for name, value in found.items() if VERSION_TABLE not in name}


def test_down_and_up_with_rows(empty_database: Database) -> None:
    """Filled tables go down to nothing of ours and come up again; the application's table stays."""
    database = empty_database
    upgrade(database.engine)
    with database.writing() as connection:
        connection.execute(text("create table note (id integer primary key)"))
        worker.enqueue(connection, "hr", HELLO, ANN, accounts=ACCOUNTS)
    downgrade(database.engine, "base")

    with database.reading() as connection:
        assert set(inspect(connection).get_table_names()) == {"note", VERSION_TABLE}
        assert current(connection) is None
        assert not is_current(connection)
    upgrade(database.engine)
    with database.writing() as connection:
        worker.enqueue(connection, "hr", HELLO, ANN, accounts=ACCOUNTS)


def test_a_database_without_the_tables_is_named(tmp_path: Path) -> None:
    """Mostly it is another one than that of the settings: the file of another folder."""
    engine = worker.sqlite_engine(f"sqlite:///{tmp_path}/other.db")

    with engine.begin() as connection, pytest.raises(ConfigurationError) as told:
        worker.enqueue(connection, "hr", HELLO, ANN, accounts=ACCOUNTS)
    engine.dispose()

    sentence = f"the outbox's tables are not in sqlite:///{tmp_path}/other.db; run `worker db upgrade` on it"
    assert sentence == str(told.value)


def test_the_options_of_its_url_are_not_shown(tmp_path: Path) -> None:
    """Drivers take a password there, too."""
    engine = worker.sqlite_engine(f"sqlite:///file:{tmp_path}/other.db?uri=true&password=hunter2")

    with engine.begin() as connection, pytest.raises(ConfigurationError) as told:
        worker.enqueue(connection, "hr", HELLO, ANN, accounts=ACCOUNTS)
    engine.dispose()

    assert "hunter2" not in str(told.value)


def test_an_application_with_its_own_alembic_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are in the folder where commands are typed, and its environment names one."""
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = nowhere\nversion_table = theirs\n")
    (tmp_path / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "nowhere"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALEMBIC_CONFIG", str(tmp_path / "alembic.ini"))
    engine = make_engine(f"sqlite:///{tmp_path}/app.db")

    assert head() == upgrade(engine)
    assert inspect(engine).has_table(VERSION_TABLE)
    engine.dispose()


def test_upgrade_is_idempotent_and_keeps_the_lane_key(database: Database) -> None:
    """A second upgrade changes nothing: another key would orphan every lane."""
    query = text("select value from worker_site where name = 'lane_key'")
    with database.reading() as connection:
        before = connection.execute(query).scalar_one()
    upgrade(database.engine)
    with database.reading() as connection:
        assert [before] == list(connection.execute(query).scalars())
    assert len(before) == 64


# -- two releases on the same tables ----------------------------------------------------------------------------------

NEWER = """
from alembic import op

revision = "newer"
down_revision = "{head}"
branch_labels = depends_on = None
{compatible_from}


def upgrade():
    op.execute("create table worker_newer (id integer)")


def downgrade():
    op.execute("drop table worker_newer")
"""


@contextmanager
def newer_release(folder: Path, compatible_from: str = "") -> Iterator[None]:
    """Inside it this code is a release with one more revision, whose script says so much of older ones."""
    copied = folder / "newer"
    shutil.copytree(migrate.migrations_path(), copied, ignore=shutil.ignore_patterns("__pycache__"))
    script = NEWER.format(head=head(), compatible_from=compatible_from)
    (copied / "versions" / "newer.py").write_text(script, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "migrations_path", lambda: copied)
        yield


def test_the_release_before_may_start_on_newer_tables_that_say_so(empty_database: Database, tmp_path: Path) -> None:
    """It may restart, and be rolled back to, after the tables were upgraded; its upgrade leaves them alone."""
    engine = empty_database.engine
    upgrade(engine)
    with newer_release(tmp_path, f'compatible_from = "{head()}"'):
        assert upgrade(engine) == "newer"

    assert require_current(empty_database) == "newer"
    assert upgrade(engine) == "newer"
    with empty_database.reading() as connection:
        assert is_current(connection)
        assert "worker_newer" in inspect(connection).get_table_names()


def test_a_release_that_newer_tables_do_not_suit_says_what_to_run(empty_database: Database, tmp_path: Path) -> None:
    """The newer release can take them back; this one, which cannot, does not try. Then it starts."""
    engine = empty_database.engine
    with newer_release(tmp_path):
        upgrade(engine)

    for refused in (lambda: require_current(empty_database), lambda: upgrade(engine)):
        with pytest.raises(ConfigurationError, match=rf"only a newer release .* `worker db downgrade {head()}`"):
            refused()
    with pytest.raises(ConfigurationError, match="only the newer one can take them back"):
        downgrade(engine, head())
    older = head()
    with newer_release(tmp_path / "again"):
        downgrade(engine, older)
    upgrade(engine)

    assert head() == require_current(empty_database)


def test_an_upgrade_that_ended_before_it_said_who_may_use_the_tables(empty_database: Database, tmp_path: Path) -> None:
    """What an earlier revision said does not count: an older release starts only on the word of the very revision."""
    engine = empty_database.engine
    upgrade(engine)
    with newer_release(tmp_path, f'compatible_from = "{head()}"'):
        upgrade(engine)
        with engine.begin() as connection:
            connection.execute(text("update worker_site set value = '0001 0001' where name = 'compatible_from'"))

    with pytest.raises(ConfigurationError, match="only a newer release"):
        require_current(empty_database)


def test_older_tables_are_upgraded_first(empty_database: Database, tmp_path: Path) -> None:
    """What they said of older releases is no word for a newer one."""
    upgrade(empty_database.engine)
    ours = head()

    with (
        newer_release(tmp_path, f'compatible_from = "{ours}"'),
        pytest.raises(ConfigurationError, match=rf"at revision {ours}, .* run `worker db upgrade`"),
    ):
        require_current(empty_database)


def unsuited(said: Sequence[tuple[str, str]]) -> list[str]:
    """Revisions that let in a release newer than their own, or one that an earlier revision has shut out."""
    return [
        revision
        for n, (revision, oldest) in enumerate(said)
        if oldest > revision or any(oldest < before for _, before in said[:n])
    ]


def test_revisions_say_which_releases_may_use_their_tables() -> None:
    """Each its own or an older one, and none that the revision before would not suit."""
    scripts = list(ScriptDirectory.from_config(migrate.config()).walk_revisions())
    said = [(one.revision, one.module.compatible_from) for one in reversed(scripts)]

    assert said[0] == ("0001", "0001")
    assert unsuited(said) == []
    assert unsuited([("0001", "0001"), ("0002", "0003"), ("0003", "0003"), ("0004", "0002")]) == ["0002", "0004"]


def test_a_process_reads_on_when_a_newer_release_adds_columns(empty_database: Database) -> None:
    """A statement that a connection has prepared stays good: `select *` would be refused from then on."""
    upgrade(empty_database.engine)
    with empty_database.writing() as connection:
        job = worker.enqueue(connection, "hr", HELLO, ANN, accounts=ACCOUNTS).id
    with empty_database.reading() as connection:
        for _ in range(8):
            told = everything_read(connection, job)
        with empty_database.writing() as other:
            for table in metadata.sorted_tables:
                other.execute(text(f"alter table {table.name} add column of_tomorrow integer"))

        assert told == everything_read(connection, job)


def everything_read(connection: Connection, job: str) -> list[object]:
    """By each function that reads whole rows."""
    return [
        worker.why(connection, job).job,
        worker.get_job(connection, job),
        job_rows(connection, job),
        worker.list_audit(connection),
        list_events(connection, state=None, limit=1),
        list_inbound(connection, account=None, event=None, limit=1),
        list_chats(connection, None, limit=1),
        list_lane_events(connection, None, 1),
        audit_rows(connection, ["none"]),
    ]


def test_a_new_revision_has_the_text_of_the_tables(empty_database: Database, tmp_path: Path) -> None:
    """Made of the template, it comes after the newest, and its texts compare as those of the tables."""
    shutil.copytree(migrate.migrations_path(), tmp_path / "migrations")
    config = migrate.config()
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    made = command.revision(config, "adds a text", rev_id="9999")
    assert isinstance(made, Script)
    tenant = metadata.tables["worker_jobs"].c.tenant.type
    with empty_database.reading() as connection, Operations.context(MigrationContext.configure(connection)):
        types = [one.compile(dialect=connection.dialect) for one in (made.module.key(60), tenant)]

    assert (head(), head()) == (made.down_revision, made.module.compatible_from)
    assert types[0] == types[1]


# -- expand, then contract ---------------------------------------------------------------------------------------------

Shape = dict[str, dict[str, tuple[str, bool]]]
"""Table -> column -> its type, and whether it may be null."""


def shape(connection: Connection) -> Shape:
    """Our tables, as the database itself says them."""
    look = inspect(connection)
    return {
        name: {column["name"]: (str(column["type"]), column["nullable"]) for column in look.get_columns(name)}
        for name in look.get_table_names()
        if name.startswith("worker_")
    }


def unique(connection: Connection) -> set[tuple[str, str]]:
    """Unique indexes: an insert that was good before may not be with one more."""
    look = inspect(connection)
    names = (name for name in look.get_table_names() if name.startswith("worker_"))
    return {(name, str(index["name"])) for name in names for index in look.get_indexes(name) if index["unique"]}


def needed(connection: Connection) -> set[tuple[str, str]]:
    """Columns without which nothing can be inserted."""
    look = inspect(connection)
    return {
        (name, column["name"])
        for name in look.get_table_names()
        if name.startswith("worker_")
        for column in look.get_columns(name)
        if not column["nullable"] and str(column["default"]).lower() in ("none", "null")
    }


Seen = tuple[Shape, set[tuple[str, str]], set[tuple[str, str]]]


def seen(connection: Connection) -> Seen:
    return shape(connection), unique(connection), needed(connection)


def taken_away(before: Seen, after: Seen) -> list[str]:
    """What an older release could miss or stumble over."""
    (tables, uniques, musts), (newer, more_uniques, more_musts) = before, after
    lost = [
        f"{table}.{column}"
        for table, columns in tables.items()
        for column, kind in columns.items()
        if newer.get(table, {}).get(column) != kind
    ]
    stricter = (more_uniques - uniques) | (more_musts - musts)
    return lost + [f"{table}.{name}" for table, name in sorted(stricter) if table in tables]


def steps(database: Database, revisions: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each revision but the first, and what it takes away from releases before it."""
    upgrade(database.engine, revisions[0])
    with database.reading() as connection:
        before = seen(connection)
    for revision in revisions[1:]:
        upgrade(database.engine, revision)
        with database.reading() as connection:
            after = seen(connection)
        yield revision, taken_away(before, after)
        before = after


def test_a_revision_takes_nothing_from_a_release_that_it_lets_in(empty_database: Database) -> None:
    """Tables and columns are first added, and dropped, renamed or made stricter only when no release uses them: by a
    revision that lets in none older than the one before it."""
    scripts = list(ScriptDirectory.from_config(migrate.config()).walk_revisions())[::-1]
    allowed = {one.revision: {one.revision, one.down_revision} for one in scripts}
    says = {one.revision: one.module.compatible_from for one in scripts}

    taking = dict(steps(empty_database, [script.revision for script in scripts]))

    assert {one: taken for one, taken in taking.items() if taken and says[one] not in allowed[one]} == {}


def test_a_step_that_takes_something_away_is_seen(empty_database: Database) -> None:
    """The test above would tell of each of them."""
    default = " default null" if empty_database.dialect.name == "sqlite" else ""
    changes = [
        "alter table worker_jobs drop column quiet_hours",
        "alter table worker_jobs rename column tenant to renter",
        f"alter table worker_jobs add column later integer not null{default}",
        "create unique index ix_later on worker_jobs (created_at)",
    ]
    upgrade(empty_database.engine)

    taken = []
    for change in changes:
        with empty_database.reading() as connection:
            before = seen(connection)
        with empty_database.engine.begin() as connection:
            connection.execute(text(change))
        with empty_database.reading() as connection:
            taken.append(len(taken_away(before, seen(connection))))

    assert taken == [1, 1, 1, 1]


def test_upgrades_at_once_wait_for_each_other(empty_database: Database) -> None:
    """Somebody else's upgrade is waited for, not run into (each process has its own Alembic, so: processes)."""
    url = empty_database.engine.url.render_as_string(hide_password=False)
    code = (
        "import sys; from worker.outbox.engine.database import make_engine;"
        "from worker.outbox.engine.migrate import upgrade;"
        "engine = make_engine(sys.argv[1]); upgrade(engine); engine.dispose()"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in running]

    assert [process.returncode for process in running] == [0, 0], errors
    with empty_database.reading() as connection:
        assert is_current(connection)


def within_an_upgrade(monkeypatch: pytest.MonkeyPatch, database: Database, look: Callable[[Connection], None]) -> None:
    """Upgrades, and looks in the place of Alembic's changes: with the lock held, in the upgrade's transaction."""
    looks: list[str] = []

    def instead(made: Config, revision: str) -> None:
        looks.append(revision)
        look(made.attributes["connection"])

    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", instead)
        upgrade(database.engine)
    assert looks == ["head"]


@pytest.mark.fewer_databases("PostgreSQL's lock of an upgrade")
def test_a_change_does_not_wait_long_for_a_table(postgres_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL: lock_timeout is short inside, so producers do not queue up behind a migration."""
    held = text("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()")

    def look(connection: Connection) -> None:
        assert connection.execute(text("show lock_timeout")).scalar_one() == "5s"
        assert connection.execute(held).scalar_one() == 1

    within_an_upgrade(monkeypatch, postgres_database, look)


@pytest.mark.fewer_databases("MariaDB's lock of an upgrade")
def test_upgrades_on_mariadb_go_one_after_another(mariadb_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named lock of this database, a short wait for tables; the connection goes back as it was."""
    engine = mariadb_database.engine
    lock = f"concat('{VERSION_TABLE}:', left(sha2(database(), 256), 32))"

    def look(connection: Connection) -> None:
        assert connection.execute(text("select @@session.lock_wait_timeout")).scalar_one() == 5
        inside = connection.execute(text("select connection_id()")).scalar_one()
        with engine.connect() as other:
            assert inside == other.execute(text(f"select is_used_lock({lock})")).scalar_one()

    within_an_upgrade(monkeypatch, mariadb_database, look)

    with engine.connect() as after:
        assert 5 < after.execute(text("select @@session.lock_wait_timeout")).scalar_one()
        assert after.execute(text(f"select is_free_lock({lock})")).scalar_one()


@pytest.mark.fewer_databases("MariaDB's lock of an upgrade")
def test_an_upgrade_that_waits_too_long_for_another_says_so(
    mariadb_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB: the lock is somebody else's for longer than we wait."""
    monkeypatch.setattr(migrate, "UPGRADE_LOCK_TIMEOUT_S", 0)

    def another(connection: Connection) -> None:
        with pytest.raises(ConfigurationError, match="try again"):
            upgrade(mariadb_database.engine)

    within_an_upgrade(monkeypatch, mariadb_database, another)


@pytest.mark.fewer_databases("only MariaDB commits each change of a table by itself")
@pytest.mark.mariadb
@pytest.mark.parametrize("lost", ["worker_processes", "worker_parts", "worker_site"])
def test_an_upgrade_that_was_cut_short_goes_on(mariadb_database: Database, lost: str) -> None:
    """MariaDB commits every change of a table at once: the next upgrade makes what is missing and keeps the rest."""
    engine, lane_key = mariadb_database.engine, text("select value from worker_site where name = 'lane_key'")
    with engine.begin() as connection:
        key = connection.execute(lane_key).scalar_one()
        connection.execute(text(f"drop table {lost}"))
        connection.execute(text(f"delete from {VERSION_TABLE}"))
        connection.execute(text("drop index worker_jobs_dedupe on worker_jobs"))

    upgrade(engine)

    with mariadb_database.reading() as connection:
        assert is_current(connection)
        assert (key == connection.execute(lane_key).scalar_one()) == (lost != "worker_site")
        assert {table.name for table in metadata.sorted_tables} <= set(inspect(connection).get_table_names())
        assert "worker_jobs_dedupe" in {index["name"] for index in inspect(connection).get_indexes("worker_jobs")}


def test_keys_compare_byte_for_byte(database: Database) -> None:
    """Neither case, nor accents, nor trailing spaces make two keys one, in the index as in a comparison."""
    keys = ["k", "K", "k ", "ḱ", "k\u0301"]
    with database.writing() as connection:
        for key in keys:
            connection.execute(text("insert into worker_leases values (:key, 'p', 0)"), {"key": key})

    with database.reading() as connection:
        for key in keys:
            found = connection.execute(text("select name from worker_leases where name = :key"), {"key": key})
            assert [key] == list(found.scalars())


def test_the_applications_autogenerate_leaves_ours_alone(database: Database) -> None:
    """Beside our tables, with include_object, the application's own autogenerate has nothing to do."""
    own = MetaData()
    Table("application_note", own, Column("id", Integer, primary_key=True))
    own.create_all(database.engine)
    try:
        with database.reading() as connection:
            assert differences(connection, own, include_object=include_object) == []
            assert differences(connection, own)
    finally:
        own.drop_all(database.engine)


def test_the_environment_refuses_to_run_without_a_connection() -> None:
    """`alembic upgrade` by hand would skip the lock: it is told what to run."""
    with pytest.raises(SystemExit, match="worker db upgrade"):
        command.upgrade(migrate.config(), "head")


def test_migrations_that_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A broken installation is one clear sentence."""
    monkeypatch.setattr(migrate, "__file__", str(tmp_path / "worker" / "outbox" / "engine" / "migrate.py"))
    with pytest.raises(ConfigurationError, match="install the package again"):
        migrate.migrations_path()
    folder = tmp_path / "worker" / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").touch()
    with pytest.raises(ConfigurationError, match="no revision"):
        head()
