"""The wrong text goes out: it is stopped, taken back and corrected, and everybody is accounted for.

`INCIDENT=20000 pytest -s tests/process/test_incident.py` does it with so many, and prints what a person types.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import CROSSED, REDIS, Make, on_stacks
from tests.pipeline.console.person import Person
from worker import JobFilter, NewJob, Text, To, enqueue_many, list_audit, wait_for_calls

WRONG = int(os.environ.get("INCIDENT", "300"))
FEW, LATENCY_S = WRONG // 15, 150 / WRONG
"""How many are gone when the first command is typed; sixteen threads send all in ten seconds, however many."""
SLOW_S = 4.0
"""How long a call takes while somebody pauses, so that some wait then, however slow the machine."""
LATE = 50
"""What the producer enqueues after somebody has paused the tag."""
TAG = "mailing"
SINCE = f"--tag {TAG} --created-from -2h"
PAUSE, RESUME = f'worker pause --tag {TAG} --wait --why "wrong date"', f"worker resume --tag {TAG}"
CORRECT = f'worker correct {SINCE} --replace {TAG}=right --rate 1000 --why "wrong date" --yes'
RECALL = f'worker recall {SINCE} --why "wrong text" --yes'


class Commands:
    """What is typed in a terminal."""

    def __init__(self, stack: Stack):
        self._stack = stack

    def types(self, line: str) -> None:
        """Carries out a command, to its end."""
        log, began = self._stack.folder / f"process-{len(self._stack.processes)}.log", time.monotonic()
        status = self._stack.process("worker.cli", *shlex.split(line)[1:]).wait()
        printed = log.read_text(encoding="utf-8")
        print(f"$ {line}\n{printed}({time.monotonic() - began:.1f} s)\n", end="")
        assert status == 0, printed

    def pause(self) -> None:
        """Pauses the tag, and waits until what is in flight has landed."""
        self.types(PAUSE)

    def resume(self) -> None:
        """Ends the pause."""
        self.types(RESUME)

    def recall(self) -> None:
        """Takes the mailing back."""
        self.types(RECALL)

    def correct(self) -> None:
        """Corrects the mailing."""
        self.types(CORRECT)


class Console:
    """The buttons of the console's pages."""

    def __init__(self, stack: Stack):
        self._stack, self._person = stack, Person(cast(Any, stack))

    def pause(self) -> None:
        """Pauses the tag, and waits until what is in flight has landed."""
        self._person.give(f"/commands/pause?tag={TAG}", "wrong date")
        assert wait_for_calls(JobFilter(tag=TAG), timeout_s=60, settings=self._stack.settings) == 0

    def resume(self) -> None:
        """Ends the pause."""
        self._person.give(f"/commands/resume?tag={TAG}", "right now")

    def recall(self) -> None:
        """Takes the mailing back."""
        self._person.give(f"/commands/recall?tag={TAG}", "wrong text")
        self._ends("recall")

    def correct(self) -> None:
        """Types both texts, looks at the samples, and corrects the mailing."""
        page = self._person.get(f"/commands/correct?tag={TAG}")
        shown = self._person.submit(page, "/commands/correct", old=TAG, new="right", rate="1000", why="wrong date")
        assert "Dear user-" in shown.text
        self._person.submit(shown, "/commands/correct", why="wrong date")
        self._ends("correct")

    def _ends(self, action: str) -> None:
        query = f"select count(*) from worker_audit where action = 'console.{action}' and ended_at is not null"
        until(lambda: self._stack.number(query), "the command ends", progress=self._stack.open_jobs)


WAYS: Mapping[str, Callable[[Stack], Commands | Console]] = {"commands": Commands, "console": Console}


@on_stacks(CROSSED, REDIS, why="each database and each broker once, and one process has no more", way=tuple(WAYS))
def test_a_personalised_mailing_is_stopped_taken_back_and_corrected(make: Make, way: str) -> None:
    """Without an id or a JSON: at the end each person has the right text of their own, and nobody sees a wrong one."""
    stack = make({"latency_s": LATENCY_S})
    person = WAYS[way](stack)
    enqueue(stack, TAG, range(WRONG))
    for _ in range(2):
        stack.worker(threads=8)
    until(lambda: stack.vendor.sends() >= FEW, "some are gone", progress=stack.vendor.sends)

    stack.vendor.post("settings", {"latency_s": SLOW_S})
    person.pause()
    stack.vendor.post("settings", {"latency_s": LATENCY_S})
    gone = stack.vendor.sends()
    enqueue(stack, "other", range(WRONG + LATE, WRONG + 2 * LATE))
    enqueue(stack, TAG, range(WRONG, WRONG + LATE))
    until(lambda: stack.vendor.sends() >= gone + LATE, "others go on", progress=stack.vendor.sends)
    person.correct()
    person.resume()
    stack.until_settled()

    assert FEW <= gone < WRONG
    shown, recalled = messages(stack, "shown"), messages(stack, "recalled")
    everybody = {f"user-{n}": [text(f"user-{n}", "right")] for n in range(WRONG + LATE)}
    others = {f"user-{n}": [text(f"user-{n}", "other")] for n in range(WRONG + LATE, WRONG + 2 * LATE)}
    assert everybody | others == shown
    assert len(recalled) == gone
    assert {len(texts) for texts in recalled.values()} == {1}
    assert gone + WRONG + 2 * LATE == stack.vendor.sends()
    assert {"recall": (gone, 0, 0), "send": (WRONG + LATE, 0, 0)} == follow_ups(stack, "correct")


