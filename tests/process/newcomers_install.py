"""A newcomer's hour with nothing but the wheel: docs/quickstart.md from its first line on.

`make clean-install` runs it. It is no part of `make test`, for it asks the package index.
"""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from rig.stacks import on_its_own
from tests.process.newcomer import follow, installs
from tests.process.reader import reader

PAGE = "docs/quickstart.md"


def stranger(folder: Path) -> None:
    """Puts a wheel there that somebody else has given this project's name, and a newer version, as an index may."""
    info = "im_delivery_worker-99.0.dist-info"
    with ZipFile(folder / "im_delivery_worker-99.0-py3-none-any.whl", "w") as made:
        extras = "".join(f"Provides-Extra: {name}\n" for name in ("worker", "redis"))
        made.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: im-delivery-worker\nVersion: 99.0\n{extras}")
        made.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{info}/RECORD", "")


@pytest.fixture
def newcomers_programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the first lines of docs/quickstart.md make beside a stranger's package; its programs."""
    folder = tmp_path_factory.mktemp("newcomer")
    stranger(folder)
    with reader(folder, Path(sys.executable).parent, {}) as newcomer:
        # Not every file of every package is compiled: the page needs some.
        newcomer.run(f"export WHEEL={wheel} PIP_FIND_LINKS={folder} PIP_COMPILE=0")
        newcomer.read(installs(PAGE))
    return folder / ".venv" / "bin"


@on_its_own(why="the page has one stack, embedded, and its own settings")
def test_a_newcomers_hour_needs_the_wheel_alone(newcomers_programs: Path, tmp_path: Path) -> None:
    """Application, tests, press, update, recall, and the doctor, by what the page says to install and nothing else; the
    Chinese page, which installs the same, is followed with the programs of the checkout.
    """
    follow(PAGE, tmp_path, newcomers_programs)
