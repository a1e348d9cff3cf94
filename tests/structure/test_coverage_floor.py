"""`make coverage` fails where a layer is below its floor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.coverage_floor import main


@pytest.mark.parametrize(
    ("covered", "status"),
    [
        ({"worker/domain/a.py": 95, "worker/cli/b.py": 85, "worker_simulator/demo/c.py": 85}, 0),
        ({"worker/domain/a.py": 95, "worker_simulator/a.py": 100, "worker_simulator/testing/b.py": 84}, 1),
        ({"worker/domain/a.py": 100, "worker/outbox/a.py": 90, "worker/__init__.py": 85}, 0),
        ({"worker/domain/a.py": 94, "worker/cli/b.py": 100}, 1),
        ({"worker/domain/a.py": 100, "worker/cli/b.py": 84}, 1),
        ({}, 1),
    ],
)
def test_each_layer_has_a_floor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], covered: dict[str, int], status: int
) -> None:
    """95 % for the four that hold the guarantees together, 85 % for each of the others; no figures are no pass."""
    files = {path: {"summary": {"covered_lines": n, "num_statements": 100}} for path, n in covered.items()}
    report = tmp_path / "coverage.json"
    report.write_text(json.dumps({"files": files}), encoding="utf-8")

    assert status == main([str(report)])
    assert 2 == main([])
    assert (status == 1 and bool(covered)) == ("short" in capsys.readouterr().out)
