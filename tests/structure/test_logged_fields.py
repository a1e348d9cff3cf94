"""The code logs the fields that a line may have: none of its own is dropped, and no other is let through."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from tools.source import nodes
from worker.config.logging import COUNTS, FIELDS
from worker.domain.pacing.lane import LaneEvent

ROOT = Path(__file__).parents[2]
METHODS = {"bind", "debug", "info", "warning", "error", "critical", "exception"}
OF_EVERY_LINE = {"event", "level", "timestamp", "logger", "staging"}
"""What the logging itself puts into a line."""
HOUSEKEEPING = (ROOT / "worker/delivery/maintenance/housekeeping.py").read_text(encoding="utf-8")
TASKS = set(re.findall(r'_Task\(\s*"(\w+)"', HOUSEKEEPING))
STARRED = {
    "attempt": {"request_id", "tags", "trace_id"},
    "lane": {field.name for field in fields(LaneEvent)},
    "broker": {"error"},
    "purged": TASKS,
}
"""Lines whose fields do not all stand in the call, by their event (of the broker's the module): the others."""


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """All calls of a logger."""
    for path in sorted(file for package in ("worker", "worker_simulator") for file in (ROOT / package).rglob("*.py")):
        for node in nodes(path):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log" | "logger"), attr=method)) if method in METHODS:
                    yield path, node


def logged(path: Path, call: ast.Call) -> set[str]:
    """The fields of one line."""
    named = {keyword.arg for keyword in call.keywords if keyword.arg}
    if len(named) == len(call.keywords):
        return named
    event = call.args[0].value if isinstance(call.args[0], ast.Constant) else path.stem
    return named | STARRED[str(event)]


def test_every_field_that_is_logged_is_listed() -> None:
    """An unlisted one would leave its name alone in the line, and what it told would be missed in a failure."""
    dropped = {
        f"{path.relative_to(ROOT)}:{call.lineno}": sorted(unlisted)
        for path, call in calls()
        if (unlisted := logged(path, call) - FIELDS - COUNTS)
    }

    assert dropped == {}


def test_only_what_is_logged_is_listed() -> None:
    """A field that nothing logs is a gap through which a later line may let a text."""
    assert set().union(*(logged(path, call) for path, call in calls())) | OF_EVERY_LINE == FIELDS | COUNTS


def test_only_the_counts_of_housekeeping_are_let_through_as_numbers() -> None:
    """Each of its tasks has one, whatever the name means elsewhere."""
    assert COUNTS == TASKS - FIELDS


def test_an_event_is_a_name() -> None:
    """A value that is put into its text would pass without a field."""
    built = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path, call in calls()
        if len(call.args) > 1 or any(not isinstance(arg, ast.Constant | ast.Name | ast.IfExp) for arg in call.args)
    ]

    assert built == []
