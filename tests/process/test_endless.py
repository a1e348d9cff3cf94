"""Vendors whose answers never end, beside one that is well: in the same process, with calls of all in flight."""

from __future__ import annotations

import signal
import time

from rig.endless import RIGHT, accounts_of, endless_vendors
from rig.stack import ACCOUNT, LIMIT_S, SHORT, until
from rig.stacks import EMBEDDED, Make, on_stacks
from tests.process.test_pipeline_processes import enqueue_texts
from worker import NewJob, enqueue_many, webhook

JOBS, BACKLOG = 40, 60
GRACE_S = SHORT["call_deadline_s"] + 5
THREADS = 16


@on_stacks(EMBEDDED, why="reading an answer is the process's own")
def test_endless_answers_keep_nobody_waiting_and_a_signal_is_obeyed(make: Make) -> None:
    """A line, a header, a chunk's size and a text in JSON that go on for ever. The account beside them is delivered
    meanwhile, and SIGTERM ends the process within the deadline of a call and five seconds.
    """
    with endless_vendors() as vendors:
        stack = make(account=accounts_of(vendors))
        with stack.database.writing() as connection:
            jobs = [NewJob(name, webhook.Text(content=str(n))) for n in range(BACKLOG) for name in vendors]
            enqueue_many(connection, jobs, accounts=stack.accounts)
        worker = stack.worker(threads=THREADS)
        until(lambda: min(vendor.calls for vendor in vendors.values()) > RIGHT, "each has an answer without an end")

        enqueue_texts(stack, JOBS)
        until(lambda: stack.vendor.sends() >= JOBS, "the account beside them is delivered")
        worker.send_signal(signal.SIGTERM)
        began = time.monotonic()
        status = worker.wait(LIMIT_S)

        assert status == 0, stack.logs()[-3000:]
        assert time.monotonic() - began < GRACE_S
    accepted = f"select count(*) from worker_jobs where account = '{ACCOUNT}' and state = 2"
    assert stack.number(accepted) == JOBS
    assert stack.vendor.sends() == JOBS
