"""Writes deploy/kubernetes out of the Helm chart: `python -m tools.manifests`, which is `make manifests`.

The plain manifests are the chart with its default values, under `optional` what it adds when it is asked to, and under
`operators` what it adds where KEDA and the Prometheus operator are. A test compares them, so neither can drift.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from helm_python.chart import Chart

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy/helm/im-delivery-worker"
PLAIN = ROOT / "deploy/kubernetes"
NAME = "im-delivery-worker"
WITH_CONSOLE = {"console": {"enabled": True}}
WITH_OPERATORS = {"autoscaling": {"enabled": True}, "prometheusOperator": {"enabled": True}}
HEAD = "# Written by `make manifests` out of deploy/helm/im-delivery-worker.\n"


def rendered(values: Mapping[str, Any], release: str = NAME) -> dict[str, str]:
    """The chart's templates as `helm template` shows them, by file name; none that come out empty."""
    with Chart.load(CHART) as chart:
        found = chart.render(values=dict(values), name=release, namespace="default")
    return {path.rpartition("/")[2]: text for path, text in found.items() if text.strip()}


def manifests() -> Iterator[tuple[Path, str]]:
    """Each file of deploy/kubernetes with what belongs into it."""
    core = rendered({})
    written = {PLAIN / name: text for name, text in core.items()}
    for folder, values in (("optional", WITH_CONSOLE), ("operators", WITH_OPERATORS)):
        written |= {PLAIN / folder / name: text for name, text in rendered(values).items() if name not in core}
    for path, text in written.items():
        lines = [line.rstrip() for line in text.strip().splitlines()]
        yield path, HEAD + "\n".join(lines).removeprefix("---\n") + "\n"


if __name__ == "__main__":
    for path, text in manifests():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
