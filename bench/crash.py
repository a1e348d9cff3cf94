"""The crash matrix with five seeds a cell: SIGKILL at every labelled step, on all four stacks.

Prints the table step x stack, `--markdown` as Markdown; short when anything was sent twice
or lost, or a rule of the matrix did not hold. Needs the checkout: the engine lives with the process tests.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import Figure
from rig import databases
from rig.crash.matrix import STEPS, Cell, markdown, run_all, table
from rig.stacks import NEEDS, STACKS, Places


def main(argv: list[str]) -> Figure:
    """Runs every cell; `--seeds N` and `--stack NAME` make it shorter."""
    options = argparse.ArgumentParser(prog="python -m bench crash")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--first-seed", type=int, default=1)
    options.add_argument("--stack", choices=("all", *STACKS), action="append", help="once or more; all by default")
    options.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    given = options.parse_args(argv)
    named = given.stack or ["all"]
    stacks = STACKS if "all" in named else tuple(named)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    cells = [cell for stack in stacks for seed in seeds for cell in _round(stack, seed)]
    print(markdown(cells) if given.markdown else table(cells))
    return _figure(cells)


def _figure(cells: list[Cell]) -> Figure:
    broken = [
        f"{cell.step} on {cell.stack}, seed {cell.seed}: {', '.join(cell.broken)}" for cell in cells if cell.broken
    ]
    print("\n".join(broken))
    twice, lost = sum(cell.twice for cell in cells), sum(cell.lost for cell in cells)
    figure = f"{len(cells)} crashes, {twice} twice, {lost} lost, {len(broken)} with a broken rule"
    return Figure("crash", figure, "0 twice, 0 lost, 0 broken", not (twice or lost or broken))


def _round(stack: str, seed: int) -> list[Cell]:
    """Every step once."""
    for service in NEEDS[stack]:
        databases.need(service)
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-crash-")))
        places = Places(f"bench_crash_{os.getpid()}_{seed}", folder, scope)
        return run_all([(stack, step, seed) for step in STEPS], places.take)
