"""A worker killed at every labelled step loses nothing and sends nothing twice."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from rig.crash.matrix import STEPS, run_all, table
from rig.stacks import STACKS, Places, available, on_its_own

SEED = int(os.environ.get("CRASH_SEED", "1"))


@on_its_own(why="it lays out every step on every stack, each a database to itself")
def test_sigkill_at_every_step_on_every_stack(tmp_path: Path) -> None:
    """Killed at any step, on any stack: once each, and what is in doubt is named."""
    with ExitStack() as scope:
        places = Places(f"{os.getpid()}_crash", tmp_path, scope)
        names = available(STACKS)

        cells = run_all([(name, step, SEED) for step in STEPS for name in names], places.take)

    print(f"\n{table(cells)}")
    assert {} == {f"{cell.step} on {cell.stack}": cell.broken for cell in cells if cell.broken}
