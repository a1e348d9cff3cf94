"""docs/tests-of-the-pipeline.md: its example runs, and each of its words is one of the runtime's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.docs.page import Page
from tests.support import runtime
from tests.support.runtime import planted
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

PAGE = Page("docs/tests-of-the-pipeline.md")


def example() -> dict[str, Any]:
    """What the page's one block of Python defines."""
    [block] = PAGE.blocks_in("python")
    names: dict[str, Any] = {"__name__": "test_hello"}
    exec(compile(block.text, PAGE.name, "exec"), names)
    return names


@pytest.mark.parametrize("name", [name for name in example() if name.startswith("test_")])
@pytest.mark.fewer_databases("it is about the page")
def test_the_example_passes(database: Database, driven_clock: DrivenClock, name: str) -> None:
    """Each of its tests, as it is written."""
    with planted(database, driven_clock) as site:
        example()[name](site)


def test_every_call_of_a_table_is_one_of_the_runtime() -> None:
    """A name that was changed there is changed here."""
    cells = re.findall(r"^\| (`.*?) \|", PAGE.text, flags=re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)", cell)} - {"lambda"}
    site = {*dir(runtime.Site), *runtime.Site.__dataclass_fields__}

    assert {"send", "ring", "busy", "rows", "died"} <= named
    assert named - site - {*vars(runtime)} == set()
