"""The guards that the fault explorer takes away are there."""

from __future__ import annotations

from pathlib import Path

from bench.explore.guards import GUARDS, LOCKS
from bench.explore.process import explorable
from bench.explore.unguarded import ROOT, without


def test_every_guard_is_there_once() -> None:
    """Whoever changes the line of a guard changes its text in `bench/explore/guards.py`, too."""
    for guard in (*GUARDS, *LOCKS):
        for file in guard.files:
            text = Path(ROOT, "worker", file).read_text(encoding="utf-8")

            compile(without(guard, file, text), file, "exec")


def test_every_guard_is_of_another_promise() -> None:
    """The program names them by it."""
    assert len((*GUARDS, *LOCKS)) == len({guard.promise for guard in (*GUARDS, *LOCKS)})


def test_the_stand_ins_can_be_put_in_place() -> None:
    """Whatever the worker's modules are named."""
    with explorable():
        pass
