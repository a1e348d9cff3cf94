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
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import Figure, throughput_ours as ours, throughput_plain as plain
from bench.servers import own_redis
from bench.stacks import EMBEDDED, REDIS, STACKS, missing_service
from bench.throughput_rig import LATENCY_MS, USERS, WARM_UP, RanDry, Rig, Run
from rig.stacks import broker_of

GOAL = 1.5
LEAST_S = 15.0
TRIAL_S = 3.0
QUICK_PAIRS, QUICK_S = 2, 5.0
GUESS = 600
SPARE = 1.25
"""So much more work is laid ready than the run before would have needed."""

Start = Callable[[Rig, int], Run]


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
    """All rounds; the last figure is the median ratio to the plain task with -E."""
    options = _options(argv)
    if missing := missing_service((options.stack, REDIS)):
        return Figure("throughput", f"{missing} does not answer", f"{GOAL}", ok=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every process started here is ended
    with tempfile.TemporaryDirectory(prefix="bench-throughput-") as folder:
        rig = Rig(Path(folder), options.stack, broker(options), options.threads, options.seconds)
        _print_settings(options)
        sides = _sides(rig)
        ratios = [_round(rig, sides, number) for number in range(options.pairs)]
    return _figure(options, ratios)


def _options(argv: list[str]) -> Any:
    parser = argparse.ArgumentParser(prog="python -m bench throughput")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=LEAST_S, help="of each measured window, at least 15")
    parser.add_argument("--threads", type=int, default=64, help="pool size of both workers")
    parser.add_argument("--stack", choices=STACKS, default=REDIS)
    parser.add_argument("--redis-db", type=int, default=11, help="an empty one; flushed at the end")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAIRS} pairs of {QUICK_S:.0f} s, only a hint")
    options = parser.parse_args(argv)
    if options.quick:
        options.pairs, options.seconds = QUICK_PAIRS, QUICK_S
    elif options.seconds < LEAST_S:
        parser.error(f"--seconds {options.seconds:g}: a window has at least {LEAST_S:.0f} s; use --quick for a hint")
    return options


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


def _sides(rig: Rig) -> dict[str, Side]:
    """Ours, and the plain task at its best, found by short trials; every side's speed is known afterwards."""
    print(f"trials of {TRIAL_S:.0f} s:", flush=True)
    trial = replace(rig, seconds=TRIAL_S)
    mine = Side(ours.run)
    mine.run(trial)
    tried = [(variant, Side(_plain(variant))) for variant in plain.VARIANTS]
    rates = [(side.run(trial).rate, variant, side) for variant, side in tried]
    _, best, with_events = max(rates, key=lambda found: found[0])
    print(f"best: {best.name}", flush=True)
    without = Side(_plain(replace(best, events=False)), with_events.rate * SPARE)
    return {"ours": mine, "plain -E": with_events, "plain": without}


def _plain(variant: plain.Variant) -> Start:
    return lambda rig, jobs: plain.run(rig, variant, jobs)


def _round(rig: Rig, sides: dict[str, Side], number: int) -> dict[str, float]:
    """Each side once, forwards or backwards; our rate as a multiple of each plain one's."""
    print(f"round {number + 1}:", flush=True)
    order = list(sides) if number % 2 == 0 else list(reversed(sides))
    rates = {name: sides[name].run(rig).rate for name in order}
    ratios = {name: rates["ours"] / rates[name] for name in ("plain -E", "plain")}
    print("  ratios: " + ", ".join(f"{ratio:.2f} to {name}" for name, ratio in ratios.items()), flush=True)
    return ratios


def _figure(options: Any, ratios: list[dict[str, float]]) -> Figure:
    medians = {name: statistics.median(ratio[name] for ratio in ratios) for name in ratios[0]}
    for name, median in medians.items():
        every = " ".join(f"{ratio[name]:.2f}" for ratio in ratios)
        print(f"ours to {name}: median {median:.2f} of {every}", flush=True)
    if options.quick:
        print(f"quick: {options.pairs} rounds of {options.seconds:g} s, shorter than the goal's {LEAST_S:.0f} s")
    found = medians["plain -E"]
    if options.stack != REDIS:
        print(f"the goal is one of {REDIS}; this stack's figure is printed", flush=True)
        return Figure("throughput", f"{found:.2f}", "none", ok=True)
    return Figure("throughput", f"{found:.2f}", f"{GOAL}", found >= GOAL)
