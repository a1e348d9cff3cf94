"""What a thousand configured accounts cost beside ten: a scrape, a heartbeat, a turn of the relay, a look-up.

Two outboxes with the same work on ten accounts, and two settings files: one has these ten, the other 990 more that have
sent before and are idle. The samples are taken in turn; the figure is the worst ratio of the p50s.

`--broken` measures instead what broken accounts cost the others; see `broken.py`.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from bench import Figure
from bench.accounts import broken
from bench.scale.contents import KINDS, add_due, scratch, tidy
from bench.scale.side import Side
from worker.accounts.sources import accounts_of
from worker.channels.registry import alike, channel, weight_of
from worker.config.settings import load_settings
from worker.delivery.sender.lane_states import LaneStates
from worker.delivery.sender.lease import Lease
from worker.hooks.verifiers import Verifiers
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.database import Database
from worker.service.account_updates import AccountUpdates
from worker.service.web.collector import OutboxCollector

GOAL = 2.0
FEW, MANY, BUSY = 10, 1_000, 10
DUE, WARM_UP, LOOK_UPS = 10_000, 10, 100
CALLBACK = 'callback = { token = { env = "BENCH_TOKEN" }, aes_key = { env = "BENCH_AES_KEY" } }'


def main(argv: list[str]) -> Figure:
    """Each step on each database; the worst ratio."""
    if "--broken" in argv:
        return broken.main([argument for argument in argv if argument != "--broken"])
    os.environ |= {"BENCH_SECRET": "s", "BENCH_TOKEN": "t", "BENCH_AES_KEY": "a" * 43}
    parser = argparse.ArgumentParser(prog="python -m bench accounts")
    parser.add_argument("--broken", action="store_true", help="instead: twenty broken among two hundred")
    parser.add_argument("--database", choices=("all", *KINDS), default="all")
    parser.add_argument("--samples", type=int, default=200)
    options = parser.parse_args(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every database made here is dropped
    worst = 0.0
    for kind in KINDS if options.database == "all" else (options.database,):
        worst = max(worst, measure(kind, options.samples))
    return Figure("accounts", f"{worst:.2f} x with {FEW} accounts", f"{GOAL} x", worst <= GOAL)


def measure(kind: str, samples: int) -> float:
    """The worst ratio on one database."""
    with ExitStack() as scope:
        sides = [scope.enter_context(_site(kind, size)) for size in (FEW, MANY)]
        spent: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in sides[0]}
        for sample in range(samples + WARM_UP):
            for name, (few, many) in spent.items():
                for side, found in zip(sides, (few, many), strict=True):
                    taken = side[name]()
                    if sample >= WARM_UP:
                        found.append(taken)
    print(f"{kind}: {FEW} and {MANY:,} accounts, {samples} samples of each in turn; milliseconds, p50", flush=True)
    worst = 0.0
    for name, (few, many) in spent.items():
        before, after = statistics.median(few), statistics.median(many)
        worst = max(worst, after / before)
        print(f"  {name:<12} {before * 1000:8.3f} {after * 1000:8.3f}   {after / before:5.2f} x", flush=True)
    return worst


@contextmanager
def _site(kind: str, count: int) -> Iterator[dict[str, Callable[[], float]]]:
    """An outbox and its settings; each step, which tells how long it took."""
    names = [f"a{n}" for n in range(count)]
    with (
        scratch(kind, f"accounts_{count}") as database,
        tempfile.TemporaryDirectory(prefix="bench-accounts-") as folder,
    ):
        _fill(database, names)
        file = Path(folder) / "worker.toml"
        file.write_text("\n".join(map(_table, names)), encoding="utf-8")
        accounts = accounts_of(load_settings(file))
        # The database of the settings is none of the bench's: its accounts are those of the file alone.
        side, states, rng = Side(database), LaneStates(time.monotonic), random.Random(7)
        side.start()
        lease, told = Lease(database, threads=8), AccountUpdates(accounts, states, lambda changed: None)
        outbox, doors = OutboxCollector(database, accounts), Verifiers(accounts, 300)

        def beat() -> None:
            told.turn()
            lease.beat(states.summary(), states.unusable())

        def look_up(name: str) -> None:
            account = accounts.get(name)
            doors.of(account.name)
            alike(accounts, account, channel(account.channel).app_scope)

        def called_back() -> float:
            # Two sources in one process, which no installation has, put each other's index of apps out of memory.
            look_up(names[0])
            asked = rng.choices(names[:BUSY], k=LOOK_UPS)
            return _timed(lambda: deque(map(look_up, asked), maxlen=0)) / LOOK_UPS

        def turn() -> float:
            spent = side.cycle()["turn"]
            return spent + _timed(lambda: [weight_of(accounts, name) for name in names[:BUSY]])

        try:
            yield {
                "scrape": lambda: _timed(lambda: list(outbox.collect())),
                "heartbeat": lambda: _timed(beat),
                "relay turn": turn,
                "look-up": called_back,
            }
        finally:
            side.stop()


def _fill(database: Database, names: list[str]) -> None:
    """The work of the busy ones, and what each account leaves behind that has sent: its token."""
    rows = [{"account": name, "fingerprint": "0" * 64, "generation": 1} for name in names]
    database.run(lambda connection: insert_rows(connection, tables.tokens, rows))
    add_due(database, DUE)
    parts = [
        {"id": f"{n:032x}-0", "job_id": f"{n:032x}", "n": 0, "lane": f"{name}:0", "priority": 1, "not_before": 1}
        for n, name in enumerate(names[:BUSY])
    ]
    rows_of_parts = [{**part, "spec": "{}"} for part in parts]
    database.run(lambda connection: insert_rows(connection, tables.parts, rows_of_parts))
    tidy(database)


def _table(name: str) -> str:
    number = int(name[1:])
    return (
        f'[accounts.{name}]\nchannel = "wecom_app"\ncorpid = "ww{number:016d}"\nagentid = {1_000_002 + number}\n'
        f'secret = {{ env = "BENCH_SECRET" }}\n{CALLBACK}\n'
    )


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
