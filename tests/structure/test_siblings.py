"""No folder of the worker holds more than one can take in at a look."""

from __future__ import annotations

from pathlib import Path

import pytest

WORKER = Path(__file__).parents[2] / "worker"
MOST = 15
ROOMS = 19
"""Of the program itself: each is on a layer that pyproject.toml names, so none is added by the way."""


def siblings(folder: Path) -> list[str]:
    """Modules and rooms of a folder; its `__init__` is the folder itself."""
    found = [path for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"]
    return sorted(path.name for path in found if path.name not in ("__init__.py", "__pycache__"))


FOLDERS = sorted(path for path in WORKER.rglob("*") if path.is_dir() and path.name != "__pycache__")


@pytest.mark.parametrize("folder", [WORKER, *FOLDERS], ids=lambda path: path.name)
def test_a_folder_has_few_siblings(folder: Path) -> None:
    """Fifteen; the program itself has four more: console, kit, language, and the drawing that the simulator shares."""
    assert len(siblings(folder)) <= (ROOMS if folder == WORKER else MOST), siblings(folder)
