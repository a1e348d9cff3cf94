"""How many universes of faults the worker lives through without a broken promise.

Relays, senders, recovery, housekeeping and people's commands of several simulated hosts run under a scheduler that owns
time, threads, the network and the database; the seed chooses every switch and every fault. A failing seed prints its
story.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context

from bench import Figure
from bench.explore.database import Store
from bench.explore.explorer import Explorer, Sums, story_of
from bench.explore.guards import GUARDS, LOCKS
from bench.explore.postgres import stores
from bench.explore.sqlite import SqliteStore
from bench.explore.story import tell
from bench.explore.unguarded import HEAD, Search, lines, take_away
from bench.explore.universe import Told

TOGETHER = 10
"""Seeds that one process is given at a time."""
STORIES = 5


def main(argv: list[str]) -> Figure:
    """Explores the seeds that the options name."""
    parser = argparse.ArgumentParser(prog="python -m bench explore", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="ends after so many, with what it has then")
    parser.add_argument("--story", type=int, metavar="SEED", help="shrinks one universe, and tells it in words")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own in place of SQLite")
    parser.add_argument("--stop", action="store_true", help="at the first universe that breaks a promise")
    parser.add_argument(
        "--without-guards",
        action="store_true",
        help="takes away one guard after the other instead; with --postgres, one lock",
    )
    parser.add_argument(
        "--only",
        default="",
        help="guards whose promise matches this; --story goes without the first",
    )
    parser.add_argument("--timeout", type=float, default=240.0, help="seconds of processor time for each guard")
    options = parser.parse_args(argv)
    with stores() if options.postgres else nullcontext(SqliteStore) as make:
        if options.without_guards:
            return _without_guards(make, options)
        return _story(make, options) if options.story is not None else _explored(make, options)


def _explored(make: Callable[[], Store], options: argparse.Namespace) -> Figure:
    sums, began, cpu = Sums(), time.monotonic(), os.times()
    for told in _told(make, range(options.first, options.first + options.seeds), options.processes):
        sums.add(told)
        if told.problems and len(sums.broken) <= STORIES:
            print("\n".join(story_of(told)), flush=True)
        if sums.universes % 500 == 0:
            print(f"{sums.universes} universes, {len(sums.broken)} with a broken promise", flush=True)
        if (told.problems and options.stop) or time.monotonic() - began > options.minutes * 60:
            break
    took_s, used = time.monotonic() - began, os.times()
    cpu_s = sum(used[:4]) - sum(cpu[:4])
    print("\n".join(sums.lines()))
    print(f"{sums.universes / took_s:.2f} universes a second, {sums.universes / cpu_s:.2f} a second of processor time")
    broken = ", ".join(str(told.seed) for told in sums.broken[:20])
    figure = f"{len(sums.broken)} of {sums.universes} universes broke a promise" + (broken and f": {broken}")
    return Figure("explore", figure, "0", not sums.broken)


def _story(make: Callable[[], Store], options: argparse.Namespace) -> Figure:
    if options.only:
        take_away(next(guard for guard in (*GUARDS, *LOCKS) if re.search(options.only, guard.promise)))
    explorer = Explorer(make())
    with explorer.ready():
        story = list(tell(explorer, options.story))
    print("\n".join(story))
    return Figure("explore --story", story[0], "none", len(story) == 1)


def _without_guards(make: Callable[[], Store], options: argparse.Namespace) -> Figure:
    missed = total = 0
    guards = [guard for guard in (LOCKS if options.postgres else GUARDS) if re.search(options.only, guard.promise)]
    print(HEAD, flush=True)
    for line, found in lines(guards, Search(make, options.first, options.seeds, options.timeout)):
        print(line, flush=True)
        total, missed = total + 1, missed + (not found)
    return Figure("explore --without-guards", f"{total - missed} of {total} found", "all", not missed)


def _told(make: Callable[[], Store], seeds: range, processes: int) -> Iterator[Told]:
    lots = [seeds[at : at + TOGETHER] for at in range(0, len(seeds), TOGETHER)]
    if processes == 1 or len(lots) == 1:
        explorer = Explorer(make())
        with explorer.ready():
            yield from map(explorer.explore, seeds)
        return
    pool = ProcessPoolExecutor(processes, get_context("fork"), initializer=_begin, initargs=(make,))
    try:
        for several in pool.map(_explore, lots):
            yield from several
    finally:
        pool.shutdown(cancel_futures=True)


_EXPLORERS: list[Explorer] = []
"""The one of this process."""


def _begin(make: Callable[[], Store]) -> None:
    _EXPLORERS.append(Explorer(make()))


def _explore(seeds: range) -> list[Told]:
    [explorer] = _EXPLORERS
    with explorer.ready():
        told = [explorer.explore(seed) for seed in seeds]
    for one in told:
        if not one.problems:
            one.story.clear()
    return told
