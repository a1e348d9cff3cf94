"""What a second worker process gains, ours and the plain task's (see `throughput`): rates of two to rates of one.

All four run in every round; the figure is our gain as a multiple of the plain task's, the median of the rounds.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

from bench import Figure
from bench.stand.stacks import EMBEDDED, REDIS, STACKS, missing_service
from bench.throughput.program import Side, Start, mine_tried, one_round, parser_of, plain_at_its_best, rig_of, settled

GOAL = 1.0
PAIR = 2


def main(argv: list[str]) -> Figure:
    """All rounds, and the median of our gain to the plain task's."""
    parser = parser_of("side_by_side")
    parser.add_argument("--stack", choices=[stack for stack in STACKS if stack != EMBEDDED], default=REDIS)
    options = settled(parser, argv)
    if missing := missing_service((options.stack,)):
        return Figure("side_by_side", f"{missing} does not answer", f"{GOAL}", ok=False)
    with rig_of(options, "side-by-side") as rig:
        mine, (_, plain) = mine_tried(rig), plain_at_its_best(rig)
        sides = {"ours": mine, "ours, two": _two(mine), "plain": plain, "plain, two": _two(plain)}
        rounds = [one_round(rig, sides, number) for number in range(options.pairs)]
    gains = [(found["ours, two"] / found["ours"], found["plain, two"] / found["plain"]) for found in rounds]
    for name, column in zip(("ours", "plain"), zip(*gains, strict=True), strict=True):
        print(f"{name}: two make {statistics.median(column):.2f} of one's calls", *(f"{gain:.2f}" for gain in column))
    figure = statistics.median(ours / plain for ours, plain in gains)
    return Figure("side_by_side", f"{figure:.2f}", f"{GOAL}", figure >= GOAL)


def _two(one: Side) -> Side:
    """Two processes of that side, on the work of one run."""
    return Side(_start(one.start), one.rate * PAIR)


def _start(one: Start) -> Start:
    return lambda rig, jobs: one(replace(rig, workers=PAIR), jobs)
