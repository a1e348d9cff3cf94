"""The way of one plain text through the code: which files it enters, in order; docs/reference/way.md lists them.

With WRITE_PAGES=1 in the environment the page's table is written anew.
"""

from __future__ import annotations

import ast
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.docs.page import ROOT
from tests.support.runtime import planted
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

PAGE = ROOT / "docs" / "reference" / "way.md"
MOST_FILES = 60
"""Of them some are entered only to find nothing to do: bulk's quota, the vendor's words, a job's watchers."""
WORKER = str(ROOT / "worker")


class Way:
    """Files of the worker in the order in which a call enters them."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self._is_noted = False

    def see(self, frame: FrameType, event: str, arg: Any) -> None:
        """A profile function, in every thread."""
        if self._is_noted and event == "call":
            code = frame.f_code
            if code.co_filename.startswith(WORKER) and code.co_name != "<module>":
                self.files[str(Path(code.co_filename).relative_to(ROOT))] = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Notes what is entered meanwhile."""
        self._is_noted = True
        try:
            yield
        finally:
            self._is_noted = False


@pytest.fixture
def way(sqlite_database: Database, driven_clock: DrivenClock) -> Way:
    """Of the second text of a lane: the first has fetched the token and left the slow start behind."""
    way = Way()
    sys.setprofile(way.see)
    threading.setprofile(way.see)
    try:
        with planted(sqlite_database, driven_clock) as site:
            for _ in range(3):
                site.send("before")
                site.run()
            with way.noted():
                job = site.send("noted")
                site.relay.turn()
                for ring in site.rings:
                    site.bell.answer(ring.lane, ring.ids)
                site.settle()
            assert site.state(job) == "accepted"
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return way


@pytest.mark.fewer_databases("the files are the same on all")
def test_one_text_enters_few_files(way: Way) -> None:
    """From `enqueue` to its receipt."""
    assert len(way.files) <= MOST_FILES, "\n".join(way.files)


@pytest.mark.fewer_databases("the files are the same on all")
def test_the_page_shows_the_way(way: Way) -> None:
    """Each file with the first sentence of its docstring."""
    before, head, rest = PAGE.read_text(encoding="utf-8").partition("| file |")
    shown, blank, after = rest.partition("\n\n")
    if os.environ.get("WRITE_PAGES") == "1":
        PAGE.write_text(f"{before}{head} {table(way)}{blank}{after}", encoding="utf-8")
        return

    assert table(way) == shown.strip(), "run it once with WRITE_PAGES=1"


def table(way: Way) -> str:
    """The page's rows, without the first words of its head."""
    rows = [f"| `{file}` | {_summary(ROOT / file)} |" for file in way.files]
    return "\n".join(["what it is for |", "|---|---|", *rows])


def _summary(path: Path) -> str:
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(told.partition("\n\n")[0].split()).replace("|", "\\|")
