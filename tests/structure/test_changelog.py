"""CHANGELOG.md has one heading a release and is a page before the first one, which is the one that the chart starts."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
RELEASES = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)


def test_the_changelog_is_by_release() -> None:
    """What is to come stands first; a release has its day."""
    assert RELEASES[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", release) for release in RELEASES[1:])
    assert set(re.findall(r"^### (.*)$", TEXT, re.MULTILINE)) <= SECTIONS


def test_before_the_first_release_it_is_a_page() -> None:
    """It says what that release has, not how it came about."""
    assert len(RELEASES) > 1 or len(TEXT.split()) <= 650


def test_the_chart_starts_the_newest_release() -> None:
    """Its images and its labels have that version, and the chart itself, too."""
    chart = yaml.safe_load((ROOT / "deploy/helm/im-delivery-worker/Chart.yaml").read_text(encoding="utf-8"))
    newest = RELEASES[1].partition(" ")[0] if len(RELEASES) > 1 else "0.1.0"

    assert (chart["version"], chart["appVersion"]) == (newest, newest)
