"""What prose names is there: files, in documents, docstrings and comments; names of the code, in documents."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+\.py)`")
NAME_IN = re.compile(r"`(\w+)`,?\s+(?:in\s+|\()`((?:[a-z_0-9]+/)+[a-z_0-9]+\.py)`")
"""A name of the code and its file: "`_move` in `domain/settle.py`", or the file in brackets."""
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

    assert gone == set()


def test_a_name_that_prose_puts_in_a_file_is_there() -> None:
    """A class, function or constant that was renamed or moved is renamed in the documents too."""
    tops = ("worker", "worker_simulator", "tests", "tools", "bench", "migrations")
    prose = [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    pairs = [(path, *pair) for path in prose for pair in NAME_IN.findall(path.read_text(encoding="utf-8"))]

    gone = {
        f"{path.relative_to(ROOT)}: {name} in {file}"
        for path, name, file in pairs
        if not any(
            re.search(rf"\b{name}\b", place.read_text(encoding="utf-8"))
            for top in tops
            for place in (ROOT / top).rglob(file.rpartition("/")[2])
            if place.as_posix().endswith(f"/{file}")
        )
    }

    assert len(pairs) > 10
    assert gone == set()
