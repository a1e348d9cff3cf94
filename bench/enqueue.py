"""What `enqueue` costs against the barest thing a producer could do instead: one row of its own with the same text.

The bare insert is SQLAlchemy Core, `insert(table)`, into a table of six columns with a primary key and one index; the
same connection, the same payload, the same transactions: one job a commit, and a thousand a commit. Ours checks the
message, splits it, and writes a job and a part with all their indexes. Rounds are interleaved; the ratio is the median
of the rounds' ratios.

Before that it says what importing these names takes, against what they are made of: an application may start often.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uuid_utils
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    insert,
)
from sqlalchemy.exc import OperationalError

import worker
from bench import Figure
from bench.stand.servers import own_database
from worker.config.accounts import FixedAccounts
from worker.domain.account import Account
from worker.outbox.engine.database import make_engine
from worker.outbox.engine.migrate import upgrade

GOALS = {"single": 0.45, "bulk": 0.4}
BULK = 1000
POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
CONTENT = "你好，会议改到三点，地点不变。请带上上次的会议记录。" * 5
USERS = ["zhangsan", "lisi"]
IMPORTS = ("from worker import enqueue, Text, To", "import sqlalchemy.orm, pydantic")

BARE = Table(
    "bare_message",
    MetaData(),
    Column("id", String(32), primary_key=True),
    Column("account", String(60), nullable=False),
    Column("message", Text, nullable=False),
    Column("recipients", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Index("bare_message_due", "due_at"),
)

Work = Callable[[Connection], object]


def main(argv: list[str]) -> Figure:
    """Both ratios on SQLite and on PostgreSQL; PostgreSQL's decide."""
    parser = argparse.ArgumentParser(prog="python -m bench enqueue")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", default=os.environ.get("TEST_POSTGRES_URL", POSTGRES))
    options = parser.parse_args(argv)
    pairs = [[import_ms(statement) for statement in IMPORTS] for _ in range(options.rounds)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{IMPORTS[0]}: {ours:.0f} ms, {ours / theirs:.2f} x {IMPORTS[1]}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        measure(f"sqlite:///{Path(folder) / 'bench.db'}", options.seconds, options.rounds)
    try:
        with own_database(options.postgres, f"worker_bench_{os.getpid()}") as url:
            found = measure(url, options.seconds, options.rounds)
    except OperationalError:
        return Figure("enqueue", "PostgreSQL does not answer", "single 0.45, bulk 0.4", ok=False)
    return Figure(
        "enqueue",
        f"single {found['single']:.2f}, bulk {found['bulk']:.2f}",
        f"single {GOALS['single']}, bulk {GOALS['bulk']}",
        all(found[name] >= goal for name, goal in GOALS.items()),
    )


def import_ms(statement: str) -> float:
    """What a new process takes for an import, without its start."""
    program = f"import time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def measure(url: str, seconds: float, rounds: int) -> dict[str, float]:
    """The ratios of our rate to the bare rate on one database, by name."""
    engine = make_engine(url)
    upgrade(engine)
    BARE.metadata.create_all(engine)
    pairs: dict[str, tuple[Work, Work, int]] = {
        "single": (bare_single, our_single, 1),
        "bulk": (bare_bulk, our_bulk, BULK),
    }
    found = {}
    for name, (bare, ours, rows) in pairs.items():
        rates = [(rate(engine, bare, seconds, rows), rate(engine, ours, seconds, rows)) for _ in range(rounds)]
        found[name] = statistics.median(ours / bare for bare, ours in rates)
        bare_rate, our_rate = (statistics.median(column) for column in zip(*rates, strict=True))
        ratios = " ".join(f"{ours / bare:.2f}" for bare, ours in rates)
        print(
            f"{engine.dialect.name:<11}{name:<7} bare {bare_rate:>8.0f}/s  enqueue {our_rate:>8.0f}/s  "
            f"ratio {found[name]:.2f}  ({ratios})",
            flush=True,
        )
    engine.dispose()
    return found


def rate(engine: Engine, work: Work, seconds: float, rows: int) -> float:
    """Rows a second on one connection, every call in a transaction of its own; a few calls before the clock starts."""
    with engine.connect() as connection:
        for _ in range(3):
            with connection.begin():
                work(connection)
        done, started = 0, time.perf_counter()
        while (spent := time.perf_counter() - started) < seconds:
            with connection.begin():
                work(connection)
            done += rows
        return done / spent


def bare_single(connection: Connection) -> object:
    """One row of the producer's own."""
    return connection.execute(insert(BARE), bare_row())


def bare_bulk(connection: Connection) -> object:
    """A thousand rows of the producer's own, as executemany."""
    return connection.execute(insert(BARE), [bare_row() for _ in range(BULK)])


def our_single(connection: Connection) -> object:
    """One job."""
    return worker.enqueue(connection, "hr", worker.Text(content=CONTENT), worker.To(users=USERS), accounts=ACCOUNTS)


def our_bulk(connection: Connection) -> object:
    """A thousand jobs."""
    jobs = [worker.NewJob("hr", worker.Text(content=CONTENT), worker.To(users=USERS)) for _ in range(BULK)]
    return worker.enqueue_many(connection, jobs, accounts=ACCOUNTS)


def bare_row() -> dict[str, object]:
    """What a producer would store for itself: the same text and recipients as JSON."""
    return {
        "id": uuid_utils.uuid7().hex,
        "account": "hr",
        "message": json.dumps({"type": "text", "body": {"text": {"content": CONTENT}}}, ensure_ascii=False),
        "recipients": json.dumps({"users": USERS}),
        "state": 0,
        "due_at": time.time_ns() // 1000,
    }


ACCOUNTS = FixedAccounts(
    [Account("hr", "wecom_app", "https://qyapi.weixin.qq.com", {"corpid": "ww0000000000000000", "agentid": 1000002})]
)
