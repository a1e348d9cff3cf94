"""One producing process of the producers bench: threads that each enqueue one job a transaction by the public door.

Reads `SECONDS` from its input, a line a run, and answers each with a line of JSON: jobs committed and the longest
transaction. Every thread has a connection of its own; the ids of those connections are its first line.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import uuid_utils
from sqlalchemy import Connection, Engine, create_engine, make_url, text

import worker
from worker.config.accounts import FixedAccounts
from worker.domain.account import Account

APPLICATION = "bench-producer"
CONTENT = "你好，会议改到三点，地点不变。请带上上次的会议记录。"
USERS = 5_000


@dataclass(slots=True)
class Done:
    """What the threads of a run committed."""

    jobs: int = 0
    longest_s: float = 0.0


def producers_engine(url: str, threads: int) -> Engine:
    """An application's own engine: nothing of the worker's settings, but a name on PostgreSQL."""
    named = {"application_name": APPLICATION} if make_url(url).get_backend_name() == "postgresql" else {}
    return create_engine(url, pool_size=threads, connect_args=named)


def produce(connection: Connection, accounts: FixedAccounts, until: float) -> Done:
    """One job a transaction until the instant."""
    done, name = Done(), uuid_utils.uuid7().hex
    while (started := time.monotonic()) < until:
        number = done.jobs
        with connection.begin():
            message = worker.Text(content=f"{name} {number}: {CONTENT}")
            worker.enqueue(connection, "hr", message, worker.To(users=[f"u{number % USERS}"]), accounts=accounts)
        done.jobs += 1
        done.longest_s = max(done.longest_s, time.monotonic() - started)
    return done


def serve(url: str, threads: int, base_url: str) -> None:
    """Answers runs until its input ends."""
    engine = producers_engine(url, threads)
    accounts = FixedAccounts([Account("hr", "wecom_app", base_url, {"corpid": "ww-canary-corp", "agentid": 7})])
    connections = [engine.connect() for _ in range(threads)]
    print(json.dumps([_id(connection) for connection in connections]), flush=True)
    with ThreadPoolExecutor(threads) as pool:
        for line in sys.stdin:
            until = time.monotonic() + float(line)
            start = threading.Barrier(threads)

            def run(connection: Connection, until: float = until, start: threading.Barrier = start) -> Done:
                start.wait()
                return produce(connection, accounts, until)

            found = list(pool.map(run, connections))
            print(json.dumps([sum(one.jobs for one in found), max(one.longest_s for one in found)]), flush=True)
    for connection in connections:
        connection.close()
    engine.dispose()


def _id(connection: Connection) -> int:
    """What the database calls this connection."""
    question = "pg_backend_pid()" if connection.dialect.name == "postgresql" else "connection_id()"
    with connection.begin():
        return int(connection.execute(text(f"select {question}")).scalar_one())


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
