"""Whatever dies, is lost or is refused: afterwards everything that may go has gone, and what stays has a cause."""

from __future__ import annotations

import os
import random

import pytest

from tests.support.histories import ACTS, Installation
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

HISTORIES = range(*map(int, os.environ.get("HISTORIES", "0:12").split(":")))
"""The seeds; `HISTORIES=0:10000 pytest -n 2 tests/pipeline/test_liveness.py` tries ten thousand."""


@pytest.mark.fewer_databases("what is written on each database other tests hold; histories take turns in one process")
@pytest.mark.parametrize("seed", HISTORIES)
def test_nothing_stands_still(sqlite_database: Database, driven_clock: DrivenClock, seed: int) -> None:
    """First with what people said in force, then when they have let everything go."""
    installation = Installation(sqlite_database, driven_clock, random.Random(seed))
    for _ in range(ACTS):
        installation.act()
    installation.heal()
    installation.drive(installation.moving, 15)
    for _ in range(2):  # once more for what came into doubt meanwhile
        installation.let_go()
        installation.drive(installation.undecided)

    assert not installation.open_parts()
