"""What admission costs: its part of the CPU of a part, and how long one call to many recipients takes.

Eight calls are reserved together in the worker; and one call to 1,000 recipients must leave half of its permit's age.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from bench import Figure
from bench.stand.servers import own_database, own_redis
from bench.stand.stacks import REDIS, missing_service
from bench.throughput import ours
from bench.throughput.program import Side
from bench.throughput.rig import Rig
from worker.delivery.sender.admission import Governor
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Limit, Permit, Unit
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.tables import metadata

GOAL, BROADCAST_LEFT_S = 0.15, 0.125
PART_S, THREADS = 5.0, 32
ROUNDS = 400
TOGETHER = 8
SERVER = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"


def _limit(name: str, window_s: int, amount: int, scope: Scope) -> Limit:
    return Limit(name, window_s, amount, Unit.CALLS, scope, "45009", "bench")


MINUTE = _limit("member_minute", 60, 30, Scope.PART)
HOUR = _limit("member_hour", 3_600, 1_000, Scope.PART)
PERSONS = _limit("persons_day", 86_400, 10_000_000, Scope.LANE)


def single(member: int) -> list[Charge]:
    """The charges of a send to one member."""
    return [Charge(PERSONS, "hr"), Charge(MINUTE, f"hr/{member}"), Charge(HOUR, f"hr/{member}")]


def broadcast(first: int) -> list[Charge]:
    """The charges of a send to a thousand."""
    members = range(first, first + 1_000)
    return [Charge(PERSONS, "hr", 1_000), *(Charge(limit, f"hr/{n}") for n in members for limit in (MINUTE, HOUR))]


def measure(database: Database) -> tuple[float, float]:
    """Microseconds of CPU a call, and seconds that a call to a thousand leaves of its permit; prints the rest."""
    governor = Governor(database, site_key=b"bench")
    governor.reserve([single(0)] * TOGETHER)
    for label in ("new", "known"):
        wall, cpu = time.perf_counter(), time.process_time()
        for n in range(ROUNDS):
            answers = governor.reserve([single(n * TOGETHER + m) for m in range(TOGETHER)])
            assert all(isinstance(answer, Permit) for answer in answers)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        each = cpu / ROUNDS / TOGETHER * 1e6
        print(f"eight {label} members: {each:.0f} us CPU a call, {wall / ROUNDS * 1e3:.2f} ms a reservation")
    for label in ("new", "known"):
        wall = time.perf_counter()
        [answer] = governor.reserve([broadcast(10_000)])
        wall = time.perf_counter() - wall
        left = answer.starts_before - time.monotonic() if isinstance(answer, Permit) else 0.0
        print(f"1,000 recipients, {label} rows: {wall * 1e3:.0f} ms, {left * 1e3:.0f} ms of the permit left")
    return each, left


def _part_us(options: Any) -> float:
    """Microseconds of the worker's CPU a part, the vendor answering at once."""
    broker = own_redis(options.redis_db)
    with tempfile.TemporaryDirectory(prefix="bench-reservation-") as folder:
        found = Side(ours.run).run(Rig(Path(folder), REDIS, broker, THREADS, PART_S, latency_ms=0))
    return found.used.worker / found.calls * 1e6


def main(argv: list[str]) -> Figure:
    """Runs on scratch databases of its own."""
    parser = argparse.ArgumentParser(prog="python -m bench reservation")
    parser.add_argument("--server", default=os.environ.get("TEST_POSTGRES_URL") or SERVER)
    parser.add_argument("--redis-db", type=int, default=11, help="an empty one; flushed at the end")
    options = parser.parse_args(argv)
    if missing := missing_service((REDIS,)):
        return Figure("reservation", f"{missing} does not answer", f"{GOAL:.0%}", ok=False)
    before = _part_us(options)
    each, left = _reserving(options.server)
    part = (before + _part_us(options)) / 2
    ok = each <= GOAL * part and left >= BROADCAST_LEFT_S
    figure = f"{each / part:.1%} of {part:.0f} us, {left * 1000:.0f} ms left after 1,000 recipients"
    return Figure("reservation", figure, f"{GOAL:.0%}, {BROADCAST_LEFT_S * 1000:.0f} ms", ok)


def _reserving(server: str) -> tuple[float, float]:
    with own_database(server, f"worker_adm_{os.getpid()}") as url, closing(Database(make_engine(url))) as database:
        metadata.create_all(database.engine)
        return measure(database)
