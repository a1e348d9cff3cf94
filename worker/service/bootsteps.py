"""Connects the worker process to Celery: steps of its blueprints, and the signals that end the process.

The process is a step of the worker. Steps of the consumer are stopped and started again with each broker reconnect.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

import celery.apps.worker
import celery.worker.state
from celery import bootsteps
from celery.utils.log import get_logger
from celery.worker.consumer import Consumer

from worker.domain.errors import ConfigurationError
from worker.language import translate
from worker.language.visible import visible
from worker.service.lifecycle import WorkerProcess
from worker.service.unreadable import drops, is_like_ours

log = get_logger(__name__)

EXIT_CONFIGURATION = 2
EXIT_AT_ONCE = 1
TOGETHER_S = 0.5
"""Seconds after the first signal in which further ones count as the same. `uv run` passes on to the process what
Ctrl-C or systemd sends to both of them.
"""


class WorkerProcessStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Opens the worker process before the consumer takes messages, and drains it when the worker stops."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **options: Any):
        super().__init__(worker, **options)
        self._process: WorkerProcess = worker.app.worker_process
        pool = worker.pool_cls.__module__.rpartition(".")[2]
        if pool != "thread":
            refuse(f"the worker cannot use the pool {pool}: start it with -P threads, and add processes for more speed")

    def start(self, worker: Any) -> None:
        """Opens the worker process, which waits for the database. Celery starts the consumer afterwards."""
        # Again, because REMAP_SIGTERM=SIGQUIT would have made it cut calls in flight off.
        celery.apps.worker._shutdown_handler(worker, sig="SIGTERM", how="Warm")
        take_over_signals(self._process)
        try:
            self._process.open(
                threads=worker.concurrency,
                node=worker.hostname,
                events=bool(worker.task_events),
                is_cancelled=lambda: celery.worker.state.should_stop is not None,
            )
        except ConfigurationError as error:
            refuse(str(error))

    def close(self, worker: Any) -> None:
        """Begins the drain when the worker is about to stop. Then no doorbell is taken and no part offered."""
        self._process.begin_drain()

    def stop(self, worker: Any) -> None:
        """Finishes the drain when the worker stops."""
        # The process itself waits for the calls in flight, because Celery may stop the pool before or after this step.
        self._process.finish()

    def terminate(self, worker: Any) -> None:
        """Ends the process at once in a cold shutdown. Only parts with a mark but without an answer become unknown."""
        os._exit(EXIT_AT_ONCE)


class ClosingConsumer(Consumer):  # type: ignore[misc]  # as above
    """Celery's consumer, which closes a connection that it cannot use, and drops a message that it cannot read.

    Celery would leave the sockets open, and end the process.
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """Celery's steps without Gossip, which leaves its socket open whenever the broker is lost.

        It only tells workers of each other, which ours read in the outbox.
        """

        default_steps = (
            *(step for step in Consumer.Blueprint.default_steps if not step.endswith((":Gossip", ":Control"))),
            "worker.service.unreadable:OwnControl",
        )

    def connect(self) -> Any:
        """Returns a connection to the broker. Raises its error, for example of a Redis that takes no writes."""
        connection = self.connection_for_read(heartbeat=self.amqheartbeat)
        try:
            if self.hub:
                connection.transport.register_with_event_loop(connection.connection, self.hub)
        except Exception:
            with suppress(Exception):  # the first error matters
                connection.close()
            raise
        return connection

    def create_task_handler(self, **options: Any) -> Any:
        """Returns what takes a message: Celery's own, or else the message is dropped."""
        receive = super().create_task_handler(**options)

        def receive_or_drop(message: Any) -> None:
            try:
                if is_like_ours(message):
                    receive(message)
                else:
                    self._drop(message, LookupError())
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as error:  # noqa: BLE001  a message of others may break Celery anywhere
                self._drop(message, error)

        return receive_or_drop

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Drops a message whose body is not JSON."""
        self._drop(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Drops a message that is no task."""
        self._drop(message, LookupError())

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """Drops a task that is none of ours."""
        self._drop(message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """Drops a task of ours in another form."""
        self._drop(message, exc)

    def _drop(self, message: Any, error: BaseException) -> None:
        """Acknowledges a message and counts it. Celery would log what is in it."""
        drops.add(error)
        message.ack_log_error(log, self.connection_errors)


REDIS = "kombu.transport.redis"


class LostConnectionStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Takes a lost connection to Redis out of Celery's event loop.

    kombu leaves its callbacks and repeated timers there, and they keep its sockets open and megabytes of memory.
    """

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:
        """Closes what is left of the connection before this one."""
        # kombu's channels refer to themselves, and the collector looks at what is old only after hours: until then they
        # would keep a few sockets of each lost connection open.
        gc.collect()

    def stop(self, consumer: Any) -> None:
        """Forgets what kombu registered, when the connection is lost or the worker stops."""
        if (hub := consumer.hub) is None:
            return
        hub.on_tick.difference_update([callback for callback in hub.on_tick if _is_of_redis(callback)])
        for scheduled in hub.timer.queue:
            if _is_of_redis(scheduled.entry.fun):
                scheduled.entry.cancel()


def _is_of_redis(function: Any) -> bool:
    return getattr(function, "__module__", None) == REDIS


def refuse(sentence: str) -> NoReturn:
    """Prints one sentence and ends the process with status 2."""
    sys.stderr.write(f"worker: {visible(translate(sentence))}\n")
    raise SystemExit(EXIT_CONFIGURATION)


def take_over_signals(process: WorkerProcess, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Makes the first SIGTERM, SIGINT or SIGHUP drain the process; one after `TOGETHER_S`, or SIGQUIT, ends it at once.

    SIGHUP, which comes when a terminal is closed, is left alone where it is ignored (`nohup`) or Celery handles it.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    # Each signal goes on to Celery's handler of SIGTERM. Its handler of SIGINT would end an idle worker with status 1,
    # and would ask for a second Ctrl-C.
    celery_handler: Any = signal.getsignal(signal.SIGTERM)
    first_at = float("-inf")

    def drain(number: int, frame: FrameType | None) -> None:
        nonlocal first_at
        if (now := monotonic()) - first_at < TOGETHER_S:
            return
        # Called here directly, because Celery's loop may need a second to notice the signal.
        if process.draining:
            os._exit(EXIT_AT_ONCE)
        first_at = now
        process.begin_drain()
        if callable(celery_handler):
            celery_handler(number, frame)

    hangup = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL else []
    for number in (signal.SIGTERM, signal.SIGINT, *hangup):
        signal.signal(number, drain)
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(EXIT_AT_ONCE))
    # With CELERY_RDBSIG, Celery would open a debugger to every user of this host.
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
