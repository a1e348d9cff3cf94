"""Vendors whose answers never end, beside one that is well: in the same process, with calls of all in flight."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from rig.endless import ENDLESS, RIGHT, EndlessVendor
from rig.stack import ACCOUNT, LIMIT_S, SHORT, until
from rig.stacks import EMBEDDED, Make, on_stacks
from tests.process.test_pipeline_processes import enqueue_texts
from worker import NewJob, enqueue_many, webhook

JOBS, BACKLOG = 40, 60
GRACE_S = SHORT["call_deadline_s"] + 5
THREADS = 16
NEIGHBOUR = """
[accounts.{name}]
channel = "wecom_webhook"
edition = "robot"
limits = {{ robot_minute = 100000 }}
secret = {{ file = "FOLDER/secret" }}
base_url = "{url}"
"""


@on_stacks(EMBEDDED, why="reading an answer is the process's own")
def test_endless_answers_keep_nobody_waiting_and_a_signal_is_obeyed(make: Make) -> None:
    """A line, a header, a chunk's size and a text in JSON that go on for ever. The account beside them is delivered
    meanwhile, and SIGTERM ends the process within the deadline of a call and five seconds.
    """
    with endless() as vendors:
        neighbours = "".join(NEIGHBOUR.format(name=name, url=vendor.url) for name, vendor in vendors.items())
        stack = make(account=neighbours)
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

        assert 0 == status, stack.logs()[-3000:]
        assert time.monotonic() - began < GRACE_S
    accepted = f"select count(*) from worker_jobs where account = '{ACCOUNT}' and state = 2"
    assert (JOBS, JOBS) == (stack.number(accepted), stack.vendor.sends())


@contextmanager
def endless() -> Iterator[dict[str, EndlessVendor]]:
    """One of each kind."""
    with ExitStack() as scope:
        yield {name: scope.enter_context(closing(EndlessVendor(name))) for name in ENDLESS}
