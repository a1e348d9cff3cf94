"""docs/simulator.md names every path and control call."""

import re
import shlex
from pathlib import Path

from worker_simulator import settings
from worker_simulator.control import CONTROL_ROUTES
from worker_simulator.settings import AppSettings, SettingsGroup, SimulatorSettings, SuiteSettings, WebhookKey
from worker_simulator.wire.routes import ROUTES

DOCS = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")


def test_every_path_and_control_call_is_documented() -> None:
    """By its name."""
    assert [path for path in ROUTES if f"`{path.removeprefix('/cgi-bin/')}`" not in DOCS] == []
    said = re.findall(r"^\| ([A-Z, ]+) `(\w+)", DOCS, re.MULTILINE)
    known = {(method, name) for methods, name in said for method in methods.split(", ")}
    assert {pair for pair in CONTROL_ROUTES if pair != ("DELETE", "inbox")} == known
    assert "DELETE clears" in DOCS


def test_a_call_is_typed_as_it_stands() -> None:
    """Neither curl nor a shell (zsh) takes a character of its address for a pattern of several."""
    lines = re.findall(r"^curl .*", DOCS, re.MULTILINE)
    of_curl = [line for line in lines if re.search(r"[][{}]", shlex.split(line)[2])]
    of_shells = [line for line in lines if re.match(r"curl -s [^' ]*[?*]", line)]

    assert lines
    assert of_curl == []
    assert of_shells == []


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
