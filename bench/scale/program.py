"""What the size of the outbox costs: the steps of the relay and the sender, in a small and in a big outbox.

The steps are the relay's turn, offer, mark, a doorbell's question and recovery's wake-up, beside much that is finished,
queued, due later or at work.

For each claim there are two outboxes side by side, a small and a big one, and their samples are taken in turn, so that
the machine's other business hits both. A round is 200 samples of each; a ratio is that of a round's p50s or p99s, and
the median of the rounds counts. The worst ratio of all is the figure. A part that is committed long after its time must
be found within a second in the one with the most lanes.
"""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from bench import Figure
from bench.scale.contents import KINDS, add_at_work, add_due, add_finished, add_future, scratch, tidy
from bench.scale.side import Samples, Side
from worker.delivery.scheduler.due_lanes import FullScan

GOAL = 1.5
ROUNDS, SAMPLES, WARM_UP = 5, 200, 25
LATE, LATE_GOAL_S = 20, 1.0
POLL_S = 0.02
SETTLE_S = 1.0
BRIEF = ("asks", "wake")
"""Steps of a fifth of a millisecond: their p99 tells of the machine, so they are judged by their p50."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows and lanes, small against big."""

    finished: tuple[int, int]
    queued: tuple[int, int]
    lanes: tuple[int, int]
    at_work: tuple[int, int] = (10, 10_000)
    """Lanes on which something stands."""
    parts_a_lane: int = 10
    due: int = 10_000
    """Parts that wait in every outbox."""


SIZES = {
    "postgres": Sizes((10_000, 5_000_000), (10_000, 1_000_000), (10, 10_000)),
    "mariadb": Sizes((10_000, 1_000_000), (10_000, 1_000_000), (10, 10_000)),
    "sqlite": Sizes((10_000, 1_000_000), (10_000, 1_000_000), (10, 10_000)),
}
QUICK = Sizes((10_000, 50_000), (10_000, 50_000), (10, 500), (10, 2_000))

Pair = tuple[Side, Side]
Ratios = list[float]


