"""The Makefile's environment: one that could not be made is not taken for a whole one by the next run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_PIP = '[ "$1" = -c ] || { mkdir -p .venv/bin; cp /bin/true .venv/bin/python; exit 1; }'
"""Debian's Python without python3-venv."""
TOO_OLD = f"""exec {sys.executable} -c 'import sys; sys.version_info = (3, 10); exec(sys.argv[1])' "$2"\n"""


@pytest.mark.parametrize(("python", "said"), [(WITHOUT_PIP, ""), (TOO_OLD, "Python 3.11 or newer is needed")])
def test_an_environment_that_cannot_be_made_is_not_left_behind(python: str, said: str, tmp_path: Path) -> None:
    """Else the next run, with what was missing, would go on with it."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    program = tmp_path / "python3"
    program.write_text(f"#!/bin/sh\n{python}\n", encoding="utf-8")
    program.chmod(0o755)

    done = subprocess.run(
        ["make", "demo", f"PYTHON={program}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert 0 != done.returncode
    assert said in done.stderr
    assert not (tmp_path / ".venv").exists()
