"""The wrong text goes out: it is stopped, taken back and corrected, and everybody is accounted for.

`INCIDENT=20000 pytest -s tests/process/test_incident.py` does it with so many, and prints what a person types.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, cast

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import CROSSED, Make, on_stacks
from tests.pipeline.console.person import Person
from worker import JobFilter, NewJob, Text, To, drain, enqueue_many

WRONG = int(os.environ.get("INCIDENT", "300"))
GONE = WRONG * 2 // 5
LATE = 50
"""What the producer enqueues after somebody has paused the tag."""
TAG = "mailing"
COMMANDS = """
worker pause --tag mailing --wait --why "wrong date"
worker correct --tag mailing --created-from -2h --text right --rate 1000 --why "wrong date" --yes
worker jobs --tag mailing --state open
worker resume --tag mailing
"""


def by_commands(stack: Stack, more: Callable[[], None]) -> None:
    """The lines above, as they are typed."""
    for number, line in enumerate(COMMANDS.strip().splitlines()):
        log = stack.folder / f"process-{len(stack.processes)}.log"
        status = stack.process("worker.cli", *shlex.split(line)[1:]).wait()
        printed = log.read_text(encoding="utf-8")
        print(f"$ {line}\n{printed}", end="")
        assert 0 == status, printed
        if number == 0:
            more()


def at_the_console(stack: Stack, more: Callable[[], None]) -> None:
    """The buttons of its pages; what is in flight has landed before the correction."""
    person = Person(cast(Any, stack))
    person.give(f"/commands/pause?tag={TAG}", "wrong date")
    more()
    assert 0 == drain(JobFilter(tag=TAG), timeout_s=60, settings=stack.settings)
    page = person.get(f"/commands/correct?tag={TAG}")
    moved = person.submit(page, "/commands/correct", text="right", rate="1000", why="wrong date")
    assert 303 == moved.status, moved.text
    corrected = "select count(*) from worker_audit where action = 'console.correct' and ended_at is not null"
    until(lambda: stack.number(corrected), "the correction ends", progress=stack.open_jobs)
    person.give(f"/commands/resume?tag={TAG}", "right now")


WAYS: Mapping[str, Callable[[Stack, Callable[[], None]], None]] = {"commands": by_commands, "console": at_the_console}


@on_stacks(CROSSED, why="its SQL is tried on each database in process, and one process has no more", way=tuple(WAYS))
def test_a_wrong_text_is_stopped_taken_back_and_corrected(make: Make, way: str) -> None:
    """Without an id, an offset or a JSON: at the end each person has the right text, and nobody sees a wrong one."""
    stack = make({"latency_s": 0.02})
    enqueue(stack, TAG, range(WRONG))
    for _ in range(2):
        stack.worker(threads=8)
    until(lambda: stack.vendor.sends() >= GONE, "two of five are gone", progress=stack.vendor.sends)
    gone = 0

    def more() -> None:
        nonlocal gone
        drain(JobFilter(tag=TAG), timeout_s=60, settings=stack.settings)
        gone = stack.vendor.sends()
        enqueue(stack, "other", range(WRONG + LATE, WRONG + 2 * LATE))
        enqueue(stack, TAG, range(WRONG, WRONG + LATE))
        until(lambda: stack.vendor.sends() >= gone + LATE, "others go on", progress=stack.vendor.sends)

    WAYS[way](stack, more)
    stack.until_settled()

    assert GONE <= gone < WRONG
    messages = [message for received in stack.vendor.inbox().values() for message in received]
    texts = Counter((message["content"]["content"], message["state"]) for message in messages)
    assert {(TAG, "recalled"): gone, ("right", "shown"): WRONG + LATE, ("other", "shown"): LATE} == texts
    right = {user for user, received in stack.vendor.inbox().items() if "right" in str(received)}
    assert {f"user-{n}" for n in range(WRONG + LATE)} == right
    assert gone + WRONG + 2 * LATE == stack.vendor.sends()


def enqueue(stack: Stack, tag: str, people: range) -> None:
    """A text to a person each, in transactions of two thousand."""
    for first in range(people.start, people.stop, 2_000):
        jobs = [
            NewJob(ACCOUNT, Text(content=tag), To(users=[f"user-{n}"]), tags=[tag])
            for n in range(first, min(first + 2_000, people.stop))
        ]
        with stack.database.writing() as connection:
            enqueue_many(connection, jobs, accounts=stack.accounts)
