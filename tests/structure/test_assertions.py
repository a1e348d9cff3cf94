"""What the program does is the same under `python -O`, which leaves each assertion out."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "worker_simulator/testing/channel_suite.py"
"""Its assertions are tests, which pytest rewrites."""
SOURCES = [
    path
    for folder in ("worker", "worker_simulator", "migrations")
    for path in (ROOT / folder).rglob("*.py")
    if path != SUITE
]


def test_an_assertion_only_looks() -> None:
    """No call but isinstance stands in one: what it did would not be done."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if "assert " in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assert)
        for inner in ast.walk(node.test)
        if isinstance(inner, ast.Call) and ast.unparse(inner.func) != "isinstance"
    ]

    assert found == []
