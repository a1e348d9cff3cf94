"""Every revision, up and down, on tables that are full: the rows stay, and mean the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Connection, Integer, LargeBinary, String, inspect, text
from sqlalchemy.dialects.mysql import MEDIUMBLOB, TINYINT

import worker
from rig.databases import scratch_mariadb, scratch_postgres
from tests.support.producing import ACCOUNTS, ANN, HELLO
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.migrate import COMPATIBLE_FROM, config, downgrade, upgrade
from worker.outbox.tables import VERSION_TABLE

FOREVER = 4_611_686_018_427_387_904
ROWS = 24
ODD = ("", " ", "plain ", "%s :x %(y)s", "'\"\\`", "é e\u0301", "你好😀\U0002000b", "\t\n", "NULL", "[]")
NUMBERS = (0, 1, -1, 7, 32_767)
MESSAGES = (
    '{"type": "text", "text": {"content": "\\"files\\" 😀"}}',
    '{"files": {"image": {"blob": "b1"}, "video": {"blob": "b2", "name": "😀"}, "url": {"url": "https://x"}}}',
    "{}",
    '{"files": null}',
    '{"files": ["b1"], "about": 1}',
    '{"files": {"image": "b1"}}',
    '["files", "files"]',
    'no JSON: "files"',
    "",
)
"""What jobs of this release and what nobody of ours ever wrote: an upgrade must not stop at it."""
PEOPLE = ("Ann", "ANN", "ann", None, "ÄNN", "änn", "ΣΟΦ", "a😀B", "", " Ann")
"""Several are one person when they are compared."""

Rows = dict[tuple[Any, ...], dict[str, Any]]
Tables = dict[str, Rows]


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
    with scratch(f"worker_test_{os.getpid()}_filled") as url:
        database = Database(make_engine(url))
        yield database
        database.close()


def revisions() -> list[str]:
    """From the first to the head."""
    return [script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()][::-1]


def everything(connection: Connection) -> Tables:
    """Every row of every table of ours, by its primary key; but the one that is about the revision itself."""
    look, found = inspect(connection), {}
    for name in sorted(look.get_table_names()):
        if name.startswith("worker_") and name != VERSION_TABLE:
            keys = look.get_pk_constraint(name)["constrained_columns"]
            rows = connection.execute(text(f"select * from {name}")).mappings()
            found[name] = {tuple(row[key] for key in keys): dict(row) for row in rows}
    found.get("worker_site", {}).pop((COMPATIBLE_FROM,), None)
    return found


def fill(connection: Connection, revision: str) -> None:
    """More rows into every table that is there, whatever its columns are at this revision."""
    look = inspect(connection)
    for name in look.get_table_names():
        if not name.startswith("worker_") or name == VERSION_TABLE:
            continue
        columns = look.get_columns(name)
        keys = look.get_pk_constraint(name)["constrained_columns"]
        rows = [row(name, columns, keys, revision, n) for n in range(ROWS)]
        names = ", ".join(column["name"] for column in columns)
        marks = ", ".join(f":{column['name']}" for column in columns)
        connection.execute(text(f"insert into {name} ({names}) values ({marks})"), rows)


def row(table: str, columns: list[Any], keys: list[str], revision: str, n: int) -> dict[str, Any]:
    """The n-th: every third has null wherever it may."""
    given = {column["name"]: value_of(column, keys, revision, n) for column in columns}
    for name, make in SPECIAL.get(table, {}).items():
        if name in given:
            given[name] = make(n)
    return given


def value_of(column: Any, keys: list[str], revision: str, n: int) -> Any:
    kind = column["type"]
    if column["nullable"] and n % 3 == 0 and column["name"] not in keys:
        return None
    if isinstance(kind, Boolean | TINYINT):
        return n % 2 == 0
    if isinstance(kind, LargeBinary | MEDIUMBLOB):
        return bytes(range(256))
    if isinstance(kind, Integer):
        return 1_000 * int(revision) + n if column["name"] in keys else NUMBERS[n % len(NUMBERS)]
    assert isinstance(kind, String), column
    words = f"{revision[-2:]}{n:03}" if kind.length is None or kind.length > 10 else str(n)
    return (words + ODD[n % len(ODD)] + "x" * (0 if n % 5 else 300))[: kind.length or 400]


SPECIAL: dict[str, dict[str, Callable[[int], Any]]] = {
    "worker_jobs": {"message": lambda n: MESSAGES[n % len(MESSAGES)]},
    "worker_chats": {"person": lambda n: PEOPLE[n % len(PEOPLE)]},
    "worker_parts": {
        "state": lambda n: n % 2,
        "not_before": lambda n: FOREVER if n % 4 < 3 else n,
        "waits_on": lambda n: f"part-{n}" if n % 3 == 0 else None,
        "order_id": lambda n: "t" if n % 5 else None,
    },
}


def walk(database: Database, move: Callable[..., None], to: str) -> tuple[Tables, Tables]:
    """One step; the rows as they have to be after it, and as they are: of the tables and columns that both know."""
    with database.reading() as connection:
        before = everything(connection)
    move(database.engine, to)
    with database.reading() as connection:
        after = everything(connection)
    shared = before.keys() & after.keys()
    return tuple({name: common(one[name], before[name], after[name]) for name in shared} for one in (before, after))  # type: ignore[return-value]


def common(rows: Rows, *both: Rows) -> Rows:
    names = set.intersection(*({name for row in one.values() for name in row} for one in both))
    return {key: {name: row[name] for name in names} for key, row in rows.items()}


def test_every_step_up_and_down_keeps_every_row(empty_database: Database) -> None:
    """One step after the other on full tables, filled further at each; then down the same way, to nothing and up."""
    database, steps = empty_database, revisions()
    for revision in steps:
        before, after = walk(database, upgrade, revision)
        assert before == after, revision
        with database.writing() as connection:
            fill(connection, revision)
    for revision in [*steps[-2::-1], "base"]:
        before, after = walk(database, downgrade, revision)
        assert before == after, revision
    upgrade(database.engine)

    with database.writing() as connection:
        job = worker.enqueue(connection, "hr", HELLO, ANN, accounts=ACCOUNTS, order_key="o", dedupe_key="d").id
        assert {(job,)} == set(everything(connection)["worker_jobs"])


def test_new_columns_of_old_rows_say_nothing(empty_database: Database) -> None:
    """What a revision adds to the rows that are there is null or zero: what the release before would have meant."""
    database, steps = empty_database, revisions()
    upgrade(database.engine, steps[0])
    with database.writing() as connection:
        fill(connection, steps[0])
        old = everything(connection)

    upgrade(database.engine)

    with database.reading() as connection:
        new = everything(connection)
    for name, rows in old.items():
        for key, old_row in rows.items():
            added = {column: value for column, value in new[name][key].items() if column not in old_row}
            assert {} == {column: value for column, value in added.items() if value not in (None, 0)}, name
