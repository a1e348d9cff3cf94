"""What admission costs: Python CPU per call when eight are reserved together, and one call to 1,000 recipients.

Runs in a scratch database on the local PostgreSQL, or the server of `--server` or TEST_POSTGRES_URL.
"""

from __future__ import annotations

import argparse
import os
import time

from sqlalchemy import create_engine, make_url

from bench import Figure
from worker.delivery.admission import Governor, Permit
from worker.domain.limit import Charge, Limit, Unit
from worker.domain.outcome import Scope
from worker.outbox.database import Database, make_engine
from worker.outbox.tables import metadata

GOAL_US = 120
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


def measure(database: Database) -> float:
    """Microseconds of CPU per call; prints the rest."""
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
    return each


def main(argv: list[str]) -> Figure:
    """Runs on a scratch database of its own."""
    parser = argparse.ArgumentParser(prog="python -m bench reservation")
    parser.add_argument("--server", default=os.environ.get("TEST_POSTGRES_URL") or SERVER)
    server = make_url(parser.parse_args(argv).server)
    name = f"worker_adm_{os.getpid()}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    database = Database(make_engine(server.set(database=name).render_as_string(hide_password=False)))
    try:
        metadata.create_all(database.engine)
        each = measure(database)
    finally:
        database.close()
        with admin.connect() as connection:
            connection.exec_driver_sql(f"drop database {name} with (force)")
        admin.dispose()
    return Figure("reservation", f"{each:.0f} us", f"{GOAL_US} us", each <= GOAL_US)
