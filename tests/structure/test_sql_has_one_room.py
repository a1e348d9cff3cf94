"""Every SQL statement, and everything that differs between databases, stands in the outbox."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

WORKER = Path(__file__).parents[2] / "worker"
SQL = re.compile(r"\s*(select\s[^.]+\sfrom\s|select$|select \{|update \w+ set\s|insert into\s|delete from\s)")
NAMES = {"mysql", "mariadb", "sqlite", "postgresql"}


def test_no_sql_outside_the_outbox() -> None:
    """In no text but a docstring."""
    assert [] == [place for place, text in _texts() if SQL.match(text)]


def test_no_database_is_told_by_its_name_outside_the_outbox() -> None:
    """Settings and their defaults name drivers in URLs; nothing is decided by a dialect."""
    assert [] == [place for place, text in _texts() if text in NAMES]
    attributes = [(path, node) for path, tree in _trees() for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert [] == [f"{path}:{node.lineno}" for path, node in attributes if node.attr == "dialect"]


def _texts() -> Iterator[tuple[str, str]]:
    for path, tree in _trees():
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
                yield f"{path}:{node.lineno}", node.value


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(WORKER.rglob("*.py")):
        name = str(path.relative_to(WORKER))
        if not name.startswith("outbox/"):
            yield name, ast.parse(path.read_text(encoding="utf-8"))
