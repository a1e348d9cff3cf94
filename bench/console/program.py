"""How long each page of the console takes over an outbox of millions of jobs, and what readers cost the worker.

A worker delivers all the while, of jobs that a producer tops up. First one browser asks for each page in turn: the p95.
Then come rounds of two windows, one without readers and one with five, who ask for a page every second each, over all
pages; which of the two is first changes from round to round. The figures are the slowest page, and the median of the
rounds' ratios of the worker's calls a second.
"""

from __future__ import annotations

import argparse
import itertools
import random
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
import uvicorn
from starlette.requests import Request

from bench import Figure
from bench.console.contents import Contents, fill
from bench.console.producer import topped_up
from bench.scale.contents import tidy
from bench.stand.servers import own_redis
from bench.stand.stacks import MARIADB, REDIS, missing_service
from bench.throughput.rig import START_S, WARM_UP, Rig, bare_vendor, empty_broker, until
from rig.stack import Stack, Vendor
from rig.stacks import scratch
from worker.config.console import EVERY_ACCOUNT
from worker.config.settings import load_settings
from worker.console.app import guarded
from worker.console.page import Site
from worker.console.viewer import Viewer
from worker.console.visit import Endpoint, Visit
from worker.outbox.engine.migrate import upgrade

GOAL_MS, GOAL = 300.0, 0.95
READERS, THINK_S = 5, 1.0
BROKER_DB = 12
KINDS = {"postgres": REDIS, "mariadb": MARIADB}


def main(argv: list[str]) -> Figure:
    """Both databases; the slowest page and the lower ratio."""
    parser = argparse.ArgumentParser(prog="python -m bench console")
    parser.add_argument("--database", choices=("all", *KINDS), default="all")
    parser.add_argument("--jobs", type=int, default=5_000_000)
    parser.add_argument("--samples", type=int, default=40, help="of each page")
    parser.add_argument("--pairs", type=int, default=6, help="rounds")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each window")
    given = parser.parse_args(argv)
    stacks = [KINDS[kind] for kind in (KINDS if given.database == "all" else (given.database,))]
    goal = f"{GOAL_MS:.0f} ms, {GOAL}"
    if missing := missing_service(stacks):
        return Figure("console", f"{missing} does not answer", goal, ok=False)
    found = [_measure(stack, given) for stack in stacks]
    slowest, ratio = max(one[0] for one in found), min(one[1] for one in found)
    ok = slowest <= GOAL_MS and ratio >= GOAL
    return Figure("console", f"{slowest:.0f} ms the slowest page, {ratio:.3f} of the calls", goal, ok)


def _measure(name: str, given: argparse.Namespace) -> tuple[float, float]:
    """The slowest page's p95 in milliseconds, and the ratio with readers, on one stack."""
    with TemporaryDirectory(prefix="bench-console-") as folder, ExitStack() as scope:
        rig = Rig(Path(folder), name, own_redis(BROKER_DB), 64, given.seconds)
        scope.enter_context(empty_broker(rig.broker))
        vendor = scope.enter_context(bare_vendor(rig))
        url = scope.enter_context(scratch(name, "console", rig.folder))
        stack = Stack(rig.folder / "stack", url, rig.broker, vendor, delivery={})
        try:
            upgrade(stack.database.engine)
            began = time.monotonic()
            contents = fill(stack.database, stack.accounts, given.jobs)
            tidy(stack.database)
            print(f"{name}: {given.jobs:,} jobs, made in {time.monotonic() - began:.0f} s", flush=True)
            return _beside_a_worker(stack, vendor, contents, given)
        finally:
            stack.close()


def _beside_a_worker(
    stack: Stack, vendor: Vendor, contents: Contents, given: argparse.Namespace
) -> tuple[float, float]:
    site = Site(load_settings(stack.config), stack.database, stack.accounts)
    with topped_up(stack.config, vendor.url), served(site) as address:
        worker = stack.worker(threads=64, loglevel="INFO")
        until(lambda: vendor.sends() >= WARM_UP, [worker], START_S, f"{WARM_UP} calls", lambda: f"{vendor.sends()}")
        slowest = ask_for(address, contents.pages(), given.samples)
        ratios = [_round(address, vendor, contents.pages(), given.seconds, n % 2 == 1) for n in range(given.pairs)]
    print(f"  with {READERS} readers: " + " ".join(f"{ratio:.3f}" for ratio in ratios), flush=True)
    return slowest, statistics.median(ratios)


def ask_for(address: str, pages: Mapping[str, str], samples: int) -> float:
    """Asks for each page in turn; the p95 of the slowest in milliseconds."""
    spent: dict[str, list[float]] = {name: [] for name in pages}
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(samples):
            for name, path in pages.items():
                began = time.perf_counter()
                answer = session.get(address + path, timeout=60)
                spent[name].append(1_000 * (time.perf_counter() - began))
                answer.raise_for_status()
    print("  page                      p50      p95  milliseconds", flush=True)
    for name, found in spent.items():
        print(f"  {name:<22} {statistics.median(found):6.0f}   {_p95(found):6.0f}", flush=True)
    return max(_p95(found) for found in spent.values())


def _p95(found: Sequence[float]) -> float:
    return sorted(found)[max(0, -(-95 * len(found) // 100) - 1)]


def _round(address: str, vendor: Vendor, pages: Mapping[str, str], seconds: float, readers_first: bool) -> float:
    """The calls a second with readers, as a ratio to those without."""
    rates = {}
    for with_readers in (readers_first, not readers_first):
        with _reading(address, pages) if with_readers else ExitStack():
            time.sleep(1.0)
            first, began = vendor.sends(), time.monotonic()
            time.sleep(seconds)
            rates[with_readers] = (vendor.sends() - first) / (time.monotonic() - began)
    print(f"  {rates[False]:.0f}/s without readers, {rates[True]:.0f}/s with them", flush=True)
    return rates[True] / rates[False]


@contextmanager
def _reading(address: str, pages: Mapping[str, str]) -> Iterator[None]:
    """Browsers that ask for a page every second each."""
    ends = threading.Event()
    readers = [threading.Thread(target=_read, args=(address, pages, ends, n), daemon=True) for n in range(READERS)]
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        ends.set()
        for reader in readers:
            reader.join()


def _read(address: str, pages: Mapping[str, str], ends: threading.Event, number: int) -> None:
    paths = list(pages.values())
    random.Random(number).shuffle(paths)
    with requests.Session() as session:
        session.trust_env = False
        for path in itertools.cycle(paths):
            session.get(address + path, timeout=60).raise_for_status()
            if ends.wait(THINK_S):
                return


class _Known:
    """A door at which the viewer is known: what is measured is pages, not signing in."""

    endpoints: tuple[Endpoint, ...] = ()

    def visit(self, request: Request) -> Visit:
        """An administrator, who sees the most."""
        viewer = Viewer("bench", "admin", frozenset({EVERY_ACCOUNT}), "zh")
        return Visit(viewer, viewer.lang, viewer.theme, "token")


@contextmanager
def served(site: Site) -> Iterator[str]:
    """The console over HTTP; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as the console's own server has it
    config = uvicorn.Config(guarded(site, _Known()), log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
