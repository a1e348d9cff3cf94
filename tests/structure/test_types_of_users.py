"""The types that the package brings (PEP 561): an application's checker finds what is wrong, and no more."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = Path(__file__).parents[1] / "support" / "typed_application.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The application's file where no settings of this checkout reach it; every mark of an error has to be needed."""
    shutil.copy(APPLICATION, tmp_path / "shop.py")
    settings = {
        "typeCheckingMode": "strict",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": True,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "checker",
    [("mypy", "--strict", "--cache-dir", ".mypy"), ("pyright", "--pythonpath", sys.executable)],
    ids=lambda checker: checker[0],
)
def test_an_application_is_checked(checker: tuple[str, ...], folder: Path) -> None:
    """What is right passes in the strictest mode, and each of the wrong lines is refused."""
    command = [sys.executable, "-m", *checker, "shop.py"]

    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)

    assert 0 == done.returncode, done.stdout + done.stderr
