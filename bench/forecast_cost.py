"""How long a forecast takes behind a million queued parts, and the question of `if_late` at an enqueue.

The parts lie in ten lanes of one account. The figure is the seconds of the forecast, the best of a few.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from datetime import timedelta

from bench import Figure
from bench.scale.contents import KINDS, MESSAGE, RECIPIENTS, add_due, scratch, tidy
from worker import Text, To, enqueue
from worker.config.accounts import FixedAccounts
from worker.domain.account import Account, Secret
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import execute
from worker.outbox.lanes.processes import renew
from worker.producer.options import IfLate
from worker.reporting.forecast import forecast

GOAL_S = 10.0
PARTS, TIMES = 1_000_000, 5
NO_MEMBERS = {"member_minute": 0, "member_hour": 0}
"""All parts are to the same two, who would have these limits for weeks."""
APP = {"corpid": "ww1", "agentid": 7, "account_cap": 1_000}
ACCOUNTS = FixedAccounts([Account("hr", "wecom_app", "http://vendor", APP, Secret(str), limits=NO_MEMBERS)])


def main(argv: list[str]) -> Figure:
    """Each database; the slowest."""
    parser = argparse.ArgumentParser(prog="python -m bench forecast_cost")
    parser.add_argument("--database", choices=("all", *KINDS), default="all")
    parser.add_argument("--parts", type=int, default=PARTS)
    given = parser.parse_args(argv)
    worst = max(measure(kind, given.parts) for kind in (KINDS if given.database == "all" else (given.database,)))
    return Figure("forecast_cost", f"{worst:.2f} s", f"{GOAL_S} s", worst <= GOAL_S)


def measure(kind: str, parts: int) -> float:
    """Seconds of a forecast."""
    with scratch(kind, f"forecast_{os.getpid()}") as database:
        add_due(database, parts)
        database.run(lambda connection: execute(connection, _jobs(database)))
        tidy(database)
        database.run(
            lambda connection: renew(
                connection, database.now, "p", lease_us=10**12, threads=32, host="h", pid=1, lanes="{}"
            )
        )
        whole_s = _best(lambda: _forecast(database))
        asked_s = _best(lambda: _enqueue(database, "warn"))
        plain_s = _best(lambda: _enqueue(database, None))
    print(
        f"  {kind}: {parts:,} queued parts: a forecast {whole_s:.2f} s; an enqueue with if_late"
        f" {1000 * asked_s:.0f} ms, without {1000 * plain_s:.1f} ms",
        flush=True,
    )
    return whole_s


def _jobs(database: Database) -> str:
    return (
        "insert into worker_jobs (id, kind, channel, account, message, recipients, asked, priority, due_at, on_unknown,"
        f" created_at, n_open) select job_id, 'send', 'wecom_app', 'hr', '{MESSAGE}', '{RECIPIENTS}', 2, 1,"
        f" {database.now}, 'default', {database.now}, 1 from worker_parts"
    ).replace(": ", r"\: ")


def _forecast(database: Database) -> None:
    with database.reading() as connection:
        [one] = forecast(connection, database.now, ACCOUNTS)
    assert one.parts >= 1, one


def _enqueue(database: Database, if_late: IfLate | None) -> None:
    with database.writing() as connection:
        month = timedelta(days=30)
        enqueue(connection, "hr", Text(content="x"), To(["u1"]), accounts=ACCOUNTS, expires_at=month, if_late=if_late)


def _best(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent)
