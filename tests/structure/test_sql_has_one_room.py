"""Every SQL statement stands in the outbox, and all that differs between databases in its engine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.source import nodes

PACKAGES = [Path(__file__).parents[2] / name for name in ("worker", "worker_simulator")]
SQL = re.compile(r"\s*(select\s[^.]+\sfrom\s|select$|select \{|update \w+ set\s|insert into\s|delete from\s)")
NAMES = {"mysql", "mariadb", "sqlite", "postgresql"}
A_NAME = re.compile("mysql|mariadb|sqlite|postgres", re.IGNORECASE)


def test_no_sql_outside_the_outbox() -> None:
    """In no text but a docstring. What only the test kit asks of the tables is in a file of its own."""
    assert [place for place, text in _texts(_dependencies()) if SQL.match(text)] == []


def test_columns_are_named() -> None:
    """After an upgrade that adds a column PostgreSQL refuses `select *` of a table where a connection prepared it."""
    lines = (line for _, path in _files() for line in path.read_text(encoding="utf-8").splitlines())
    found = [line for line in lines if re.search(r"select (\w\.)?\*", line) and ".json_rows(" not in line]

    assert found == []


def test_no_database_is_told_by_its_name_outside_the_outbox() -> None:
    """Settings and their defaults name drivers in URLs; nothing is decided by a dialect."""
    files = list(_dependencies())
    assert [place for place, text in _texts(files) if text in NAMES] == []
    attributes = [(name, node) for name, path in files for node in nodes(path) if isinstance(node, ast.Attribute)]
    assert [f"{name}:{node.lineno}" for name, node in attributes if node.attr == "dialect"] == []


def test_no_database_is_told_by_its_name_outside_the_engine() -> None:
    """The rest of the outbox asks a `Dialect` for what differs, so neither a text nor an identifier names a database.

    `tables/` is left out: columns and indexes are declared with SQLAlchemy's own words for each database
    (`sqlite_where`, `mysql_engine`, `with_variant`), which belong beside the column. The engine lies above it.
    """
    files = list(_rooms())
    texts = {place for place, text in _texts(files) if A_NAME.search(text)}
    assert sorted(texts | {place for place, name in _identifiers(files) if A_NAME.search(name)}) == []
    assert [f"{name}:{node.lineno}" for name, path in files for node in nodes(path) if _is_name(node)] == []


def _is_name(node: ast.AST) -> bool:
    """Whether a node reads the name of a dialect, SQLAlchemy's or ours."""
    if not isinstance(node, ast.Attribute) or node.attr != "name":
        return False
    owner = node.value.func if isinstance(node.value, ast.Call) else node.value
    return (owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")) in ("dialect", "dialect_of")


def _texts(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, str]]:
    for name, path in files:
        told = {id(node.value) for node in nodes(path) if isinstance(node, ast.Expr)}
        for node in nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
                yield f"{name}:{node.lineno}", node.value


def _identifiers(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, str]]:
    for name, path in files:
        for node in nodes(path):
            for found in (getattr(node, field, None) for field in ("id", "attr", "name", "asname", "arg", "module")):
                if isinstance(found, str):
                    yield f"{name}:{getattr(node, 'lineno', 0)}", found


def _dependencies() -> Iterator[tuple[str, Path]]:
    with_sql = ("worker/outbox/", "worker_simulator/testing/tables.py")
    return ((name, path) for name, path in _files() if not name.startswith(with_sql))


def _rooms() -> Iterator[tuple[str, Path]]:
    room, closed = "worker/outbox/", ("worker/outbox/engine/", "worker/outbox/tables/")
    return ((name, path) for name, path in _files() if name.startswith(room) and not name.startswith(closed))


def _files() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            yield f"{package.name}/{path.relative_to(package)}", path
