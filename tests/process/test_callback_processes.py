"""A press in the simulator, a real receiver, a real worker, a hook, and the card that says so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

from rig.stack import ROOT, Stack, until
from rig.stacks import EMBEDDED, MARIADB, RABBITMQ, Make, on_stacks
from tests.process.counting import counted
from tests.process.office import KEY, TOKEN, UPDATE, Office


@on_stacks(RABBITMQ, EMBEDDED, why="its SQL is tried on each database in process")
def test_a_press_reaches_the_hook_and_the_card_says_so(make: Make) -> None:
    """Verified, pressed, stored, heard, updated with the press's own code; the timeline tells it, SIGTERM is 0."""
    here = Office(make)
    here.opens()
    here.stack.vendor.post("verify", {"corpid": "ww-canary-corp", "agentid": 7})
    worker = here.stack.worker()
    job = here.card("lisi", "wangwu")

    code = here.press("lisi")["response_code"]
    here.until_heard(1)

    verified, pressed = here.stack.vendor.get("callbacks")["callbacks"]
    assert verified["state"] == "taken"
    assert pressed["state"] == "taken"
    assert [one["status"] for one in pressed["tries"]] == [200]
    assert [code] == [_body(call)["response_code"] for call in here.stack.vendor.calls(UPDATE)]
    inbox = here.stack.vendor.inbox()
    assert {person: messages[0]["update"] for person, messages in inbox.items()} == {
        "lisi": {"replace_name": "yes noted"},
        "wangwu": None,
    }
    shown = _show(here.stack, job)
    for words in ("pressed: key yes by lisi", "hook started: card_action", "hook done: card_action"):
        assert words in shown
    assert [here.stack.end(process) for process in (here.receiver, worker)] == [0, 0]
    assert not [word for word in (TOKEN, KEY, code, "lisi") if word in here.stack.logs()]


@on_stacks()
def test_30_presses_delivered_four_times_each_are_30_runs(make: Make) -> None:
    """In random order, by a real receiver and two workers: 30 stored, each hook run once, each card updated once."""
    count, copies = 30, 4
    here = Office(make)
    here.opens(copies=copies, shuffle_s=1, deadline_s=30, tries=20)
    for _ in range(make.workers(2)):
        here.stack.worker()
    people = [f"u{n}" for n in range(count)]
    here.card(*people)

    codes = {here.press(person)["response_code"] for person in people}
    here.until_heard(count)
    until(lambda: all(_answered(tries) == copies for tries in _tries(here)), "every copy was delivered", 120)
    here.stack.until_settled()

    assert count == here.stack.number("select count(*) from worker_inbound")
    assert [(2, 1, count)] == here.stack.rows("select state, tries, count(*) from worker_events group by 1, 2")
    assert count == len(here.lines()) == len(set(here.lines()))
    updates = here.stack.vendor.calls(UPDATE)
    assert codes == {_body(call)["response_code"] for call in updates}
    assert count == len(updates)
    _assert_counted(here, count)


def _assert_counted(here: Office, count: int) -> None:
    """The counters say what the outbox stored, what the vendor delivered, and how often the hooks ran."""
    found = counted(here.stack)
    taken, deliveries = found["callbacks"], _deliveries(here)
    assert count == taken["hr", "stored"]
    # What took too long was answered with 503, or given up by the vendor, and may have been taken all the same.
    assert deliveries["200"] <= taken.total() <= deliveries.total()
    assert found["callbacks_refused"]["hr", "503"] <= deliveries["503"]
    assert {("card_action", "done"): count} == found["hook_runs"]


@on_stacks(MARIADB, EMBEDDED, why="its SQL is tried on each database in process")
def test_a_hook_whose_process_was_killed_is_run_again(make: Make) -> None:
    """Killed after it asked for its update: run twice, by the other worker or the next; its update is there once."""
    here = Office(make)
    here.opens()
    workers = [here.stack.worker() for _ in range(make.workers(2))]
    here.card("lisi")
    here.kill.touch()

    here.press("lisi")
    if make.name == EMBEDDED:
        until(lambda: workers[0].poll() is not None, "it is killed")
        here.stack.worker()
    here.until_heard(1)

    assert len(here.lines()) == 2
    assert len(set(here.lines())) == 1
    assert here.stack.rows("select state, tries from worker_events") == [(2, 2)]
    assert len(here.stack.vendor.calls(UPDATE)) == 1


def _body(call: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call["body"])
    return found


def _deliveries(here: Office) -> Counter[str]:
    """Every delivery so far, by what it was answered."""
    return Counter(answer for tries in _tries(here) for answer in tries)


def _tries(here: Office) -> list[list[str]]:
    """What each callback's deliveries were answered, in their order."""
    callbacks = here.stack.vendor.get("callbacks")["callbacks"]
    return [[str(one["status"] or one["failure"]) for one in callback["tries"]] for callback in callbacks]


def _answered(tries: list[str]) -> int:
    """How many copies were delivered: the first is repeated until it is taken, the others go once each."""
    return len(tries) - tries.index("200") if "200" in tries else 0


def _show(stack: Stack, job: str) -> str:
    command = [sys.executable, "-m", "worker.cli", "show", job]
    env = {"WORKER_CONFIG": str(stack.config), "PATH": "/usr/bin"}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
