"""Alerts, their tests and their runbooks belong together; and what a runbook tells a person to type is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from tests.docs.page import ROOT
from worker.cli.commands import app

RULES = ROOT / "deploy/prometheus"
PAGES = sorted((ROOT / "docs/runbooks").glob("*.md"))
SECTIONS = ("**Seen as**", "**Do**")
WITHOUT_END = {"README.md", "it-was-sent-twice.md", "restored-from-a-backup.md", "the-vendor-refuses-the-ip.md"}


def _read(name: str) -> Any:
    return yaml.safe_load((RULES / name).read_text(encoding="utf-8"))


ALERTS: dict[str, Any] = {rule["alert"]: rule for group in _read("rules.yaml")["groups"] for rule in group["rules"]}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_urgent_it_is_and_what_to_do(name: str) -> None:
    """Its page exists, and names it."""
    rule = ALERTS[name]

    page = ROOT / rule["annotations"]["runbook"]

    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert f"`{name}`" in page.read_text(encoding="utf-8")


def test_each_alert_is_raised_and_ended_in_a_test() -> None:
    """What `promtool test rules` runs."""
    text = (RULES / "rules_test.yaml").read_text(encoding="utf-8")

    counted = {name: text.count(f'alertname="{name}"') for name in ALERTS}

    assert {} == {name: times for name, times in counted.items() if times < 2}
    assert ["rules.yaml"] == _read("rules_test.yaml")["rule_files"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_tells_how_it_is_seen_and_what_to_do(page: Path) -> None:
    """And every command in it is one that there is; every alert, too."""
    text = page.read_text(encoding="utf-8")
    if page.name != "README.md":
        assert [] == [words for words in SECTIONS if words not in text]
    if page.name not in WITHOUT_END:
        assert "**Ends**" in text
    assert [] == [words for words in re.findall(r"`worker ([a-z-]+(?: [a-z]+)?)[^`]*`", text) if not _is_command(words)]
    named = re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", text)
    assert [] == [name for name in named if name not in ALERTS]


def _is_command(words: str) -> bool:
    first, _, second = words.partition(" ")
    group: Any = typer.main.get_command(app)
    found = group.commands.get(first)
    return found is not None and (not second or second in getattr(found, "commands", {second: None}))