def main(argv: list[str]) -> Figure:
    """All claims on all databases; the worst ratio."""
    options = _options(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every database made here is dropped
    worst, found_late = 0.0, 0.0
    for kind in KINDS if options.database == "all" else (options.database,):
        ratios, late = measure(kind, QUICK if options.quick else SIZES[kind], options.rounds, options.samples)
        worst, found_late = max(worst, *ratios), max(found_late, late)
    ok = worst <= GOAL and found_late <= LATE_GOAL_S
    if found_late > LATE_GOAL_S:
        print(f"late commits were found after {found_late:.2f} s, not within {LATE_GOAL_S:.0f} s")
    return Figure("scale", f"{worst:.2f}", f"{GOAL}", ok)


def _options(argv: list[str]) -> Any:
    parser = argparse.ArgumentParser(prog="python -m bench scale")
    parser.add_argument("--database", choices=("all", *KINDS), default="all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="of each size in a round")
    parser.add_argument("--quick", action="store_true", help="small sizes, one short round: only a hint")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.samples = 1, 50
    return options


def measure(kind: str, sizes: Sizes, rounds: int, samples: int) -> tuple[Ratios, float]:
    """Every claim on one database: all ratios, and the longest that a late commit waited."""
    print(f"{kind}: {rounds} rounds of {samples} samples each; milliseconds, p50 and p99 of all rounds", flush=True)
    ratios: Ratios = []
    with _pair(kind, "finished", lambda d, n: add_finished(d, n), sizes.finished, sizes.due) as pair:
        ratios += _claim(f"finished {_sizes(sizes.finished)}", pair, rounds, samples)
    with _pair(kind, "queued", lambda d, n: add_finished(d, sizes.due), sizes.queued) as pair:
        ratios += _claim(f"queued {_sizes(sizes.queued)}", pair, rounds, samples)
    with _pair(kind, "at_work", lambda d, n: add_at_work(d, n), sizes.at_work, sizes.due) as pair:
        ratios += _claim(f"lanes at work {_sizes(sizes.at_work)}", pair, rounds, samples)
    with _pair(kind, "lanes", lambda d, n: add_future(d, n, sizes.parts_a_lane), sizes.lanes, 0) as pair:
        ratios += _idle(f"lanes {_sizes(sizes.lanes)}, idle", pair, rounds, samples)
        for side in pair:
            add_due(side.database, sizes.due)
            tidy(side.database)
        ratios += _claim(f"lanes {_sizes(sizes.lanes)}", pair, rounds, samples)
        late = _late(pair[1], sizes.lanes[1])
    return ratios, late


def _sizes(sizes: tuple[int, int]) -> str:
    return f"{sizes[0]:,} : {sizes[1]:,}"


@contextmanager
def _pair(
    kind: str, name: str, fill: Callable[[Any, int], None], sizes: tuple[int, int], due: int | None = None
) -> Iterator[Pair]:
    """A small and a big outbox with their relays; without a `due` of both, the size is the number of due parts."""
    with ExitStack() as scope:
        sides = []
        for label, size in zip(("small", "big"), sizes, strict=True):
            database = scope.enter_context(scratch(kind, f"{name}_{label}"))
            fill(database, size)
            add_due(database, size if due is None else due)
            tidy(database)
            side = Side(database)
            side.start()
            scope.callback(side.stop)
            sides.append(side)
        yield sides[0], sides[1]


def _claim(name: str, pair: Pair, rounds: int, samples: int) -> Ratios:
    """Everything that is timed in a cycle."""
    _take(pair, WARM_UP, Side.cycle)
    return _show(name, [_take(pair, samples, Side.cycle) for _ in range(rounds)])


def _idle(name: str, pair: Pair, rounds: int, samples: int) -> Ratios:
    """Turns that find nothing."""
    time.sleep(SETTLE_S)
    _take(pair, WARM_UP, _turn)
    return _show(name, [_take(pair, samples, _turn) for _ in range(rounds)])


def _turn(side: Side) -> dict[str, float]:
    return {"turn": side.turn()}


def _take(pair: Pair, samples: int, work: Callable[[Side], dict[str, float]]) -> tuple[Samples, Samples]:
    """Samples of both by turns, each going first every other time, as often as a relay at work polls."""
    found: tuple[Samples, Samples] = ({}, {})
    gc.collect()
    gc.disable()  # a collection would hit one of the two
    try:
        for number in range(samples):
            time.sleep(POLL_S)
            for at in (0, 1) if number % 2 else (1, 0):
                for step, spent in work(pair[at]).items():
                    found[at].setdefault(step, []).append(spent)
    finally:
        gc.enable()
    return found


def _show(name: str, rounds: list[tuple[Samples, Samples]]) -> Ratios:
    """A line for each step; the median ratios."""
    ratios: Ratios = []
    for step in rounds[0][0]:
        line = f"  {name:<34} {step:<6}"
        for label, percentile in (("p50", 50), ("p99", 99)):
            pairs = [tuple(_percentile(side[step], percentile) for side in both) for both in rounds]
            every = [big / small for small, big in pairs]
            small, big = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
            ratio = statistics.median(every)
            if step not in BRIEF or percentile == 50:
                ratios.append(ratio)
            shown = " ".join(f"{one:.2f}" for one in every)
            line += f"  {label} {small:7.2f} {big:7.2f} ratio {ratio:.2f} ({shown})"
        print(line, flush=True)
    return ratios


def _percentile(samples: list[float], percent: int) -> float:
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]


def _walk_ms(side: Side) -> float:
    """What a whole round costs, its pauses left out."""
    full_scan, spent, looked = FullScan(side.database, round_s=1.0, monotonic=time.perf_counter), 0.0, False
    while not (looked and full_scan.between_rounds):
        started = time.perf_counter()
        full_scan.step()
        spent, looked = spent + time.perf_counter() - started, True
    return spent * 1000


def _late(side: Side, lanes: int) -> float:
    """How long late commits wait for the walk over so many lanes; the longest."""
    spent = [side.late(f"later:{number * lanes // LATE:016x}") for number in range(LATE)]
    walk_ms = _walk_ms(side)
    median = statistics.median(spent)
    print(
        f"  late commits among {lanes:,} lanes: found after {median:.2f} s (p50), {max(spent):.2f} s (longest of"
        f" {LATE}); a walk over all lanes takes {walk_ms:.0f} ms",
        flush=True,
    )
    return max(spent)
