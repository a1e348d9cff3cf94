"""Calls a second of our worker against a plain Celery task that calls requests and remembers nothing.

A vendor that answers after 20 ms, one worker process each with the same pool of threads, on the stack given: PostgreSQL
+ Redis by default; the plain task on the same broker, beside the embedded stack on Redis. Ours runs with every promise
on: duplicate check, limits, marks, receipts, task events (-E), a log line an attempt to a file. The plain task runs
with early acks, a keep-alive Session a thread, no log lines and its best prefetch and trust_env, with -E (compared) and
without. Rounds are interleaved, their order alternates, the figure is the median of the rounds' ratios. Fails unless
calls = receipts = events = jobs in every run.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from bench import Figure
from bench.stand.servers import own_redis
from bench.stand.stacks import EMBEDDED, MARIADB, RABBITMQ, REDIS, STACKS, missing_service
from bench.throughput import ours, plain
from bench.throughput.plain_call import USERS
from bench.throughput.rig import LATENCY_MS, WARM_UP, RanDry, Rig, Run
from rig.stacks import broker_of

GOALS: Mapping[str, Mapping[str, float]] = {
    REDIS: {"plain -E": 2.0, "plain": 1.5},
    RABBITMQ: {"plain -E": 1.3},
    MARIADB: {"plain -E": 1.8},
    EMBEDDED: {"plain -E": 2.3},
}
"""Our calls a second as multiples of the plain task's."""
GOAL_OF_TWO = 1.0
LEAST_S = 15.0
TRIAL_S = 3.0
QUICK_PAIRS, QUICK_S = 2, 5.0
GUESS = 600
SPARE = 1.25
"""So much more work is laid ready than the run before would have needed."""

Start = Callable[[Rig, int], Run]
Named = TypeVar("Named")


@dataclass(slots=True)
class Side:
    """One of those compared, and how fast it was last."""

    start: Start
    rate: float = GUESS

    def run(self, rig: Rig) -> Run:
        """One run with enough work for the window; once more with more work when it was over too soon."""
        while True:
            jobs = WARM_UP + 4 * rig.threads + int(self.rate * rig.seconds * SPARE)
            try:
                found = self.start(rig, jobs)
            except RanDry:
                self.rate *= 1.5
                print(f"  {jobs} jobs were over before {rig.seconds:.0f} s; again with more", flush=True)
                continue
            self.rate = found.rate
            print(f"  {found.line()}", flush=True)
            return found


def main(argv: list[str]) -> Figure:
    """All rounds; the last figures are the median ratios to the plain task, with -E and without."""
    options = _options(argv)
    if missing := missing_service((options.stack, REDIS)):
        return Figure("throughput", f"{missing} does not answer", _goal(options.stack), ok=False)
    if options.two:
        return _gain_of_two(options)
    with rig_of(options, "throughput") as rig:
        _print_settings(options)
        print(f"trials of {TRIAL_S:.0f} s:", flush=True)
        mine, (best, with_events) = mine_tried(rig), plain_at_its_best(rig)
        without = Side(plain_start(replace(best, events=False)), with_events.rate * SPARE)
        sides = {"ours": mine, "plain -E": with_events, "plain": without}
        medians = median_ratios([ratios(one_round(rig, sides, number)) for number in range(options.pairs)])
    if options.quick:
        print(f"quick: {options.pairs} rounds of {options.seconds:g} s, shorter than the goal's {LEAST_S:.0f} s")
    return _figure(options.stack, medians)


def _options(argv: list[str]) -> Any:
    parser = parser_of("throughput")
    parser.add_argument("--stack", choices=STACKS, default=REDIS)
    parser.add_argument("--two", action="store_true", help="instead: what a second worker process gains")
    options = settled(parser, argv)
    if options.two and options.stack == EMBEDDED:
        parser.error("--two: embedded is one process")
    return options


def parser_of(name: str) -> argparse.ArgumentParser:
    """The options of every bench that compares workers in rounds; a stack is not among them."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {name}")
    parser.add_argument("--pairs", type=int, default=5, help="rounds")
    parser.add_argument("--seconds", type=float, default=LEAST_S, help="of each measured window, at least 15")
    parser.add_argument("--threads", type=int, default=64, help="pool size of every worker")
    parser.add_argument("--redis-db", type=int, default=11, help="an empty one; flushed at the end")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAIRS} rounds of {QUICK_S:.0f} s, only a hint")
    return parser


def settled(parser: argparse.ArgumentParser, argv: list[str]) -> Any:
    """The options read; a short window needs --quick."""
    options = parser.parse_args(argv)
    if options.quick:
        options.pairs, options.seconds = QUICK_PAIRS, QUICK_S
    elif options.seconds < LEAST_S:
        parser.error(f"--seconds {options.seconds:g}: a window has at least {LEAST_S:.0f} s; use --quick for a hint")
    return options


@contextmanager
def rig_of(options: Any, name: str) -> Iterator[Rig]:
    """A folder, and the options as a rig; whatever is started in it ends with this process, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every process started here is ended
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        yield Rig(Path(folder), options.stack, broker(options), options.threads, options.seconds)


