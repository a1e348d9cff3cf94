"""The newcomer's hour: docs/zh/quickstart.md, followed to the letter in an empty folder.

With the programs of this checkout; `make clean-install` does the same with docs/quickstart.md and the wheel alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rig.stacks import on_its_own
from tests.process.newcomer import follow


@on_its_own(why="the page has one stack, embedded, and its own settings")
def test_everything_is_printed_as_the_page_shows_it(tmp_path: Path) -> None:
    """Application, tests, press, update, recall, and the doctor where the vendor refuses the address."""
    follow("docs/zh/quickstart.md", tmp_path, Path(sys.executable).parent)
