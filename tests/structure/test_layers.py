"""The rooms, and how long a function may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools.source import nodes

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 50


@pytest.mark.parametrize("folder", ["worker", "worker_simulator", "bench", "migrations"])
def test_no_function_is_longer_than_fifty_lines(folder: str) -> None:
    """A function is read at one glance; docstring and comments count."""
    long = [
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in (ROOT / folder).rglob("*.py")
        if "versions" not in path.parts  # a migration is a list
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST
    ]

    assert long == []


def test_the_simulator_loads_without_the_worker() -> None:
    """`worker simulator` imports nothing of delivery, SQL or Celery."""
    code = (
        "import sys, worker.cli, worker.cli.commands, worker_simulator.__main__;"
        "print([name for name in ('celery', 'sqlalchemy', 'worker.delivery', 'worker.outbox') if name in sys.modules])"
    )

    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
