"""A channel is a folder, a room in the simulator and a line: nothing else of the program knows its name."""

from __future__ import annotations

import re
from pathlib import Path

import worker
from worker.config.channels import REGISTRY

ROOT = Path(worker.__file__).parent
ROOMS = ("channels/", "crypto/", "drawing/", "config/channels.py", "__init__.py")
"""A message is drawn by its channel, and the producer's door names the messages for type checkers."""


def test_nothing_else_names_a_channel() -> None:
    """No `if channel == ...` anywhere in the pipeline."""
    names = re.compile("|".join(rf"\b{name}\b" for name in REGISTRY))
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(ROOT.rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith(ROOMS)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if names.search(line)
    ]

    assert found == []
