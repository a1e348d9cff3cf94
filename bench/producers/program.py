"""What a worker costs producers: single enqueues of 64 at once, with and without a worker that delivers all the time.

Producers and database have one half of the processors, worker and vendor the other, as on two hosts; `--together` lets
everybody run everywhere, and measures mostly what is left of the processors. Windows of five seconds take turns, so
that the machine's other business hits both; the worker is stopped while it is not its turn, and gets over that in the
first of them. The median of the rounds' ratios is the figure. All the time the database is asked who waits for whom: no
producer may ever wait for a lock that a worker's transaction holds.
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
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import Figure
from bench.producers.watch import Watch, is_refused_a_wait, sees_a_wait
from bench.stand.servers import own_database
from bench.stand.stacks import REDIS, missing_service
from bench.throughput.ours import complaints, prepare
from bench.throughput.rig import BenchFailed, until
from rig import databases
from rig.servers import own_mariadb, own_postgres
from rig.stack import ROOT, Stack, Vendor

GOAL = 0.95
ROUNDS, SECONDS = 12, 5.0
PAUSE_S = 0.3
"""Until the calls of a worker that was stopped are over."""
PROCESSES, THREADS = 4, 16
WORKER_THREADS = 32
LATENCY_MS = 200
"""A vendor as slow as the real one, which sets the worker's pace: some 150 calls a second."""
WARM_UP_CALLS = 100
LEASE_S = 120.0
CONNECTIONS = 300
"""Of the server that is started for this: usual settings are too few for both sides."""
SERVERS: Mapping[str, Callable[[int], AbstractContextManager[Any]]] = {
    "postgres": own_postgres.running,
    "mariadb": own_mariadb.running,
}
KINDS = tuple(SERVERS)


@dataclass(frozen=True, slots=True)
class Window:
    """What one window showed, a second."""

    enqueued: float
    delivered: float
    longest_s: float
    refused: int


class Producers:
    """The producing processes, with their connections open."""

    def __init__(self, url: str, base_url: str):
        command = [sys.executable, "-m", "bench.producers.process", url, str(THREADS), base_url]
        self._processes = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]
        self.connections = [id for process in self._processes for id in self._answer(process)]

    def run(self, seconds: float) -> tuple[float, float, int]:
        """Jobs a second of all, the longest transaction, and how many were refused for a lock."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
        answers = [self._answer(process) for process in self._processes]
        jobs, longest, refused = zip(*answers, strict=True)
        return sum(jobs) / seconds, max(longest), sum(refused)

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


@dataclass(frozen=True, slots=True)
class Places:
    """The processors of both sides."""

    data: frozenset[int]
    """Of the producers and their database."""
    delivery: frozenset[int]
    """Of the worker and the vendor."""

    @classmethod
    def of(cls, cores: Collection[int], *, together: bool) -> Places:
        """Halves, or everything for everybody."""
        every = sorted(cores)
        if together:
            return cls(frozenset(every), frozenset(every))
        if len(every) < 2:
            raise BenchFailed("one processor cannot be shared out; --together measures what is left of it")
        return cls(frozenset(every[: len(every) // 2]), frozenset(every[len(every) // 2 :]))


def bind(pid: int, cores: Collection[int]) -> None:
    """A process and all of its threads run there from now on."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


@dataclass(slots=True)
class Scene:
    """A database with producers, a worker and a vendor."""

    stack: Stack
    vendor: Vendor
    producers: Producers
    watch: Watch
    worker: Any

    def start(self) -> None:
        """The worker is at work, and stopped in the midst of it."""
        until(lambda: self.vendor.sends() >= WARM_UP_CALLS, [self.worker], 60.0, "first calls")
        self.worker.send_signal(signal.SIGSTOP)

    def window(self, seconds: float, *, worker: bool) -> Window:
        """Producing beside the worker, or beside none."""
        if worker:
            self.worker.send_signal(signal.SIGCONT)
        time.sleep(PAUSE_S)
        before = self.vendor.sends()
        enqueued, longest_s, refused = self.producers.run(seconds)
        delivered = (self.vendor.sends() - before) / seconds
        if worker:
            self.worker.send_signal(signal.SIGSTOP)
        return Window(enqueued, delivered, longest_s, refused)

    def end(self) -> None:
        """It must have had work to the end, and nothing to complain about."""
        if self.stack.number("select count(*) from (select 1 from worker_parts where state = 0 limit 500) few") < 500:
            raise BenchFailed("the worker ran out of work")
        self.worker.send_signal(signal.SIGCONT)
        if status := self.stack.end(self.worker):
            raise BenchFailed(f"the worker ended with {status}")
        # What the broker hands out while a worker ends goes back, and kombu says so.
        lines = (line for line in self.stack.logs().splitlines() if line and "Requeuing undeliverable" not in line)
        complaints(lines)


