"""Enqueue-to-call without a backlog, one job at a time: from just before `enqueue` and the commit to the arrived call.

Both ends are read from the machine's monotonic clock: the full simulator notes it when a request's first line is
there. Random pauses of 0 to 120 ms in between keep the samples from falling into step with any poll. On every stack (a
worker under Celery's own command; embedded, `worker up`) with production settings; the worst median counts. Fails when
a call is missing, doubled, or the worker complains.

`--rest SECONDS` measures lone jobs instead: nothing came for so long before each, so that the relay looks as seldom as
it ever does. The longest counts.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench import Figure
from bench.stand.installation import installation
from bench.stand.stacks import STACKS, missing_service
from bench.throughput.ours import complaints
from bench.throughput.rig import BenchFailed
from rig.stack import ACCOUNT, Stack, Vendor, until
from worker import Text, To, enqueue

GOAL_MS, REST_GOAL_MS = 50, 300
SEND = "/cgi-bin/message/send"
SAMPLES, WARM_UP, LONE = 200, 20, 12
MAX_PAUSE_S = 0.12
THREADS = 32


def main(argv: list[str]) -> Figure:
    """Every stack; the worst median."""
    parser = argparse.ArgumentParser(prog="python -m bench latency")
    parser.add_argument("--samples", type=int, help=f"jobs; otherwise {SAMPLES}, or {LONE} lone ones")
    parser.add_argument(
        "--rest", type=float, default=0.0, help="instead: seconds without a job before each, 15 or more"
    )
    parser.add_argument("--stack", choices=("all", *STACKS), default="all")
    parser.add_argument("--seed", type=int, default=1, help="of the pauses")
    options = parser.parse_args(argv)
    kinds = STACKS if options.stack == "all" else (options.stack,)
    if missing := missing_service(kinds):
        return Figure("latency", f"{missing} does not answer", f"{GOAL_MS}", ok=False)
    goal = REST_GOAL_MS if options.rest else GOAL_MS
    samples = options.samples or (LONE if options.rest else SAMPLES)
    figures = []
    for kind in kinds:
        with _stack(kind) as stack:
            found = sample(stack, samples, random.Random(options.seed), options.rest)
        median, longest = show(kind, found)
        figures.append(longest if options.rest else median)
    worst = max(figures)
    return Figure("latency", f"{worst:.0f} ms", f"{goal}", worst <= goal)


@contextmanager
def _stack(kind: str) -> Iterator[Stack]:
    """A worker that is ready and has nothing to do."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-latency-") as folder,
        closing(Vendor(Path(folder))) as vendor,
        installation("latency", kind, Path(folder), vendor, delivery={}) as stack,
    ):
        stack.worker(threads=THREADS)
        until(lambda: stack.number("select count(*) from worker_processes"), "the worker is there")
        yield stack


def sample(stack: Stack, samples: int, rng: random.Random, rest_s: float = 0.0) -> list[tuple[float, float]]:
    """Seconds from before the enqueue, and from after the commit, to the call; the warm-up left out."""
    asked = []
    for n in range(WARM_UP + samples):
        time.sleep(rng.uniform(0.0, MAX_PAUSE_S) + (rest_s if n >= WARM_UP else 0.0))
        asked.append(_ask(stack, n))
        until(lambda n=n: stack.vendor.sends() > n, f"call {n}")  # type: ignore[misc]
    stack.until_settled()
    if status := stack.end(stack.processes[0]):
        raise BenchFailed(f"the worker ended with {status}")
    _check(stack, len(asked))
    arrived = _arrivals(stack, len(asked))
    spans = [(arrived[n] - before, arrived[n] - after) for n, (before, after) in enumerate(asked)]
    return spans[WARM_UP:]


def _ask(stack: Stack, n: int) -> tuple[float, float]:
    """One job in a transaction of its own; the instants before and after."""
    before = time.monotonic()
    with stack.database.engine.begin() as connection:
        enqueue(connection, ACCOUNT, Text(content=f"{n}"), To(users=[f"u{n}"]), accounts=stack.accounts)
    return before, time.monotonic()


def _check(stack: Stack, jobs: int) -> None:
    """Each was sent once and recorded, and nobody complained."""
    accepted = stack.number("select count(*) from worker_jobs where state = 2")
    receipts = stack.number("select count(*) from worker_receipts where msgid is not null")
    if (accepted, receipts) != (jobs, jobs):
        raise BenchFailed(f"{jobs} jobs, but accepted {accepted}, receipts {receipts}\n{stack.state()}")
    complaints(stack.logs().splitlines())


def _arrivals(stack: Stack, jobs: int) -> dict[int, float]:
    """When each job's call arrived, by the simulator's log."""
    calls: list[dict[str, Any]] = stack.vendor.calls(SEND)
    arrived = {int(json.loads(call["body"])["text"]["content"]): float(call["real"]) for call in calls}
    if len(calls) != jobs or sorted(arrived) != list(range(jobs)):
        raise BenchFailed(f"{jobs} jobs, but {len(calls)} calls of {len(arrived)} jobs")
    return arrived


def show(kind: str, spans: list[tuple[float, float]]) -> tuple[float, float]:
    """Prints the distribution; the median and the longest in milliseconds."""
    whole, after_commit = ([span * 1000 for span in column] for column in zip(*spans, strict=True))
    cuts: list[float] = statistics.quantiles(whole, n=100, method="inclusive")
    print(
        f"{kind:<15} {len(whole)} jobs: p50 {cuts[49]:.1f} ms  p90 {cuts[89]:.1f} ms  p99 {cuts[98]:.1f} ms"
        f"  longest {max(whole):.1f} ms"
        f"  (p50 from the commit on: {statistics.median(after_commit):.1f} ms)",
        flush=True,
    )
    return cuts[49], max(whole)
