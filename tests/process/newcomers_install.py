"""A newcomer's hour with nothing but the wheel: docs/quickstart.md from its first line on.

`make clean-install` runs it. It is no part of `make test`, for it asks the package index.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rig.stacks import on_its_own
from tests.process.newcomer import follow, installs
from tests.process.reader import reader

PAGE = "docs/quickstart.md"


@pytest.fixture
def newcomers_programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the first lines of docs/quickstart.md make; where its programs are."""
    folder = tmp_path_factory.mktemp("newcomer")
    constraint = folder / "constraint.txt"
    name, version, *_ = wheel.name.split("-")
    constraint.write_text(f"{name}=={version}\n", encoding="utf-8")  # this wheel, whatever else has its name
    with reader(folder, Path(sys.executable).parent, {}) as newcomer:
        # Not every file of every package is compiled: the page needs some.
        newcomer.run(f"export PIP_FIND_LINKS={wheel.parent} PIP_CONSTRAINT={constraint} PIP_COMPILE=0")
        newcomer.read(installs(PAGE))
    return folder / ".venv" / "bin"


@on_its_own(why="the page has one stack, embedded, and its own settings")
def test_a_newcomers_hour_needs_the_wheel_alone(newcomers_programs: Path, tmp_path: Path) -> None:
    """Application, tests, press, update, recall, and the doctor, by what the page says to install and nothing else; the
    Chinese page, which installs the same, is followed with the programs of the checkout.
    """
    follow(PAGE, tmp_path, newcomers_programs)
