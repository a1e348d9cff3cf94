"""The chart starts the newest release of CHANGELOG.md, or the first one while none is out."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
RELEASES = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)


def test_the_chart_starts_the_newest_release() -> None:
    """Its images and its labels have that version, and the chart itself, too."""
    chart = yaml.safe_load((ROOT / "deploy/helm/im-delivery-worker/Chart.yaml").read_text(encoding="utf-8"))
    newest = RELEASES[1].partition(" ")[0] if len(RELEASES) > 1 else "0.1.0"

    assert (chart["version"], chart["appVersion"]) == (newest, newest)
