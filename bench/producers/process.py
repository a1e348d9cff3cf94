"""One producing process of the producers bench: threads that each enqueue one job a transaction by the public door.

Reads `SECONDS` from its input, a line a run, and answers each with a line of JSON: jobs committed, the longest
transaction, and how many were refused. Every thread has a connection of its own; its first line is their ids.
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
from sqlalchemy.exc import OperationalError

import worker
from worker.config.accounts import FixedAccounts
from worker.domain.account import Account

APPLICATION = "bench-producer"
LOCK_WAIT = 1205
CONTENT = "你好，会议改到三点，地点不变。请带上上次的会议记录。"
USERS = 5_000


@dataclass(slots=True)
class Done:
    """What the threads of a run committed."""

    jobs: int = 0
    longest_s: float = 0.0
    refused: int = 0
    """Transactions that MariaDB ended because they would have had to wait for a row."""


def producers_engine(url: str, threads: int) -> Engine:
    """An application's own engine, on which a wait for a worker's lock shows.

    On PostgreSQL its sessions have a name. On MariaDB no wait for any row's lock is granted, so that one that would
    have been needed is an error and none can be missed. It runs at READ COMMITTED there: at REPEATABLE READ producers
    wait for each other now and then, also without any worker (measured: 5 of 9,500 transactions).
    """
    postgres = make_url(url).get_backend_name() == "postgresql"
    own = {"application_name": APPLICATION} if postgres else {"init_command": "set innodb_lock_wait_timeout = 0"}
    return create_engine(url, pool_size=threads, isolation_level="READ COMMITTED", connect_args=own)


def had_to_wait(error: BaseException) -> bool:
    """Whether MariaDB says that somebody else holds the row."""
    cause = error.__cause__ if isinstance(error, worker.RetryTransaction) else error
    return isinstance(cause, OperationalError) and cause.orig is not None and cause.orig.args[0] == LOCK_WAIT


def produce(connection: Connection, accounts: FixedAccounts, until: float) -> Done:
    """One job a transaction until the instant."""
    done, name = Done(), uuid_utils.uuid7().hex
    while (started := time.monotonic()) < until:
        number = done.jobs
        message = worker.Text(content=f"{name} {number}: {CONTENT}")
        try:
            with connection.begin():
                worker.enqueue(connection, "hr", message, worker.To(users=[f"u{number % USERS}"]), accounts=accounts)
            done.jobs += 1
        except (OperationalError, worker.RetryTransaction) as error:
            if not had_to_wait(error):
                raise
            done.refused += 1
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
            jobs, refused = sum(one.jobs for one in found), sum(one.refused for one in found)
            print(json.dumps([jobs, max(one.longest_s for one in found), refused]), flush=True)
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
