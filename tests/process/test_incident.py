"""The wrong text goes out: pause, drain, cancel and recall by its tag, and everybody is accounted for.

`INCIDENT=20000 pytest tests/process/test_incident.py` does it with so many wrong texts.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import MARIADB, Make, on_stacks
from worker import (
    JobFilter,
    NewJob,
    Text,
    To,
    cancel,
    drain,
    enqueue_many,
    find_open,
    find_sent,
    list_pauses,
    pause,
    recall_found,
    resume_paused,
)

WRONG = int(os.environ.get("INCIDENT", "500"))
GONE = WRONG * 2 // 5
RIGHT = 100


@on_stacks(MARIADB, why="its SQL is tried on each database in process, and one process has no more to stop")
def test_a_wrong_text_is_stopped_and_taken_back(make: Make) -> None:
    """Two of five are gone when somebody pauses its tag; what is right goes on, and nothing wrong stays to be seen."""
    stack = make({"latency_s": 0.02})
    began = datetime.fromtimestamp(stack.database.read_now() / 1_000_000, UTC)
    enqueue(stack, "wrong", WRONG)
    for _ in range(2):
        stack.worker(threads=8)
    until(lambda: stack.vendor.sends() >= GONE, "two of five are gone", progress=stack.vendor.sends)
    wrong, said = JobFilter(tag="wrong"), {"person": "zhang", "why": "wrong text", "settings": stack.settings}

    pause(wrong, **said)
    assert 0 == drain(wrong, timeout_s=60, settings=stack.settings)
    gone = stack.vendor.sends()
    enqueue(stack, "right", RIGHT)
    enqueue(stack, "wrong", RIGHT)
    until(lambda: stack.vendor.sends() >= gone + RIGHT, "the right ones go", progress=stack.vendor.sends)
    all_of_it = JobFilter(tag="wrong", created_from=began)
    report = cancel(find_open(all_of_it, settings=stack.settings), **said)
    recalls = recall_found(find_sent(all_of_it, settings=stack.settings), **said)
    resume_paused(wrong, **said)
    stack.until_settled()

    assert GONE <= gone < WRONG
    assert {"jobs": WRONG + RIGHT - gone, "accepted": gone, "cancelled": WRONG + RIGHT - gone} == report.counts
    assert (gone, {}) == (len(recalls.jobs), recalls.notes)
    messages = [message for seen in stack.vendor.inbox().values() for message in seen]
    seen = Counter((message["content"]["content"], message["state"]) for message in messages)
    assert {("wrong", "recalled"): gone, ("right", "shown"): RIGHT} == seen
    assert gone + RIGHT == stack.vendor.sends()
    with stack.database.reading() as connection:
        assert [] == list_pauses(connection)


def enqueue(stack: Stack, content: str, count: int) -> None:
    """Texts to a person each, in transactions of two thousand."""
    for first in range(0, count, 2_000):
        jobs = [
            NewJob(ACCOUNT, Text(content=content), To(users=[f"{content}-{n}"]), tags=[content])
            for n in range(first, min(first + 2_000, count))
        ]
        with stack.database.writing() as connection:
            enqueue_many(connection, jobs, accounts=stack.accounts)