@on_stacks(CROSSED, why="one process has no more of a stack, and the test above runs on two", way=tuple(WAYS))
def test_what_was_not_out_at_the_pause_is_never_seen(make: Make, way: str) -> None:
    """Paused with some out, recalled by the tag, and resumed at once, before any recall can have been carried out."""
    stack = make({"latency_s": LATENCY_S})
    person = WAYS[way](stack)
    enqueue(stack, TAG, range(WRONG))
    stack.worker(threads=16)
    until(lambda: stack.vendor.sends() >= FEW, "some are gone", progress=stack.vendor.sends)

    stack.vendor.post("settings", {"latency_s": SLOW_S})
    person.pause()
    stack.vendor.post("settings", {"latency_s": LATENCY_S})
    gone = stack.vendor.sends()
    person.recall()
    person.resume()
    stack.until_settled()

    print(f"{make.name} {way}: {WRONG} texts, {gone} out at the pause, {stack.vendor.sends() - gone} sent after it")
    assert FEW <= gone < WRONG
    assert gone == stack.vendor.sends()
    assert len(messages(stack, "recalled")) == gone
    assert messages(stack, "shown") == {}
    assert {"recall": (gone, 0, 0)} == follow_ups(stack, "recall")


@on_stacks(REDIS, why="one process has no more of a stack, and the first test runs on two", way=tuple(WAYS))
def test_without_a_pause_only_what_is_in_flight_goes_on(make: Make, way: str) -> None:
    """The vendor takes half a second. What a sender has in hand is not called any more, and what went is recalled."""
    stack = make({"latency_s": 0.5})
    person = WAYS[way](stack)
    enqueue(stack, TAG, range(WRONG))
    stack.worker(threads=16)
    until(lambda: stack.vendor.sends() >= FEW, "some are gone", progress=stack.vendor.sends)

    before = stack.vendor.sends()
    person.recall()
    after = stack.vendor.sends()
    stack.until_settled()

    of_jobs = "from worker_parts p join worker_jobs j on j.id = p.job_id"
    called = f"select count(*) {of_jobs} where p.marked_at > j.cancelled_at"
    gone = stack.vendor.sends()
    print(f"{make.name} {way}: {WRONG} texts, called before the command {before}, at its end {after}, in all {gone}")
    assert stack.number(called) == 0, "no call began after its job was cancelled"
    assert FEW <= gone < WRONG
    assert len(messages(stack, "recalled")) == gone
    assert messages(stack, "shown") == {}
    assert {"recall": (gone, 0, 0)} == follow_ups(stack, "recall")


def follow_ups(stack: Stack, action: str) -> dict[str, tuple[int, int, int]]:
    """What became of the recalls and corrections of the last command, by the audit: done, under way, failed."""
    with stack.database.reading() as connection:
        entry = next(entry for entry in list_audit(connection) if entry.action.removeprefix("console.") == action)
    return {one.kind: (one.done, one.under_way, one.failed) for one in entry.follow_ups}


def messages(stack: Stack, state: str) -> dict[str, list[str]]:
    """Person -> the texts in this state."""
    found: dict[str, list[str]] = {}
    for user, received in stack.vendor.inbox().items():
        if texts := [message["content"]["content"] for message in received if message["state"] == state]:
            found[user] = texts
    return found


def text(user: str, what: str) -> str:
    """A text that nobody else gets."""
    return f"Dear {user}: {what}"


def enqueue(stack: Stack, tag: str, people: range) -> None:
    """A text to a person each, in transactions of two thousand."""
    for first in range(people.start, people.stop, 2_000):
        users = [f"user-{n}" for n in range(first, min(first + 2_000, people.stop))]
        jobs = [NewJob(ACCOUNT, Text(content=text(user, tag)), To(users=[user]), tags=[tag]) for user in users]
        with stack.database.writing() as connection:
            enqueue_many(connection, jobs, accounts=stack.accounts)