def main(argv: list[str]) -> Figure:
    """Both databases; the worse ratio, and no wait at all."""
    options = _options(argv)
    if missing := missing_service((REDIS,)):
        return Figure("producers", f"{missing} does not answer", f"{GOAL}", ok=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every process started here is ended
    worst, waits = float("inf"), 0
    for kind in KINDS if options.database == "all" else (options.database,):
        with _scene(kind, options) as scene:
            ratio, waited = measure(kind, scene, options)
            worst, waits = min(worst, ratio), waits + waited
    figure = f"{worst:.2f}" if not waits else f"{worst:.2f}, but {waits} waits for a worker seen"
    return Figure("producers", figure, f"{GOAL}", worst >= GOAL and not waits)


def _options(argv: list[str]) -> Any:
    parser = argparse.ArgumentParser(prog="python -m bench producers")
    parser.add_argument("--database", choices=("all", *KINDS), default="all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each window")
    parser.add_argument("--backlog", type=int, default=0, help="jobs laid ready in each database; 0: enough")
    parser.add_argument("--latency-ms", type=int, default=LATENCY_MS, help="of the vendor: the worker's pace")
    parser.add_argument("--together", action="store_true", help="everybody on all processors")
    parser.add_argument("--quick", action="store_true", help="three rounds: only a hint")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds = 3
    calls = options.rounds * (options.seconds + 2 * PAUSE_S) * WORKER_THREADS * 1000 / options.latency_ms
    options.backlog = options.backlog or int(5_000 + calls)
    return options


@contextmanager
def _scene(kind: str, options: Any) -> Iterator[Scene]:
    places = Places.of(os.sched_getaffinity(0), together=options.together)
    with ExitStack() as scope:
        scope.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, places.data)  # and whatever is started from here
        server = scope.enter_context(SERVERS[kind](CONNECTIONS)).url
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-producers-")))
        url = scope.enter_context(own_database(server, f"worker_bench_{os.getpid()}"))
        vendor = Vendor(folder, bare=True, latency_ms=options.latency_ms)
        scope.callback(vendor.close)
        # A worker that is stopped for some windows must not take itself for dead.
        stack = Stack(folder / "stack", url, databases.REDIS.url, vendor, delivery={"lease_s": LEASE_S})
        scope.callback(stack.close)
        prepare(stack, options.backlog)
        producers = Producers(url, vendor.url)
        scope.callback(producers.close)
        worker = stack.worker(threads=WORKER_THREADS)
        for process in (vendor.process, worker):
            bind(process.pid, places.delivery)
        yield Scene(stack, vendor, producers, Watch(url, producers.connections), worker)


def measure(kind: str, scene: Scene, options: Any) -> tuple[float, int]:
    """The median ratio of the rounds on one database, and how many waits were seen."""
    own = scene.stack.database_url
    if not sees_a_wait(own) or (kind == "mariadb" and not is_refused_a_wait(own)):
        raise BenchFailed("a producer was made to wait for a worker, and it was not noticed")
    print(
        f"{kind}: {PROCESSES} processes of {THREADS} threads, a connection each, one job a transaction;"
        f" {options.rounds} rounds of two windows of {options.seconds:g} s;\n"
        f"a worker with {WORKER_THREADS} threads, vendor {options.latency_ms} ms, {options.backlog} jobs ready;"
        f" {os.cpu_count()} cores, {'all for everybody' if options.together else 'half of them for the worker'}\n"
        "a wait made on purpose was seen",
        flush=True,
    )
    scene.start()
    scene.producers.run(options.seconds)
    rounds: list[dict[bool, Window]] = []
    with scene.watch.looking():
        for number in range(options.rounds):
            order = (False, True) if number % 2 else (True, False)
            rounds.append({worker: scene.window(options.seconds, worker=worker) for worker in order})
    scene.end()
    return _told(kind, scene.watch, rounds)


def _told(kind: str, watch: Watch, rounds: list[dict[bool, Window]]) -> tuple[float, int]:
    for worker in (True, False):
        every = [found[worker] for found in rounds]
        print(
            f"  {'beside a worker' if worker else 'without one':<16}"
            f" {statistics.median(one.enqueued for one in every):>6.0f} enqueued/s,"
            f" {statistics.median(one.delivered for one in every):>4.0f} delivered/s,"
            f" longest transaction {max(one.longest_s for one in every) * 1000:.0f} ms,"
            f" refused {sum(one.refused for one in every)}"
        )
    ratios = [found[True].enqueued / found[False].enqueued for found in rounds]
    median = statistics.median(ratios)
    print(f"{kind}: {median:.2f}, median of " + " ".join(f"{ratio:.2f}" for ratio in sorted(ratios)))
    refused = sum(window.refused for found in rounds for window in found.values())
    if kind == "mariadb":
        print(f"{kind}: transactions of producers that would have had to wait for any row's lock: {refused}")
    print(
        f"{kind}: {watch.looks} looks at the locks: producers waited for a worker in {watch.for_workers.total()}"
        f" {dict(watch.for_workers) or ''}, for each other in {watch.for_producers};"
        f" for a worker to add a page to a file in {watch.for_pages}",
        flush=True,
    )
    return median, watch.for_workers.total() + refused
