"""Connects the worker process to Celery: a step of the worker's blueprint, and the signals that end the process.

The step belongs to the worker, not to the consumer, whose steps are stopped and started with each broker reconnect.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

import celery.worker.state
from celery import bootsteps

from worker.domain.errors import ConfigurationError
from worker.language import said
from worker.service.lifecycle import WorkerProcess

EXIT_CONFIGURATION = 2
EXIT_AT_ONCE = 1


class WorkerProcessStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Opens the worker process before the consumer takes messages, and drains it when the worker stops."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **options: Any):
        super().__init__(worker, **options)
        self._process: WorkerProcess = worker.app.worker_process
        pool = worker.pool_cls.__module__.rpartition(".")[2]
        if pool != "thread":
            refuse(f"the worker needs threads, not {pool}: start it with -P threads, and add processes for more speed")

    def start(self, worker: Any) -> None:
        """Waits for the database; the consumer starts afterwards."""
        take_over_signals(self._process)
        try:
            self._process.open(
                threads=worker.concurrency,
                node=worker.hostname,
                events=bool(worker.task_events),
                given_up=lambda: celery.worker.state.should_stop is not None,
            )
        except ConfigurationError as error:
            refuse(str(error))

    def close(self, worker: Any) -> None:
        """Begins to drain when the worker is about to stop: nothing new is taken or offered."""
        self._process.begin_drain()

    def stop(self, worker: Any) -> None:
        """Finishes the drain when the worker stops."""
        # It waits for the calls in the air itself: the pool may be stopped before or after this step.
        self._process.finish()

    def terminate(self, worker: Any) -> None:
        """Ends the process at once in a cold shutdown; only marked parts become unknown."""
        os._exit(EXIT_AT_ONCE)


def refuse(sentence: str) -> NoReturn:
    """Ends the process at its start with one sentence."""
    sys.stderr.write(f"worker: {said(sentence)}\n")
    raise SystemExit(EXIT_CONFIGURATION)


def take_over_signals(room: WorkerProcess) -> None:
    """Makes the first SIGTERM or SIGINT drain the process, and a second one, or SIGQUIT, end it at once."""
    if threading.current_thread() is not threading.main_thread():
        return
    # Both go on to Celery's handler of SIGTERM: its handler of SIGINT would end an idle worker with status 1, and ask
    # for a second Ctrl-C.
    celerys: Any = signal.getsignal(signal.SIGTERM)

    def drain(number: int, frame: FrameType | None) -> None:
        # By itself, because Celery's loop may need a second to notice the signal.
        if room.draining:
            os._exit(EXIT_AT_ONCE)
        room.begin_drain()
        if callable(celerys):
            celerys(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, drain)
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(EXIT_AT_ONCE))
