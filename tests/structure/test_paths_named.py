"""Files that prose names are there: in the documents, in docstrings and in comments."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+\.py)`")
THEIRS = {"order.py", "worker.py", "env.py", "entapp/client/client.py", "entapp/message/message.py"}
"""In an application's own folder, where `worker.py` would hide the package; and in Youdu's SDK."""


def test_a_file_that_prose_names_is_there() -> None:
    """A name alone, or its path from some folder on."""
    tops = ("worker", "worker_simulator", "tests", "tools", "bench", "migrations")
    places = [path for top in tops for path in (ROOT / top).rglob("*.py")]
    there = {"/".join(path.relative_to(ROOT).parts[-depth:]) for path in places for depth in range(1, 9)}
    prose = [*places, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]

    gone = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in prose
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
        if name not in there | THEIRS
    }

    assert set() == gone
