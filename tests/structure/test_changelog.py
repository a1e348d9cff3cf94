"""CHANGELOG.md has one heading a release, the newest first, and the chart starts the newest."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
FIRST = "0.1.0"
"""The release that is yet to come, as long as none is out."""


def faults(text: str) -> list[str]:
    """The headings that are not as Keep a Changelog has them, or not in order."""
    first, *releases = re.findall(r"^## (.*)$", text, re.MULTILINE)
    wrong = [] if first == "Unreleased" else [first]
    wrong += [one for one in releases if not re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", one)]
    wrong += [later for later, older in pairwise(releases) if not _numbers(later) > _numbers(older)]
    return wrong + [one for one in re.findall(r"^### (.*)$", text, re.MULTILINE) if one not in SECTIONS]


def _numbers(heading: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", heading.partition(" ")[0])]


def newest(text: str) -> str:
    """The newest release of a changelog; before the first one, that one."""
    return next(iter(re.findall(r"^## (\d\S*)", text, re.MULTILINE)), FIRST)


def test_the_changelog_is_by_release() -> None:
    """Unreleased, then each release with its day."""
    assert [] == faults((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("## Unreleased\n### Added\n## 0.10.0 - 2027-01-01\n## 0.9.1 - 2026-12-31\n### Fixed\n", []),
        ("## Unreleased\n## 0.9.0 - 2026-12-31\n## 0.10.0 - 2027-01-01\n", ["0.9.0 - 2026-12-31"]),
        ("## 0.1.0 - 2026-12-31\n", ["0.1.0 - 2026-12-31"]),
        ("## Unreleased\n## 0.1.0\n### New\n", ["0.1.0", "New"]),
    ],
)
def test_a_wrong_heading_is_found(text: str, wrong: list[str]) -> None:
    """By its order, its form or its name."""
    assert wrong == faults(text)


def test_the_chart_starts_the_newest_release() -> None:
    """Its images and its labels have that version, and the chart itself, too."""
    chart = yaml.safe_load((ROOT / "deploy/helm/im-delivery-worker/Chart.yaml").read_text(encoding="utf-8"))
    release = newest((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))

    assert (release, release) == (chart["version"], chart["appVersion"])
    assert "0.10.0" == newest("## Unreleased\n## 0.10.0 - 2027-01-01\n## 0.9.1 - 2026-12-31\n")