def broker(options: Any) -> str:
    """The plain task's, and ours unless it is embedded: a Redis database of its own, or RabbitMQ."""
    url = broker_of(REDIS if options.stack == EMBEDDED else options.stack)
    if url.startswith("redis"):
        return own_redis(options.redis_db)
    return url


def _print_settings(options: Any) -> None:
    hint = " QUICK: windows too short for a figure, only a hint." if options.quick else ""
    print(
        f"{options.stack}; vendor {LATENCY_MS} ms (bare simulator); {options.threads} threads each, one process each; "
        f"{options.pairs} rounds of {options.seconds:g} s after {WARM_UP} calls;\n"
        f"a job: one text to one of {USERS} users;\n"
        f"ours: -E, INFO to a file, late acks, duplicate check, limits, marks, receipts on; production settings;\n"
        f"plain: early acks, results ignored, {plain.LOGLEVEL}, a Session a thread.{hint}",
        flush=True,
    )


def mine_tried(rig: Rig) -> Side:
    """Our side after a short trial, which says how much work it needs."""
    side = Side(ours.run)
    side.run(replace(rig, seconds=TRIAL_S))
    return side


def plain_at_its_best(rig: Rig) -> tuple[plain.Variant, Side]:
    """The plain task with the prefetch and trust_env that suit it, -E on."""
    best, side = best_of(rig, [(variant, plain_start(variant)) for variant in plain.VARIANTS])
    print(f"best: {best.name}", flush=True)
    return best, side


def best_of(rig: Rig, variants: Sequence[tuple[Named, Start]]) -> tuple[Named, Side]:
    """The fastest in short trials."""
    trial = replace(rig, seconds=TRIAL_S)
    tried = [(variant, Side(start)) for variant, start in variants]
    rates = [(side.run(trial).rate, number) for number, (_, side) in enumerate(tried)]
    return tried[max(rates)[1]]


def plain_start(variant: plain.Variant) -> Start:
    """A run of this variant."""
    return lambda rig, jobs: plain.run(rig, variant, jobs)


def one_round(rig: Rig, sides: Mapping[str, Side], number: int) -> dict[str, float]:
    """Each side once, forwards or backwards: its calls a second."""
    print(f"round {number + 1}:", flush=True)
    order = list(sides)[:: 1 if number % 2 == 0 else -1]
    rates = {name: sides[name].run(rig).rate for name in order}
    return {name: rates[name] for name in sides}


def ratios(rates: Mapping[str, float]) -> dict[str, float]:
    """Our rate as a multiple of each other side's."""
    found = {name: rates["ours"] / rate for name, rate in rates.items() if name != "ours"}
    print("  ratios: " + ", ".join(f"{ratio:.2f} to {name}" for name, ratio in found.items()), flush=True)
    return found


def median_ratios(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of the rounds, for each other side."""
    medians = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    for name, median in medians.items():
        print(f"ours to {name}: median {median:.2f} of " + " ".join(f"{found[name]:.2f}" for found in rounds))
    return medians


def _gain_of_two(options: Any) -> Figure:
    """Rates of two worker processes to rates of one: our gain as a multiple of the plain task's, the rounds' median."""
    with rig_of(options, "throughput") as rig:
        mine, (_, plain) = mine_tried(rig), plain_at_its_best(rig)
        sides = {"ours": mine, "ours, two": _two(mine), "plain": plain, "plain, two": _two(plain)}
        rounds = [one_round(rig, sides, number) for number in range(options.pairs)]
    gains = [(found["ours, two"] / found["ours"], found["plain, two"] / found["plain"]) for found in rounds]
    for name, column in zip(("ours", "plain"), zip(*gains, strict=True), strict=True):
        print(f"{name}: two make {statistics.median(column):.2f} of one's calls", *(f"{gain:.2f}" for gain in column))
    figure = statistics.median(ours / plain for ours, plain in gains)
    return Figure("throughput", f"{figure:.2f}", f"{GOAL_OF_TWO}", figure >= GOAL_OF_TWO)


def _two(side: Side) -> Side:
    """Two processes of that side, on the work of one run."""
    return Side(lambda rig, jobs: side.start(replace(rig, workers=2), jobs), side.rate * 2)


def _figure(stack: str, medians: Mapping[str, float]) -> Figure:
    goals = GOALS[stack]
    figure = ", ".join(f"{medians[name]:.2f}" for name in goals)
    return Figure("throughput", figure, _goal(stack), all(medians[name] >= goal for name, goal in goals.items()))


def _goal(stack: str) -> str:
    return ", ".join(f"{goal} to {name}" for name, goal in GOALS[stack].items())
