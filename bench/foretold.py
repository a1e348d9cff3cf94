"""Whether `worker forecast` is right within a factor of two, from 30 s after the workers' start.

A backlog of an account waits before a worker starts. Every few seconds the forecast is read; once the backlog is sent,
each is compared with the time that it really took from then on. Calls of 5, 100 and 400 ms, one process or two.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import cast

from bench import Figure
from bench.stand.arrivals import Arrivals
from bench.stand.installation import installation, lay_ready, start_with_windows
from bench.stand.servers import own_redis
from bench.stand.stacks import REDIS, missing_service
from bench.throughput.plain_call import text_of
from bench.throughput.rig import BenchFailed, empty_broker
from rig.stack import ACCOUNT, Stack, Vendor
from worker import NewJob, Text, To
from worker.reporting.forecast import forecast

GOAL = 2.0
FROM_S, EVERY_S, LAST_S = 30.0, 3.0, 5.0
"""Seconds after the start from which a forecast counts, between two, and of work that have to be left for one."""
STORIES = ((5, 1, 18_000), (100, 1, 7_000), (400, 2, 4_000))
"""Milliseconds of a call, worker processes, messages."""


def main(argv: list[str]) -> Figure:
    """The figure is the worst factor, in either direction."""
    options = argparse.ArgumentParser(prog="python -m bench foretold")
    options.add_argument("--redis-db", type=int, default=12, help="an empty one; flushed at the end")
    given, goal = options.parse_args(argv), f"within {GOAL:g} x"
    if missing := missing_service((REDIS,)):
        return Figure("foretold", f"{missing} does not answer", goal, ok=False)
    worst = max(_worst(own_redis(given.redis_db), *story) for story in STORIES)
    return Figure("foretold", f"{worst:.2f} x", goal, worst <= GOAL)


def _worst(broker: str, latency_ms: int, processes: int, messages: int) -> float:
    with (
        tempfile.TemporaryDirectory(prefix="bench-foretold-") as folder,
        empty_broker(broker),
        closing(Arrivals(Path(folder), latency_ms)) as arrivals,
        installation("foretold", REDIS, Path(folder), cast("Vendor", arrivals), broker=broker, delivery={}) as stack,
    ):
        jobs = (NewJob(ACCOUNT, Text(content=text_of(n)), To(users=[f"u{n}"])) for n in range(messages))
        lay_ready(stack, jobs)
        start_with_windows(stack, processes, 16, {})
        foretold, ended_s = _watch(stack)
    factors = [max(said / left, left / said) for at, said in foretold if (left := ended_s - at) > LAST_S and said]
    worst = max(factors)
    print(f"  {latency_ms} ms a call: {messages} sent in {ended_s:.0f} s; {len(factors)} forecasts, {worst:.2f} x")
    return worst


def _watch(stack: Stack) -> tuple[list[tuple[float, float]], float]:
    """Returns (seconds since the start, seconds that were foretold) of each forecast, and the seconds it all took."""
    began, foretold = time.monotonic(), list[tuple[float, float]]()
    while (at := time.monotonic() - began) < 300:
        with stack.database.reading() as connection:
            accounts = forecast(connection, stack.database.now, stack.accounts)
        if not accounts:
            return foretold, at
        if at >= FROM_S and accounts[0].due:
            if accounts[0].in_s is None:
                raise BenchFailed(f"nothing is foretold {at:.0f} s after the start\n{stack.logs()[-3000:]}")
            foretold.append((at, accounts[0].in_s))
        time.sleep(EVERY_S)
    raise BenchFailed(f"not done within 300 s\n{stack.state()}")
