"""People are told by real workers: by a message of one account about another, once, also when its teller is killed."""

from __future__ import annotations

import signal

from rig.stack import ACCOUNT, until
from rig.stacks import EMBEDDED, REDIS, Make, on_stacks
from tests.process.test_pipeline_processes import enqueue_texts

OPS = """
[accounts.ops]
channel = "wecom_app"
corpid = "ww-canary-corp"
agentid = 7
secret = { file = "FOLDER/secret" }
base_url = "http://127.0.0.1:PORT"

[notify]
to = [{ account = "ops", recipients = ["oncall"] }]
"""
WORD = f"AccountParked: {ACCOUNT}\nThe account waits for a person, and so do all of its parts; "
REFUSED = {"errcode": 60020, "errmsg": "not allow to access from your ip"}
TELLER = "select p.pid from worker_leases l join worker_processes p on p.id = l.holder where l.name = 'notify'"


@on_stacks(REDIS, EMBEDDED, why="the SQL runs on each database elsewhere, and no broker is asked")
def test_a_parked_account_is_told_by_another_one(make: Make) -> None:
    """The message reaches the vendor; when its teller was killed another process goes on, and tells nothing twice."""
    stack = make(account=OPS, constants={"worker.service.notify.notifier.EVERY_S": 1.0})
    stack.vendor.faults({"match": {"body_contains": "text 0"}, "action": {"answer": REFUSED}})
    workers = [stack.worker(threads=4) for _ in range(make.workers(2))]
    enqueue_texts(stack, 1)

    until(lambda: stack.vendor.inbox().get("oncall"), "the message is there", told=stack.told)
    first = stack.number(TELLER)
    next(worker for worker in workers if worker.pid == first).send_signal(signal.SIGKILL)
    with stack.database.writing() as connection:
        connection.exec_driver_sql("update worker_leases set held_until = 0 where name = 'notify'")
    if len(workers) == 1:
        stack.worker(threads=4)
    until(lambda: stack.number(TELLER) != first, "another one looks", told=stack.told)
    enqueue_texts(stack, 1, first=1, account="ops")
    until(lambda: stack.vendor.inbox().get("u1"), "it works", told=stack.told)

    [message] = stack.vendor.inbox()["oncall"]
    assert message["content"]["content"].startswith(WORD)
    assert stack.number("select count(*) from worker_alerts where alert = 'AccountParked' and raised_at > 0") == 1
    assert stack.number("select count(*) from worker_jobs where tags like '%notify%'") == 1
