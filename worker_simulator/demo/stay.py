"""The demo kept open: where to look, what to press and what to write, until Ctrl-C."""

from __future__ import annotations

import time
from urllib.parse import quote

from rich.console import Console

from worker_simulator.demo.application import APPROVERS, WITHDRAW, Application
from worker_simulator.demo.stage import DemoStage

LOOK_S = 0.5
CONVERSATION = "app:ww-demo%2F1000002:{person}"
"""The inbox's name for what the demo's app and one person have between them."""


def tell_story(stage: DemoStage, console: Console) -> None:
    """Sends another card, tells what can be done with it, and stays open."""
    Application(stage.engine, stage.accounts).asks_again()
    at = quote(CONVERSATION.format(person=APPROVERS[0]), safe="")
    console.print(
        f"""
a leave request waits in the inbox of {APPROVERS[0]}:
  {stage.vendor}/?at={at}

  1  press Approve or Refuse: the hook updates the card of both approvers
  2  write "{WITHDRAW}" in the reply field: the hook takes the card back
  3  "Details" beside a message shows its request, its answer, and every rule that acted on it""",
        markup=False,
    )
    stay_open(stage, console)


def stay_open(stage: DemoStage, console: Console) -> None:
    """Waits until Ctrl-C; StageFailed when a process of the demo ends before."""
    console.print(f"\ninbox: {stage.vendor}/  (Ctrl-C ends the demo)", markup=False)
    try:
        while True:
            stage.require_alive()
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        console.print("demo: ended", markup=False)
