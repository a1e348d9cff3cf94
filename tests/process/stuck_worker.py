"""A worker in which one thing stops for ever: `python -m tests.process.stuck_worker FOLDER WHAT THREADS`; tests only.

It is a loop by its name, `writer`, or `senders`, who then take doorbells and send nothing; or `relay raises` and
`senders raise`, whose turns and doorbells end in an error that nobody foresaw. It stops at its next turn once the
folder holds `armed`, and leaves `stopped` there.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rig.names import own_name
from worker.config.settings import load_settings
from worker.delivery.scheduler.due_lanes import DueLanes
from worker.delivery.sender.doorbell_sender import DoorbellSender
from worker.outbox.lanes.agenda import Agenda
from worker.service import loops
from worker.service.celery_app import make_app, start_worker
from worker.service.lifecycle import Replacements
from worker.service.loop import Loop

WRITER, SENDERS = "writer", "senders"
RELAY_RAISES, SENDERS_RAISE = "relay raises", "senders raise"


class Stop:
    """Holds the thread that comes by, once it is armed."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __bool__(self) -> bool:
        return (self._folder / "armed").exists()

    def here(self) -> None:
        """Never returns once it is armed."""
        if self:
            self.tell()
            threading.Event().wait()

    def tell(self) -> None:
        """Lets the test know."""
        (self._folder / "stopped").touch()


def stopping_loop(stop: Stop, what: str, name: str, turn: Callable[[], float], *arguments: Any, **options: Any) -> Loop:
    """A loop whose turn stops, where it is the one that is to."""

    def held() -> float:
        stop.here()
        return turn()

    return Loop(name, held if name == what else turn, *arguments, **options)


def main(folder: str, what: str, threads: int) -> int:
    """Runs the worker."""
    stop = Stop(Path(folder))
    loops.Loop = partial(stopping_loop, stop, what)  # type: ignore[misc, assignment]

    def probe(reached: str) -> None:
        # Of the labels the one that the writer's own thread reaches, behind each commit of an end.
        if what == WRITER and reached == "after_record":
            stop.here()

    def raising(due_lanes: DueLanes, agenda: Agenda | None = None) -> bool:
        if what == RELAY_RAISES and stop:
            stop.tell()
            raise KeyError("nobody foresaw this")
        return gather(due_lanes, agenda)

    def refusing(sender: DoorbellSender, lane: str, ids: Sequence[str], **options: Any) -> int:
        if what == SENDERS_RAISE and stop:
            stop.tell()
            raise KeyError("nobody foresaw this")
        return answer(sender, lane, ids, **options)

    gather, answer = DueLanes.gather, DoorbellSender.answer
    DoorbellSender.answer = refusing  # type: ignore[method-assign]
    DueLanes.gather = raising  # type: ignore[method-assign]
    app = make_app(load_settings(), Replacements(probe=probe))
    answer_doorbell = app.worker_process.answer_doorbell

    def ring(*arguments: Any, **options: Any) -> None:
        if what == SENDERS and stop:
            stop.tell()
        else:
            answer_doorbell(*arguments, **options)

    app.worker_process.answer_doorbell = ring
    return start_worker(app, threads=threads, hostname=own_name(), without_mingle=True, without_gossip=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
