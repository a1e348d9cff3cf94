"""`worker demo`: the whole worker in a few seconds, embedded, with a fake WeCom in a process of its own.

Read in this order: `stage.py` (processes), `application.py` (the producer and its hooks), `board.py` (the live table),
`checks.py` (whether every job ended as stated, and the output at the end), and here the order of the steps.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from urllib.parse import quote

from rich.console import Console

from worker.language import translate
from worker_simulator.demo import channels
from worker_simulator.demo.application import APPROVERS, WITHDRAW, Application
from worker_simulator.demo.board import Board
from worker_simulator.demo.checks import Outcome, checks, print_jobs, print_verdict
from worker_simulator.demo.stage import SETTINGS, DemoStage, StageFailed

POLL_S = 0.5
CONVERSATION = "app:ww-demo%2F1000002:{person}"
"""The inbox's key for the conversation of the demo's app with one person."""


def explain_and_stay(stage: DemoStage, console: Console) -> None:
    """Sends another card, explains what can be done with it, and stays open."""
    Application(stage.engine, stage.accounts).send_second_card()
    at = quote(CONVERSATION.format(person=APPROVERS[0]), safe="")
    console.print(
        translate(f"""
a leave request waits in the inbox of {APPROVERS[0]}:
  {stage.vendor}/?at={at}

  1  press Approve or Refuse: the hook updates the card of both approvers
  2  write "{WITHDRAW}" in the reply field: the hook takes the card back
  3  "Details" beside a message shows its request, its answer, and every rule that acted on it"""),
        markup=False,
    )
    stay_open(stage, console)


def stay_open(stage: DemoStage, console: Console) -> None:
    """Waits until Ctrl-C. Raises StageFailed if a process of the demo ends before."""
    console.print(translate(f"\ninbox: {stage.vendor}/  (Ctrl-C ends the demo)"), markup=False)
    try:
        while True:
            stage.require_alive()
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        console.print(translate("demo: ended"), markup=False)


LIMIT_S = 60.0
"""Enough for a slow machine. A normal run takes a few seconds."""


def run(*, stay: bool = False) -> int:
    """Runs the demo. Returns 0 only if every job ended as stated. With `stay` it stays open until Ctrl-C."""
    return _run(_play, SETTINGS, receiver=True, stay=explain_and_stay if stay else None)


def run_all_channels(*, stay: bool = False) -> int:
    """Runs everything that every channel can do, once. Returns 0 only if each job ended as stated."""
    return _run(channels.play, channels.SETTINGS, receiver=False, stay=stay_open if stay else None)


Play = Callable[[DemoStage, Console], bool]
Stay = Callable[[DemoStage, Console], None]


def _run(play: Play, settings: str, *, receiver: bool, stay: Stay | None) -> int:
    console = Console(highlight=False, soft_wrap=True)
    try:
        with _ends_on_sigterm(), DemoStage.built(settings, receiver=receiver) as stage:
            console.print(translate(f"inbox: {stage.vendor}/  (worker demo --stay keeps it open)"), markup=False)
            passed = play(stage, console)
            if stay is not None:
                stay(stage, console)
            return 0 if passed else 1
    except StageFailed as error:
        console.print(translate(str(error)), style="red", markup=False)
        return 1


def _play(stage: DemoStage, console: Console) -> bool:
    application = Application(stage.engine, stage.accounts)
    with Board(stage.engine, console, application.jobs) as board:
        application.send_messages()
        board.until_ended(("text", "card"), stage.require_alive, LIMIT_S)
        application.recall_text()
        stage.press(APPROVERS[0], "approve", application.jobs["card"])
        board.until(application.hook_has_answered, "the hook answers the press", stage.require_alive, LIMIT_S)
        board.until_ended(tuple(application.jobs), stage.require_alive, LIMIT_S)
    outcome = Outcome.of(stage, application)
    print_jobs(console, outcome)
    return print_verdict(console, checks(outcome))


@contextmanager
def _ends_on_sigterm() -> Iterator[None]:
    """Turns SIGTERM into SystemExit, so that no process is left behind."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
