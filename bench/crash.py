"""The crash matrix with five seeds a cell: SIGKILL at every labelled step, on PostgreSQL + Redis and embedded.

Prints the table step x stack; short when anything was sent twice or lost, or a rule of the matrix did not hold.
Needs the checkout: the engine lives with the process tests.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import Figure
from tests.process.crash_matrix import STEPS, Cell, Place, run_all, table
from tests.support import databases
from worker.outbox.database import make_engine
from worker.outbox.migrate import upgrade


def main(argv: list[str]) -> Figure:
    """Runs every cell; `--seeds N` and `--stack NAME` make it shorter."""
    options = argparse.ArgumentParser(prog="python -m bench crash")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--first-seed", type=int, default=1)
    options.add_argument("--stack", choices=("all", "embedded", "postgres+redis"), default="all")
    given = options.parse_args(argv)
    stacks = ("postgres+redis", "embedded") if given.stack == "all" else (given.stack,)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    cells = [cell for stack in stacks for seed in seeds for cell in _round(stack, seed)]
    print(table(cells))
    broken = [f"{cell.step} on {cell.stack}, seed {cell.seed}: {', '.join(cell.broken)}" for cell in cells]
    broken = [line for line, cell in zip(broken, cells, strict=True) if cell.broken]
    print("\n".join(broken))
    twice, lost = sum(cell.twice for cell in cells), sum(cell.lost for cell in cells)
    figure = f"{len(cells)} crashes, {twice} twice, {lost} lost, {len(broken)} with a broken rule"
    return Figure("crash", figure, "0 twice, 0 lost, 0 broken", not (twice or lost or broken))


def _round(stack: str, seed: int) -> list[Cell]:
    """Every step once."""
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-crash-")))
        return run_all((place, step, seed) for step, place in _places(scope, stack, folder, seed))


def _places(scope: ExitStack, stack: str, folder: Path, seed: int) -> Iterator[tuple[str, Place]]:
    for step in STEPS:
        if stack == "embedded":
            url, broker = f"sqlite:///{folder}/{step}.db", "embedded"
        else:
            name = f"worker_bench_crash_{os.getpid()}_{seed}_{step}"
            url, broker = scope.enter_context(databases.scratch_postgres(name)), databases.need(databases.REDIS)
        engine = make_engine(url)
        upgrade(engine)
        engine.dispose()
        yield step, Place(stack, url, broker, folder / step)
