"""One panel of a Grafana dashboard, and what most of ours ask Prometheus.

Knows the JSON model of Grafana's panels; which panels there are is in `dashboards.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "[$__rate_interval]"
Steps = Sequence[tuple[float | None, str]]
BAD_ABOVE_0: Steps = ((None, "green"), (1, "red"))
BAD_AT_0: Steps = ((None, "red"), (1, "green"))
PLAIN: Steps = ((None, "blue"),)


def late_after(seconds: float) -> Steps:
    """Green, then yellow, and red at three times as much."""
    return ((None, "green"), (seconds, "yellow"), (3 * seconds, "red"))


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; what it asks, each expression with the legend of its series."""

    title: str
    asks: Mapping[str, str]
    kind: Literal["stat", "timeseries", "bargauge"] = "timeseries"
    unit: str = "short"
    steps: Steps = PLAIN
    runbook: str = ""
    """The section of docs/runbooks.md to read when it looks wrong; empty: none."""
    text: str = ""

    @property
    def height(self) -> int:
        """In Grafana's grid units."""
        return 4 if self.kind == "stat" else 8

    def model(self, number: int, x: int, y: int, width: int) -> dict[str, Any]:
        """The panel at a place of the grid."""
        steps = [{"color": color, "value": value} for value, color in self.steps]
        color = {"mode": "palette-classic" if self.kind == "timeseries" else "thresholds"}
        defaults: dict[str, Any] = {"unit": self.unit, "min": 0, "color": color}
        if self.kind == "bargauge":
            defaults["max"] = 1
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        link = {"title": f"Runbook: {self.runbook}", "url": f"${{runbooks}}#{self.runbook}", "targetBlank": True}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.text,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": width, "h": self.height},
            "targets": [
                {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
                for n, (expr, legend) in enumerate(self.asks.items())
            ],
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": _OPTIONS[self.kind],
            "links": [link] if self.runbook else [],
        }


_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "stat": {"reduceOptions": _LAST, "colorMode": "background", "graphMode": "none"},
    "bargauge": {"reduceOptions": _LAST, "orientation": "horizontal", "displayMode": "basic"},
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
}


def stat(title: str, expr: str, unit: str = "short", steps: Steps = PLAIN, runbook: str = "", text: str = "") -> Panel:
    """One number."""
    return Panel(title, {expr: ""}, "stat", unit, steps, runbook, text)


def rate(metric: str, by: str, where: str = "") -> dict[str, str]:
    """Increases a second of a counter, by a label."""
    return {f"sum by ({by}) (rate({metric}{{{where}}}{RATE}))".replace("{}", ""): f"{{{{{by}}}}}"}


def quantiles(metric: str, by: str) -> dict[str, str]:
    """The median and the 99th percentile of a histogram, by a label."""
    buckets = f"sum by (le, {by}) (rate({metric}_bucket{RATE}))"
    return {f"histogram_quantile({q}, {buckets})": f"p{int(q * 100)} {{{{{by}}}}}" for q in (0.5, 0.99)}
