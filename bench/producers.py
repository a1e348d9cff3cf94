"""What a worker costs producers: single enqueues of 64 at once, beside a worker that delivers all the time.

The claim is about waiting, and the machine's processors are shared, so both phases have the same worker at work: in
one it delivers a backlog of the producers' own database, in the other one of another database of the same server. The
vendor's latency sets its pace, so that it takes as much of the processors in both.
Phases come in pairs, their order alternates, the median of the pairs' ratios is the figure. The rate without any
worker is printed too. All the time the database is asked who waits for whom: no producer may ever wait for a worker.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, make_url

from bench import Figure
from bench.producers_watch import Watch, sees_a_wait
from bench.throughput import missing_service
from bench.throughput_ours import complaints, prepare
from bench.throughput_rig import Bare, BenchFailed, until
from tests.process import own_postgres
from tests.process.stack import ROOT, Stack
from tests.support import databases

GOAL = 0.9
PAIRS, SECONDS = 5, 10.0
PROCESSES, THREADS = 4, 16
WORKER_THREADS = 32
LATENCY_MS = 200
"""A vendor slow enough that the worker has the same work in both phases, whatever the processors have left for it."""
WARM_UP_CALLS = 100
WARM_UP_S = 2.0
CONNECTIONS = 200
"""Of the PostgreSQL server started for this: the usual hundred are too few for both sides."""
KINDS = ("postgres", "mariadb")


@dataclass(frozen=True, slots=True)
class Phase:
    """What one window showed."""

    rate: float
    calls: float
    longest_s: float


class Producers:
    """The producing processes, with their connections open."""

    def __init__(self, url: str, base_url: str):
        command = [sys.executable, "-m", "bench.producers_process", url, str(THREADS), base_url]
        self._processes = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]
        self.connections = [id for process in self._processes for id in self._answer(process)]

    def run(self, seconds: float) -> tuple[float, float]:
        """Jobs a second of all, and the longest transaction."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
        answers = [self._answer(process) for process in self._processes]
        return sum(jobs for jobs, _ in answers) / seconds, max(longest for _, longest in answers)

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> list[Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchFailed("a producing process ended")
        answer: list[Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends them."""
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
            process.terminate()
            process.wait()


@dataclass(slots=True)
class Scene:
    """Two databases of one server, the producers of the first, and a vendor."""

    own: Stack
    other: Stack
    vendor: Bare
    producers: Producers
    watch: Watch

    def phase(self, name: str, stack: Stack | None, seconds: float) -> Phase:
        """A window of producing beside a worker on this database, or beside none."""
        worker = self._started(stack) if stack else None
        self.producers.run(WARM_UP_S)
        calls = self.vendor.sends()
        with self.watch.looking():
            rate, longest_s = self.producers.run(seconds)
        found = Phase(rate, (self.vendor.sends() - calls) / seconds, longest_s)
        if stack and worker:
            self._end(stack, worker)
        print(
            f"  {name:<22} {found.rate:>6.0f} enqueued/s, {found.calls:>4.0f} delivered/s,"
            f" longest transaction {found.longest_s * 1000:.0f} ms",
            flush=True,
        )
        return found

    def _started(self, stack: Stack) -> Any:
        worker, before = stack.worker(threads=WORKER_THREADS), self.vendor.sends()
        until(lambda: self.vendor.sends() - before >= WARM_UP_CALLS, worker, 60.0, f"{WARM_UP_CALLS} calls")
        return worker

    def _end(self, stack: Stack, worker: Any) -> None:
        """It must have had work to the end, and nothing to complain about."""
        if stack.number("select count(*) from (select 1 from worker_parts where state = 0 limit 500) few") < 500:
            raise BenchFailed("the worker ran out of work")
        if status := stack.end(worker):
            raise BenchFailed(f"the worker ended with {status}")
        complaints(line for line in stack.logs().splitlines() if line)


def main(argv: list[str]) -> Figure:
    """Both databases; the worse ratio, and no wait at all."""
    options = _options(argv)
    if missing := missing_service():
        return Figure("producers", f"{missing} does not answer", f"{GOAL}", ok=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every process started here is ended
    worst, waits = float("inf"), 0
    for kind in KINDS if options.database == "all" else (options.database,):
        with _scene(kind, options) as scene:
            ratio = measure(kind, scene, options)
            waits += scene.watch.for_workers.total()
        worst = min(worst, ratio)
    figure = f"{worst:.2f}" if not waits else f"{worst:.2f}, but {waits} waits for a worker seen"
    return Figure("producers", figure, f"{GOAL}", worst >= GOAL and not waits)


def _options(argv: list[str]) -> Any:
    parser = argparse.ArgumentParser(prog="python -m bench producers")
    parser.add_argument("--database", choices=("all", *KINDS), default="all")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each window")
    parser.add_argument("--backlog", type=int, default=0, help="jobs laid ready in each database; 0: enough")
    parser.add_argument("--latency-ms", type=int, default=LATENCY_MS, help="of the vendor: the worker's pace")
    parser.add_argument("--quick", action="store_true", help="one short pair: only a hint")
    options = parser.parse_args(argv)
    if options.quick:
        options.pairs, options.seconds = 1, 3.0
    options.backlog = options.backlog or int(
        5_000 + options.pairs * (options.seconds + WARM_UP_S + 3) * WORKER_THREADS * 1000 / LATENCY_MS
    )
    return options


@contextmanager
def _scene(kind: str, options: Any) -> Iterator[Scene]:
    with ExitStack() as scope:
        server = own_postgres.running(CONNECTIONS) if kind == "postgres" else None
        url = scope.enter_context(server).url if server else databases.need(databases.MARIADB)
        vendor = Bare(options.latency_ms)
        scope.callback(vendor.close)
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-producers-")))
        own, other = (_stack(scope, url, folder / name, vendor, options.backlog) for name in ("own", "other"))
        producers = Producers(own.database_url, vendor.url)
        scope.callback(producers.close)
        yield Scene(own, other, vendor, producers, Watch(own.database_url, producers.connections))


def _stack(scope: ExitStack, server: str, folder: Path, vendor: Bare, backlog: int) -> Stack:
    """A database with work in it, and the settings of a worker for it."""
    url = scope.enter_context(_database(server, f"worker_bench_{folder.name}_{os.getpid()}"))
    stack = Stack(folder, url, databases.REDIS.url, vendor, delivery={})
    scope.callback(stack.close)
    prepare(stack, backlog)
    return stack


@contextmanager
def _database(server: str, name: str) -> Iterator[str]:
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"create database {name}")
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            _drop(admin, name)
    finally:
        admin.dispose()


def _drop(admin: Engine, name: str) -> None:
    force = " with (force)" if admin.dialect.name == "postgresql" else ""
    with admin.connect() as connection:
        connection.exec_driver_sql(f"drop database {name}{force}")


def measure(kind: str, scene: Scene, options: Any) -> float:
    """The median ratio of the pairs on one database."""
    if not sees_a_wait(scene.own.database_url):
        raise BenchFailed("a producer was made to wait for a worker, and the watch did not see it")
    print(
        f"{kind}: {PROCESSES} processes of {THREADS} threads, a connection each, one job a transaction;"
        f" {options.pairs} pairs of {options.seconds:g} s;\n"
        f"a worker with {WORKER_THREADS} threads, vendor {options.latency_ms} ms, {options.backlog} jobs ready;"
        f" {os.cpu_count()} cores\na wait made on purpose was seen",
        flush=True,
    )
    ratios, alone = [], []
    for number in range(options.pairs):
        order = [("worker here", scene.own), ("worker elsewhere", scene.other)]
        found = {name: scene.phase(name, stack, options.seconds) for name, stack in order[:: -1 if number % 2 else 1]}
        bare = scene.phase("no worker", None, options.seconds)
        ratios.append(found["worker here"].rate / found["worker elsewhere"].rate)
        alone.append(found["worker here"].rate / bare.rate)
        print(f"  ratio {ratios[-1]:.2f}; to no worker {alone[-1]:.2f}", flush=True)
    return _told(kind, scene.watch, ratios, alone)


def _told(kind: str, watch: Watch, ratios: list[float], alone: list[float]) -> float:
    median = statistics.median(ratios)
    every = " ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"{kind}: median {median:.2f} of {every}; to no worker at all {statistics.median(alone):.2f}")
    print(
        f"{kind}: {watch.looks} looks at the locks: producers waited for a worker in {watch.for_workers.total()}"
        f" {dict(watch.for_workers) or ''}, for each other in {watch.for_producers}",
        flush=True,
    )
    return median
