"""What a scrape of the metrics costs with a thousand busy accounts and a million jobs, beside one of an empty outbox.

Both are asked in turn over HTTP, while the full one is read by its thread as in production. The figure is how many
milliseconds the p50 of the full one is above that of the empty one; beside it, how long a reading takes.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import requests
import uvicorn

from bench import Figure
from bench.scale.contents import KINDS, add_ended_jobs, scratch, tidy
from worker.config.accounts import FixedAccounts
from worker.domain.account import Account, Secret
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.database import Database
from worker.service.loop import Loop
from worker.service.web.collector import OutboxCollector
from worker.service.web.metrics import LatestMetrics, metrics_app

GOAL_MS = 50.0
ACCOUNTS, JOBS, PARTS_EACH, SAMPLES = 1_000, 1_000_000, 10, 200


def main(argv: list[str]) -> Figure:
    """Each database; the worst difference."""
    os.environ["BENCH_SECRET"] = "s"
    parser = argparse.ArgumentParser(prog="python -m bench scrape")
    parser.add_argument("--database", choices=("all", *KINDS), default="all")
    parser.add_argument("--jobs", type=int, default=JOBS)
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every database made here is dropped
    worst = max(measure(kind, options.jobs) for kind in (KINDS if options.database == "all" else (options.database,)))
    return Figure("scrape", f"{worst:.1f} ms over an empty one", f"{GOAL_MS:.0f} ms", worst <= GOAL_MS)


def measure(kind: str, jobs: int) -> float:
    """Milliseconds by which a scrape of a full outbox is longer than one of an empty one."""
    with ExitStack() as scope:
        empty, full = (scope.enter_context(scratch(kind, f"scrape_{name}")) for name in ("empty", "full"))
        _fill(full, jobs)
        names = [f"a{n}" for n in range(ACCOUNTS)]
        accounts = FixedAccounts([_account(name) for name in names])
        outbox = OutboxCollector(full, accounts)
        began = time.perf_counter()
        lines = sum(len(metric.samples) for metric in outbox.collect())
        reading_ms = 1000 * (time.perf_counter() - began)
        addresses = [
            scope.enter_context(_served(LatestMetrics(OutboxCollector(database, accounts))))
            for database in (empty, full)
        ]
        spent: list[list[float]] = [[], []]
        for _ in range(SAMPLES):
            for address, found in zip(addresses, spent, strict=True):
                began = time.perf_counter()
                requests.get(address, timeout=60).raise_for_status()
                found.append(1000 * (time.perf_counter() - began))
    before, after = (statistics.median(found) for found in spent)
    print(f"{kind}: {ACCOUNTS:,} accounts with {PARTS_EACH} parts each, {jobs:,} jobs that ended; milliseconds, p50")
    print(f"  a scrape {after:.1f}, {lines:,} series; of an empty outbox {before:.1f}; a reading {reading_ms:.0f}")
    return after - before


def _account(name: str) -> Account:
    return Account(name, "wecom_app", "http://vendor", {"corpid": f"ww{name}", "agentid": 7}, Secret(lambda: "s"))


def _fill(database: Database, jobs: int) -> None:
    add_ended_jobs(database, jobs, [])
    parts = [
        {"id": f"{n:032x}-0", "job_id": f"{n:032x}", "n": 0, "lane": f"a{n % ACCOUNTS}:0", "priority": 1}
        | {"not_before": 1, "spec": "{}"}
        for n in range(ACCOUNTS * PARTS_EACH)
    ]
    database.run(lambda connection: insert_rows(connection, tables.parts, parts))
    tidy(database)


@contextmanager
def _served(answers: LatestMetrics) -> Iterator[str]:
    """The metrics over HTTP; their address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(metrics_app(answers), log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    reading = Loop("reading", answers.turn)
    thread.start()
    reading.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/metrics"
    finally:
        server.should_exit = True
        thread.join()
        reading.stop(60)
