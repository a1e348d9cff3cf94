"""Many accounts in one installation, some of them broken: each stops by itself, says why, and comes back when mended.

`ACCOUNTS=200 pytest tests/process/test_many_accounts.py` does it with so many accounts; twenty of them are broken.
"""

from __future__ import annotations

import json
import os

from rig.broken_accounts import WAYS, Accounts
from rig.stack import Stack, until
from rig.stacks import EMBEDDED, REDIS, Make, on_stacks
from worker import NewJob, Text, To, enqueue_many

ACCOUNTS = int(os.environ.get("ACCOUNTS", "40"))
EACH = 3


@on_stacks(REDIS, EMBEDDED, why="the same code, in several processes and in one")
def test_broken_accounts_stop_by_themselves_and_come_back(make: Make) -> None:
    """All others deliver; `doctor` names each broken one with what to change; mended in the file alone, all is sent."""
    known = Accounts(ACCOUNTS, max(3, ACCOUNTS // 20))
    stack = make(account=known.tables(broken=True), env={"NOTHING": ""})
    (stack.folder / "wrong").write_text("wrong", encoding="utf-8")
    jobs = [
        NewJob(f"a{n}", Text(content="hello"), To(users=[f"u{n}-{k}"])) for n in range(ACCOUNTS) for k in range(EACH)
    ]
    with stack.database.writing() as connection:
        enqueue_many(connection, jobs, accounts=known.as_a_producer_has_them(stack))
    workers = [stack.worker(threads=8) for _ in range(make.workers(2))]

    good = (ACCOUNTS - len(known.broken)) * EACH
    until(lambda: accepted(stack) == good, "all others deliver", progress=lambda: accepted(stack))
    assert good == len(stack.vendor.inbox())
    until(lambda: not missing(stack, known), "doctor names them all", told=lambda: str(missing(stack, known)))
    assert [None] * len(workers) == [worker.poll() for worker in workers]
    known.mend(stack)
    until(lambda: accepted(stack) == ACCOUNTS * EACH, "mended ones go on", progress=lambda: accepted(stack))

    assert {len(messages) for messages in stack.vendor.inbox().values()} == {1}
    assert len(stack.vendor.inbox()) == ACCOUNTS * EACH
    assert [0] * len(workers) == [stack.end(worker) for worker in workers]
    assert "hunter2" not in stack.logs()


def accepted(stack: Stack) -> int:
    """How many jobs were delivered."""
    return stack.number("select count(*) from worker_jobs where state = 2")


def missing(stack: Stack, known: Accounts) -> list[str]:
    """What `worker doctor` does not say yet of the broken accounts."""
    log = stack.folder / f"process-{len(stack.processes)}.log"
    stack.process("worker.cli", "doctor", "--json").wait()
    texts: dict[str, str] = {}
    for one in json.loads(log.read_text(encoding="utf-8")):
        if one["level"] != "ok":
            texts[one["what"]] = f"{texts.get(one['what'], '')} {one['text']}"
    return [f"a{n}: {way}" for n, way in known.broken.items() if WAYS[way][2] not in texts.get(f"account a{n}", "")]
