"""`python -m tools.coverage_floor FILE`: holds a report of `coverage json` against a floor for each layer.

Exit status 1 names every layer below its floor.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

CORE = ("domain", "channels", "outbox", "delivery")
CORE_FLOOR = 95.0
"""Of these four together: they hold the guarantees."""
FLOOR = 85.0
"""Of each of the others."""


def percentages(report: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Layer -> (lines and branches covered, its floor), in percent."""
    covered: Counter[str] = Counter()
    statements: Counter[str] = Counter()
    for path, file in report["files"].items():
        layer = _layer(*Path(path).parts)
        name = " + ".join(CORE) if layer in CORE else layer
        summary = file["summary"]
        covered[name] += summary["covered_lines"] + summary.get("covered_branches", 0)
        statements[name] += summary["num_statements"] + summary.get("num_branches", 0)
    return {
        name: (100 * covered[name] / total, CORE_FLOOR if "+" in name else FLOOR)
        for name, total in sorted(statements.items())
        if total
    }


def _layer(package: str, *inside: str) -> str:
    """The folder of the worker, or one package whole; the test kit stands for itself."""
    is_apart = len(inside) > 1 and (package == "worker" or inside[0] == "testing")
    return inside[0] if is_apart else package


def main(argv: list[str]) -> int:
    """Prints a line a layer; 1 when one is below its floor, 2 without a report."""
    if len(argv) != 1:
        print("usage: python -m tools.coverage_floor FILE")
        return 2
    found = percentages(json.loads(Path(argv[0]).read_text(encoding="utf-8")))
    for name, (percent, floor) in found.items():
        print(f"{name}: {percent:.1f} % (floor {floor:.0f} %) {'ok' if percent >= floor else 'short'}")
    return 0 if found and all(percent >= floor for percent, floor in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
