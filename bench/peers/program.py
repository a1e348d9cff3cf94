"""Calls a second of our worker against other queues, each with its own best settings and the same call.

Ours keeps every promise (see `throughput`). The others are one process of as many threads (or greenlets, or coroutines)
whose task posts the same body to the same vendor and stores nothing: Celery on threads and on gevent, and dramatiq, on
the stack's broker; procrastinate in PostgreSQL. Each peer's variants run once for 3 s, and its fastest takes part in
the rounds; their order alternates. The figure is the smallest of the median ratios. It needs what
`bench/peers/requirements.txt` names.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Literal

from sqlalchemy import make_url

from bench import Figure
from bench.peers.peer import Told
from bench.stand.servers import own_database
from bench.stand.stacks import RABBITMQ, REDIS, missing_service
from bench.throughput.plain import VARIANTS
from bench.throughput.program import (
    TRIAL_S,
    Start,
    best_of,
    median_ratios,
    mine_tried,
    one_round,
    parser_of,
    plain_start,
    ratios,
    rig_of,
    settled,
)
from bench.throughput.rig import BenchFailed, Rig, Run, bare_vendor, empty_broker, finish, measure, processes
from rig.databases import POSTGRES
from rig.stack import ROOT

GOAL = 1.0
NEEDED = ("gevent", "dramatiq", "pika", "procrastinate", "aiohttp")
DATABASE = "worker_bench_peer"


@dataclass(frozen=True, slots=True)
class Peer:
    """A variant of another queue: a module whose process publishes or works, and in what way."""

    queue: Literal["dramatiq", "procrastinate"]
    how: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.queue}, {self.how}"


DRAMATIQ = [Peer("dramatiq", f"{prefetch}") for prefetch in (64, 128, 512)]
"""Messages fetched ahead; twice the threads by default."""
PROCRASTINATE = [
    Peer("procrastinate", f"{client} {deleted}")
    for client in ("requests", "aiohttp")
    for deleted in ("never", "successful")
]
"""The HTTP client, and which finished jobs are deleted."""


def main(argv: list[str]) -> Figure:
    """All rounds; the least median ratio."""
    parser = parser_of("peers")
    parser.add_argument("--stack", choices=(REDIS, RABBITMQ), default=REDIS)
    options = settled(parser, argv)
    if missing := missing_service((options.stack,)):
        return Figure("peers", f"{missing} does not answer", f"{GOAL}", ok=False)
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        advice = f"pip install -r bench/peers/requirements.txt: {', '.join(absent)} missing"
        return Figure("peers", advice, f"{GOAL}", ok=False)
    with rig_of(options, "peers") as rig:
        print(f"{options.stack}; trials of {TRIAL_S:.0f} s:", flush=True)
        sides = {"ours": mine_tried(rig)}
        for queue, variants in _variants().items():
            best, sides[queue] = best_of(rig, variants)
            print(f"best of {queue}: {best}", flush=True)
        medians = median_ratios([ratios(one_round(rig, sides, number)) for number in range(options.pairs)])
    least = min(medians.values())
    return Figure("peers", f"{least:.2f} to {min(medians, key=medians.__getitem__)}", f"{GOAL}", least >= GOAL)


def _variants() -> dict[str, list[tuple[str, Start]]]:
    celery = [replace(variant, events=False) for variant in VARIANTS]
    gevent = [replace(variant, pool="gevent") for variant in celery]
    return {
        "celery": [(variant.name, plain_start(variant)) for variant in celery],
        "celery on gevent": [(variant.name, plain_start(variant)) for variant in gevent],
        "dramatiq": [(peer.name, _start(peer)) for peer in DRAMATIQ],
        "procrastinate": [(peer.name, _start(peer)) for peer in PROCRASTINATE],
    }


def _start(peer: Peer) -> Start:
    return lambda rig, jobs: run(rig, peer, jobs)


def run(rig: Rig, peer: Peer, jobs: int) -> Run:
    """Carries out so many tasks and says how fast; fails unless calls = jobs."""
    log, module = rig.folder / "peer.log", f"bench.peers.{peer.queue}"
    log.unlink(missing_ok=True)
    with _store(rig, peer) as (store, database), bare_vendor(rig) as vendor:
        work = Told("work", store, vendor.url, rig.threads, jobs, peer.how)
        publish = replace(work, command="publish").line(module)
        laid = subprocess.run([sys.executable, "-m", *publish], cwd=ROOT, capture_output=True, text=True, check=False)
        if laid.returncode:
            raise BenchFailed(f"{peer.name} could not lay its work ready:\n{laid.stderr[-2000:]}")
        with processes([work.line(module)], {}, log) as workers:
            found = measure(peer.name, rig, vendor, workers, jobs, database)
            finish(workers, vendor, log, jobs)
    return found


@contextmanager
def _store(rig: Rig, peer: Peer) -> Iterator[tuple[str, str]]:
    """Where the peer's work waits, and the database among it; gone at the end."""
    if peer.queue == "procrastinate":
        with own_database(POSTGRES.url, DATABASE) as url:
            yield make_url(url).set(drivername="postgresql").render_as_string(hide_password=False), DATABASE
    else:
        with empty_broker(rig.broker):
            yield rig.broker, ""
