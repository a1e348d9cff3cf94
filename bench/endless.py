"""Whether vendors whose answers never end cost anybody else: enqueue-to-call of an account alone and beside four.

As `isolation`, with one account each whose vendor never ends a line, a header, the size of a chunk or a text in JSON,
and a backlog for each. At the end the worker beside them is told to stop: it has its grace of a call's deadline + 5 s.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from bench import Figure
from bench.isolation import GOAL, LEASE_S, MORE_MS, RATE, THREADS, Side, p99, phase_of
from bench.stand.stacks import REDIS, missing_service
from rig.endless import RIGHT, EndlessVendor, accounts_of, endless_vendors
from rig.stack import Stack, Vendor, until
from rig.stacks import broker_of, scratch
from worker import NewJob, enqueue_many, webhook
from worker.outbox.engine.migrate import upgrade

SAMPLES, BACKLOG = 2_000, 2_000
GRACE_S = 25.0
"""The deadline of a call and five seconds."""


def main(argv: list[str]) -> Figure:
    """The p99 beside endless answers against the p99 alone."""
    options = _options(argv)
    if missing := missing_service([REDIS]):
        return Figure("endless", f"{missing} does not answer", f"{GOAL}", ok=False)
    with _sides(options.backlog) as (sides, vendors):
        spans: dict[str, list[float]] = {side.name: [] for side in sides}
        for turn in range(2 * options.phases):
            side = sides[turn % 2]
            spans[side.name] += phase_of(side, options.samples, options.rate, random.Random(turn))
        sides[1].worker.send_signal(signal.SIGCONT)
        began = time.monotonic()
        sides[1].stack.end(sides[1].worker)
        ended_s = time.monotonic() - began
        calls = [vendor.calls for vendor in vendors]
    alone, beside = (p99(spans[side.name]) for side in sides)
    print(f"p99 alone {alone:.1f} ms, beside {beside:.1f} ms; endless answers: {calls}; TERM took {ended_s:.1f} s")
    ok = beside <= max(GOAL * alone, alone + MORE_MS) and ended_s < GRACE_S and all(calls)
    return Figure("endless", f"{beside / alone:.2f}", f"{GOAL}, or {MORE_MS:.0f} ms more", ok)


def _options(argv: list[str]) -> Any:
    parser = argparse.ArgumentParser(prog="python -m bench endless")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="of a phase")
    parser.add_argument("--phases", type=int, default=2, help="of each side")
    parser.add_argument("--rate", type=float, default=RATE, help="jobs a second")
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="jobs for each endless vendor")
    return parser.parse_args(argv)


@contextmanager
def _sides(backlog: int) -> Iterator[tuple[list[Side], list[EndlessVendor]]]:
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-endless-")))
        vendor = scope.enter_context(closing(Vendor(folder, {"keep_calls": 1_000_000})))
        endless = scope.enter_context(endless_vendors())
        sides = []
        for name, account in (("alone", ""), ("beside", accounts_of(endless))):
            place = folder / name
            url = scope.enter_context(scratch(REDIS, f"bench_endless_{os.getpid()}_{name}", place))
            delivery = {"lease_s": LEASE_S, "heartbeat_s": 3.0}
            stack = Stack(place, url, broker_of(REDIS), vendor, delivery=delivery, account=account)
            scope.callback(stack.close)
            upgrade(stack.database.engine)
            sides.append(Side(name, stack))
        with sides[1].stack.database.engine.begin() as connection:
            for name in endless:
                jobs = [NewJob(name, webhook.Text(content=f"{name} {n}")) for n in range(backlog)]
                enqueue_many(connection, jobs, accounts=sides[1].stack.accounts)
        for side in sides:
            side.worker = side.stack.worker(threads=THREADS)
            until(lambda side=side: side.stack.rows("select 1 from worker_processes"), "a worker is there")  # type: ignore[misc]
        until(lambda: all(one.calls > RIGHT for one in endless.values()), "each has an answer that does not end")
        for side in sides:
            side.worker.send_signal(signal.SIGSTOP)
        yield sides, list(endless.values())
