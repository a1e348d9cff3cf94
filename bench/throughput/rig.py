"""What both sides of the throughput bench share: the fake vendor, the broker, the work, and the window measured.

A run is: work for all of it is waiting, the worker starts, a warm-up is counted, then calls are counted over a window
of steady state; the rest is worked off, so that everything can be checked.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import kombu
import kombu.pools
import redis

from bench.throughput.cost import Cpu, cpu
from bench.throughput.plain_call import QUEUE
from rig.stack import ROOT, Vendor

LATENCY_MS = 20
WARM_UP = 500
SAMPLE_S = 0.2
START_S = 60.0
SETTLE_S = 60.0
PLAIN_QUEUES = (QUEUE, f"{QUEUE}.DQ", f"{QUEUE}.XQ")
"""The second and third are dramatiq's, for delayed and for dead messages."""


Workers = Sequence[subprocess.Popen[bytes]]


class BenchFailed(AssertionError):
    """What was measured is not worth a figure: something was lost, doubled, blocked or complained about."""


class RanDry(Exception):
    """The work was over before the window was."""


@dataclass(frozen=True, slots=True)
class Rig:
    """Where a run takes place, and how long."""

    folder: Path
    stack: str
    broker: str
    threads: int
    seconds: float
    latency_ms: int = LATENCY_MS
    """Of the vendor."""
    workers: int = 1
    """Processes that work side by side."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run's window showed."""

    name: str
    jobs: int
    calls: int
    seconds: float
    used: Cpu

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    def line(self) -> str:
        """The run for people."""
        used, each = self.used, 1e6 / self.calls
        return (
            f"{self.name:<28} {self.rate:>6.0f}/s over {self.seconds:.1f} s ({self.jobs} jobs); CPU us a job: "
            f"worker {used.worker * each:.0f}, servers {used.servers * each:.0f}, "
            f"vendor {used.vendor * each:.0f}; others {used.others / self.seconds:.2f} cores"
        )


@contextmanager
def bare_vendor(rig: Rig) -> Iterator[Vendor]:
    """A simulator of this run's own."""
    vendor = Vendor(rig.folder, bare=True, latency_ms=rig.latency_ms)
    try:
        yield vendor
    finally:
        vendor.close()


@contextmanager
def empty_broker(url: str) -> Iterator[None]:
    """The Redis database, refused when somebody else uses it, flushed at the end; RabbitMQ's plain queues."""
    if not url.startswith("redis"):
        try:
            yield
        finally:
            with kombu.Connection(url, connect_timeout=10) as connection, connection.channel() as channel:
                for queue in PLAIN_QUEUES:
                    channel.queue_delete(queue)
            kombu.pools.reset()  # its connections remember the queue as declared
        return
    with redis.Redis.from_url(url) as client:
        if client.dbsize():
            raise BenchFailed(f"{url} is not empty; flush it, or choose another with --redis-db")
        try:
            yield
        finally:
            client.flushdb()


def measure(name: str, rig: Rig, vendor: Vendor, workers: Workers, jobs: int, database: str = "") -> Run:
    """Counts calls over the window, once the warm-up is behind."""

    def used() -> Cpu:
        return cpu([worker.pid for worker in workers], vendor.process.pid, database)

    until(lambda: vendor.sends() >= WARM_UP, workers, START_S, f"{WARM_UP} calls", lambda: f"{vendor.sends()}")
    before, first, started = used(), vendor.sends(), time.monotonic()
    while (spent := time.monotonic() - started) < rig.seconds:
        time.sleep(min(SAMPLE_S, rig.seconds - spent))
        if vendor.sends() > jobs - 2 * rig.threads:
            raise RanDry
    calls, spent = vendor.sends() - first, time.monotonic() - started
    return Run(name, jobs, calls, spent, used().since(before))


def until(
    condition: Callable[[], bool],
    workers: Workers,
    limit_s: float,
    what: str,
    state: Callable[[], str] = lambda: "nothing known",
) -> None:
    """Waits for a condition; fails with the state of things when the worker dies or it takes too long."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if ended := [worker.returncode for worker in workers if worker.poll() is not None]:
            raise BenchFailed(f"a worker ended with {ended[0]} before {what}")
        if time.monotonic() > deadline:
            raise BenchFailed(f"{what}: not within {limit_s:.0f} s, but {state()}")
        time.sleep(0.05)


def same(counts: dict[str, int], expected: int) -> None:
    """All of these numbers are the number of jobs."""
    if any(count != expected for count in counts.values()):
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise BenchFailed(f"{expected} jobs, but {shown}")


@contextmanager
def processes(commands: Sequence[Sequence[str]], env: Mapping[str, str], log: Path) -> Iterator[Workers]:
    """`python -m COMMAND` for each, all writing to one log; killed at the end if they still run."""
    with ExitStack() as scope:
        opened = scope.enter_context(log.open("ab"))
        yield [scope.enter_context(_process(command, env, opened)) for command in commands]


@contextmanager
def _process(command: Sequence[str], env: Mapping[str, str], log: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", *command],
        cwd=ROOT,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


def finish(workers: Workers, vendor: Vendor, log: Path, jobs: int) -> None:
    """Lets them call the rest and ends them; fails unless they made a call a job and said nothing of an error."""
    until(lambda: vendor.sends() >= jobs, workers, SETTLE_S, f"{jobs} calls", lambda: f"{vendor.sends()}")
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    statuses = [worker.wait(SETTLE_S) for worker in workers]
    said = log.read_text(encoding="utf-8", errors="replace")
    if any(statuses) or "Traceback" in said:
        raise BenchFailed(f"plain workers ended with {statuses}:\n{said[-2000:]}")
    same({"calls": vendor.sends()}, jobs)
