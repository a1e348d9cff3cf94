"""The fault explorer: a few universes of faults are lived through, and a seed gives the same one in every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.explore.explorer import Explorer
from bench.explore.story import shrink
from bench.explore.universe import Told

pytestmark = pytest.mark.fewer_databases("the explorer has a database of its own, in memory")

SEEDS = range(12)
DIGEST = "from bench.explore.explorer import explore;print(*(told.digest for told in explore(range(10, 13))))"


def test_no_universe_breaks_a_promise_and_a_seed_gives_the_same_again() -> None:
    """Also after others, on the same database and engines. `python -m bench explore --seeds 1000` tries a thousand."""
    explorer = Explorer()
    with explorer.ready():
        told = [explorer.explore(seed) for seed in SEEDS]
        again = explorer.explore(SEEDS[2])

    assert {one.seed: one.problems for one in told if one.problems} == {}
    assert told[2].story == again.story


def test_a_story_has_what_breaks_its_promise_and_nothing_else() -> None:
    """Also where this takes another order of threads."""
    before = Told(0, ["job 3 stands still"], things=("host 0", "host 1", "job 0", "job 3", "fault 0", "fault 1"))

    def explore(seed: int, without: frozenset[str], turn: int) -> Told:
        breaks = not without & {"host 0", "job 3", "fault 1"} and (turn == 2 or "job 0" not in without)
        return Told(seed, ["job 2 stands still"] if breaks else [])

    without, turn, _ = shrink(explore, before)

    assert (without, turn) == ({"host 1", "job 0", "fault 0"}, 2)


@pytest.mark.slow("starts two interpreters")
def test_a_seed_gives_the_same_universe_in_every_process() -> None:
    """Nothing depends on the order of sets, on ids of objects, or on a real clock."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(digests) == 1
