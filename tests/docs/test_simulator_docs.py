"""docs/simulator.md names every path, control call and setting, and marks what the vendor left unconfirmed."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from worker.simulator import settings
from worker.simulator.control import ACTS
from worker.simulator.settings import AppSettings, SettingsGroup, SimulatorSettings, SuiteSettings, WebhookKey
from worker.simulator.wire.routes import ROUTES

DOCS = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
ROWS = [line for line in DOCS.splitlines() if line.startswith("| `")]


def leaves(model: type[SettingsGroup], prefix: str = "") -> list[tuple[str, type[SettingsGroup], str]]:
    """Every setting with its full name, the group it is in, and its own name there."""
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, SettingsGroup):
            found += leaves(inner, f"{prefix}{name}.")
        else:
            found.append((prefix + name, model, name))
    return found


def note_on(model: type[SettingsGroup], name: str) -> str:
    """The docstring below a setting."""
    body = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(body, ast.ClassDef)
    for at, node in enumerate(body.body[:-1]):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            after = body.body[at + 1]
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                return str(after.value.value)
    return ""


@pytest.mark.parametrize(("full", "model", "name"), leaves(SimulatorSettings), ids=lambda value: str(value))
def test_every_setting_is_documented(full: str, model: type[SettingsGroup], name: str) -> None:
    """By its full name, in a row that has the mark where the vendor left it unconfirmed."""
    rows = [row for row in ROWS if f"`{full}`" in row]

    assert rows
    if note_on(model, name).startswith("(unconfirmed)"):
        assert any("**(?)**" in row for row in rows)


def test_every_setting_of_an_app_is_documented() -> None:
    """In the row of apps."""
    (row,) = [row for row in ROWS if row.startswith("| `apps`")]

    assert set(AppSettings.model_fields) == set(re.findall(r"\w+", row)) & set(AppSettings.model_fields)


def test_every_setting_of_a_suite_is_documented() -> None:
    """In the row of suites."""
    (row,) = [row for row in ROWS if row.startswith("| `suite.known`")]

    assert set(SuiteSettings.model_fields) == set(re.findall(r"\w+", row)) & set(SuiteSettings.model_fields)


def test_every_setting_of_a_webhook_is_documented() -> None:
    """In the row of keys."""
    (row,) = [row for row in ROWS if row.startswith("| `webhook.keys`")]

    assert set(WebhookKey.model_fields) <= set(re.findall(r"\w+", row))


def test_no_setting_is_documented_that_is_none() -> None:
    """What has a default in brackets in the table is a setting."""
    known = {full for full, _, _ in leaves(SimulatorSettings)}
    named = {name for row in ROWS for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)?)` \[", row)}

    assert named <= known


def test_every_path_and_control_call_is_documented() -> None:
    """By its name."""
    assert [] == [path for path in ROUTES if f"`{path.removeprefix('/cgi-bin/')}`" not in DOCS]
    said = re.findall(r"^\| ([A-Z, ]+) `(\w+)", DOCS, re.MULTILINE)
    known = {(method, name) for methods, name in said for method in methods.split(", ")}
    assert {pair for pair in ACTS if pair != ("DELETE", "inbox")} == known
    assert "DELETE clears" in DOCS


def test_every_group_is_a_part_of_the_whole() -> None:
    """No group of settings is left over."""
    groups = {field.annotation for field in SimulatorSettings.model_fields.values()}
    named = {getattr(settings, name) for name in settings.__all__} - {
        SettingsGroup,
        SimulatorSettings,
        AppSettings,
        SuiteSettings,
        WebhookKey,
    }

    assert named <= groups
