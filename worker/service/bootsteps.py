"""Where the worker process meets Celery: a step on the worker's blueprint, and the signals that end the process.

The step hangs on the worker, not on the consumer: consumer steps are stopped and started at every broker reconnect.
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
from worker.service.lifecycle import WorkerProcess

EXIT_CONFIGURATION = 2
EXIT_AT_ONCE = 1


class EngineRoomStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Opens the worker process before the consumer takes anything, drains it when the worker stops."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **options: Any):
        super().__init__(worker, **options)
        self._room: WorkerProcess = worker.app.worker_process
        pool = worker.pool_cls.__module__.rpartition(".")[2]
        if pool != "thread":
            refuse(f"the worker needs threads, not {pool}: start it with -P threads, and add processes for more speed")

    def start(self, worker: Any) -> None:
        """Waits for the database; the consumer starts afterwards."""
        take_over_signals(self._room)
        try:
            self._room.open(
                threads=worker.concurrency,
                node=worker.hostname,
                events=bool(worker.task_events),
                given_up=lambda: celery.worker.state.should_stop is not None,
            )
        except ConfigurationError as error:
            refuse(str(error))

    def close(self, worker: Any) -> None:
        """The worker is about to stop: nothing new is taken or offered."""
        self._room.begin_drain()

    def stop(self, worker: Any) -> None:
        """Waits for the calls in the air itself, for the pool may be stopped before or after this step."""
        self._room.finish()

    def terminate(self, worker: Any) -> None:
        """A cold shutdown ends at once; only marked parts become unknown."""
        os._exit(EXIT_AT_ONCE)


def refuse(sentence: str) -> NoReturn:
    """Ends the process at its start with one sentence."""
    sys.stderr.write(f"worker: {sentence}\n")
    raise SystemExit(EXIT_CONFIGURATION)


def take_over_signals(room: WorkerProcess) -> None:
    """First SIGTERM or SIGINT: drain. The second, or SIGQUIT: end at once.

    Both go on to Celery's handler of SIGTERM: that of SIGINT ends an idle worker with status 1 and invites a second.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    drain = _Drain(room, signal.getsignal(signal.SIGTERM))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, drain)
    signal.signal(signal.SIGQUIT, _at_once)


class _Drain:
    """Draining begins in the handler itself: Celery's loop may take a second to notice."""

    def __init__(self, room: WorkerProcess, celerys: Any):
        self._room, self._celerys = room, celerys

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._room.draining:
            _at_once(number, frame)
        self._room.begin_drain()
        if callable(self._celerys):
            self._celerys(number, frame)


def _at_once(number: int, frame: FrameType | None) -> None:
    os._exit(EXIT_AT_ONCE)
