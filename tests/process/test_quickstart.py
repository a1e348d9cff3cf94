"""The newcomer's hour: docs/quickstart.md and its Chinese page, followed to the letter in an empty folder.

With the programs of this checkout; `make clean-install` does the same with the wheel alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rig.stacks import on_its_own
from tests.process.newcomer import PAGES, follow


@on_its_own(why="the page has one stack, embedded, and its own settings")
@pytest.mark.parametrize("page", PAGES)
def test_everything_is_printed_as_the_page_shows_it(page: str, tmp_path: Path) -> None:
    """Application, tests, press, update, recall, and the doctor where the vendor refuses the address."""
    follow(page, tmp_path, Path(sys.executable).parent)
