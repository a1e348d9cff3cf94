"""A replay of many jobs as a process that is killed: each is replayed once, and the memory stays small.

`REPLAYS=100000 pytest tests/process/test_replay_processes.py` does it with so many jobs.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import EMBEDDED, MARIADB, Make, on_stacks
from worker import NewJob, Text, To, enqueue_many

COUNT = int(os.environ.get("REPLAYS", "2100"))
MOST_KIB = 50 * 1024


@on_stacks(MARIADB, EMBEDDED, why="its SQL is tried on each database in process")
def test_a_replay_of_many_is_killed_twice_and_goes_on(make: Make) -> None:
    """With the audit of its run; each job of the filter has one replay at the end."""
    stack = make(bare=True, fresh=True)
    cancelled(stack, COUNT)
    idle = ended(stack, "audit")[1]

    run = started(stack, "replay", "--account", ACCOUNT, "--created-from", "2020-01-01T00:00:00Z", "--yes")
    kill_at(stack, run, COUNT // 3)
    audit = stack.rows("select id from worker_audit where action = 'replay'")[0][0]
    run = started(stack, "replay", "--continue", audit, "--yes")
    kill_at(stack, run, COUNT // 2)
    audit = stack.rows("select max(id) from worker_audit where action = 'replay'")[0][0]
    status, peak = ended(stack, "replay", "--continue", audit, "--yes")

    assert status == 0, (peak, idle)
    assert peak - idle <= MOST_KIB, (peak, idle)
    made = stack.rows("select count(*), count(distinct replay_of) from worker_jobs where replay_of is not null")
    assert made == [(COUNT, COUNT)]
    assert stack.number("select count(*) from worker_jobs where state = 8") == COUNT


def started(stack: Stack, *words: str) -> Any:
    return stack.process("worker.cli", *words)


def kill_at(stack: Stack, process: Any, count: int) -> None:
    until(lambda: replays(stack) >= count, f"{count} are replayed", progress=lambda: replays(stack))
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def replays(stack: Stack) -> int:
    return stack.number("select count(*) from worker_jobs where replay_of is not null")


def ended(stack: Stack, *words: str) -> tuple[int, int]:
    return waited(started(stack, *words))


def waited(process: Any) -> tuple[int, int]:
    """The exit status, and the peak of the memory in KiB."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss


def cancelled(stack: Stack, count: int) -> None:
    """So many jobs that were cancelled before they were sent."""
    for first in range(0, count, 2_000):
        jobs = [
            NewJob(ACCOUNT, Text(content="hello"), To(users=[f"u{n}"])) for n in range(first, min(first + 2_000, count))
        ]
        with stack.database.writing() as connection:
            enqueue_many(connection, jobs, accounts=stack.accounts)
    with stack.database.writing() as connection:
        connection.exec_driver_sql("update worker_parts set state = 8, not_before = null")
        connection.exec_driver_sql("update worker_jobs set state = 8, n_open = 0, n_cancelled = 1, finished_at = 1")
