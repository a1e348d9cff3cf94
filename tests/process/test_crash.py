"""A worker killed at every labelled step loses nothing and sends nothing twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

from rig.crash.matrix import STEPS, run_all, table
from rig.stacks import USUAL, Places, available, on_its_own

SEED = int(os.environ.get("CRASH_SEED", "1"))
ON_EACH = ("before_mark", "before_ack")
"""Where the broker alone knows that somebody was at work: nothing is marked yet, or all is recorded."""
AS_BEFORE_RECORD = ("answer_half", "answer_read")
"""The vendor has the whole call and the outbox its mark, as at `before_record`: only the dead process knew more."""


def cells(stacks: list[str]) -> Iterator[tuple[str, str, int]]:
    """The broker's steps on every stack; the others, at most of which a database says the same, on one stack each.

    `python -m bench crash` has all on all.
    """
    turn = cycle(stacks)
    for step in STEPS:
        chosen = stacks if step in ON_EACH else [next(turn)]
        if step not in AS_BEFORE_RECORD:
            yield from ((stack, step, SEED) for stack in chosen)


@on_its_own(why="it lays out the steps on the stacks, each a database to itself")
def test_sigkill_at_every_step(tmp_path: Path) -> None:
    """Killed at any step, on any stack: once each, and what is in doubt is named."""
    with ExitStack() as scope:
        places = Places(f"{os.getpid()}_crash", tmp_path, scope)

        ended = run_all(cells(available(USUAL)), places.take)

    print(f"\n{table(ended)}")
    assert {f"{cell.step} on {cell.stack}": cell.broken for cell in ended if cell.broken} == {}
