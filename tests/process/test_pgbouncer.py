"""Workers whose way to PostgreSQL leads through a pooler."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from rig.servers.own_pgbouncer import Mode
from rig.stacks import REDIS, Make, make_tables, on_stacks
from tests.process.test_pipeline_processes import assert_each_once, enqueue_texts

CONNECTIONS = {"session": 40, "transaction": 5}
"""Of the server. In transaction mode fewer than threads, so that many share each."""


@on_stacks(REDIS, why="PgBouncer is PostgreSQL's, whatever the broker", mode=("session", "transaction"))
def test_nothing_is_lost_or_fails_behind_pgbouncer(
    make: Make, pgbouncer: Callable[[str, Mode, int], AbstractContextManager[str]], mode: Mode
) -> None:
    """Upgraded through it, two workers through it: each of 150 is sent once, and no statement failed on the way."""
    url = make.scope.enter_context(pgbouncer(make.database_url, mode, CONNECTIONS[mode]))
    make_tables(url)
    stack = make({"latency_s": 0.02}, worker_database=url)
    enqueue_texts(stack, 150)

    workers = [stack.worker(threads=4) for _ in range(2)]
    stack.until_settled()

    assert_each_once(stack, 150)
    assert [stack.end(worker) for worker in workers] == [0, 0]
    # On a busy machine a broker may be silent for two seconds, and a machine may set variables of other programs.
    others = [line for line in stack.lines() if line.get("line") != "doorbells" and "variable" not in line["event"]]
    assert [line for line in others if line["level"] not in ("debug", "info")] == []
