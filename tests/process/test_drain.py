"""SIGTERM under load, a second signal, a database that is away."""

from __future__ import annotations

import signal
import time

from rig.stack import LIMIT_S, SHORT, Process, Stack, until
from rig.stacks import EMBEDDED, RABBITMQ, Make, on_stacks
from tests.process.test_pipeline_processes import assert_each_once, enqueue_texts

DRAIN_S = SHORT["call_deadline_s"] + 5
JOBS = 400
"""Seconds of work, some of which has to be left when a signal comes."""
HANG_S = 3.0
"""Below half the deadline of calls, which is all that a token's may take."""


def _under_load(stack: Stack) -> Process:
    enqueue_texts(stack, JOBS)
    worker: Process = stack.worker(threads=8)
    until(lambda: stack.vendor.sends() > 20, "calls are out")
    return worker


@on_stacks(RABBITMQ, EMBEDDED, why="Celery handles the signals of the one, and the worker itself those of the other")
def test_sigterm_under_load_loses_nothing(make: Make) -> None:
    """SIGTERM under load ends within call deadline + 5 s with 0 unknown; the next worker sends the rest, once."""
    stack = make({"latency_s": 0.2}, fresh=True)
    worker = _under_load(stack)
    began = time.monotonic()

    status = stack.end(worker)

    assert status == 0, stack.logs()[-3000:]
    assert time.monotonic() - began < DRAIN_S
    assert stack.number("select count(*) from worker_parts where state in (1, 6)") == 0
    assert stack.number("select count(*) from worker_parts where state = 0") > 0, "it was under load"
    assert stack.number("select count(*) from worker_processes where ended_at is null") == 0
    assert stack.number("select count(*) from worker_leases where name = 'relay' and held_until > 0") == 0
    stack.fresh = False
    stack.worker(threads=8)
    stack.until_settled()
    assert_each_once(stack, JOBS)


@on_stacks(
    RABBITMQ,
    EMBEDDED,
    why="Celery handles the signals of the one, and the worker itself those of the other",
    second=[signal.SIGTERM, signal.SIGQUIT],
)
def test_a_second_signal_ends_at_once(make: Make, second: signal.Signals) -> None:
    """A second SIGTERM, or SIGQUIT, ends the process while calls hang: only marked parts become unknown."""
    stack = make({"latency_s": HANG_S})
    enqueue_texts(stack, 40)
    worker = stack.worker(threads=4)
    until(lambda: stack.vendor.sends() >= 4, "calls are out")
    marked = stack.number("select count(*) from worker_parts where state = 1")

    worker.send_signal(signal.SIGTERM)
    stack.until_logged("Warm shutdown")
    began = time.monotonic()
    # One that comes at once is the first one's repeat.
    until(lambda: worker.poll() is not None or worker.send_signal(second), "a second one ends it")
    status = worker.wait(LIMIT_S)

    assert status == 1
    assert time.monotonic() - began < HANG_S - 1
    left = {(row[0], row[1]) for row in stack.rows("select id, claim from worker_parts where state = 1")}
    assert 0 < len(left) <= max(4, marked)
    assert stack.number("select count(*) from worker_parts where state = 6") == 0
    stack.vendor.post("settings", {"latency_s": 0.02})
    stack.worker(threads=4)
    stack.until_settled()
    doubts = stack.rows("select part_id, claim from worker_attempts where doubtful or outcome = 'unknown'")
    assert left == {(row[0], row[1]) for row in doubts}, "in doubt is what was marked, and nothing else"
    called = stack.rows("select part_id, count(*) from worker_attempts group by part_id")
    assert [part for part, calls in called if calls != 1 + (part in {part for part, _ in left})] == []
    assert_each_once(stack, 40)


@on_stacks(RABBITMQ, why="it ends before it looks at database or broker, and `worker up` takes no pool")
def test_a_wrong_setting_is_a_sentence_and_status_2(make: Make) -> None:
    """Such as another pool than threads: the process ends at its start."""
    stack = make()

    process = stack.process("celery", "-A", "worker.service.celery_app", "worker", "-P", "prefork")

    assert process.wait(LIMIT_S) == 2, stack.logs()[-3000:]
    assert "worker: the worker cannot use the pool" in stack.logs()
