"""Shows jobs in Flower as Celery task events, each under the job's id and kind.

The writer and the senders add events to a queue, and one thread publishes them in batches. The queue is bounded: while
the broker is slow or away, events are dropped and counted, and no other thread waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import structlog
from celery.events.event import get_exchange
from celery.events.state import TASK_EVENT_TO_STATE

from worker.domain.state import JobState
from worker.outbox.commit.commands import JobUpdate
from worker.service.broker import PublisherConnection
from worker.service.flower.waiting_jobs import JobView

log = structlog.get_logger()

MAX_QUEUED = 20_000
"""Events kept while the broker is slow. Further ones are dropped."""
BATCH = 200
"""Events in one message."""
COLLECT_S = 0.1
"""Seconds for which events are collected before they are published. A message costs far more than an event in it."""


class FlowerEvents:
    """Collects job events from any thread, and publishes them from one."""

    def __init__(self, app: Any, node: str, jobs_at: str | None = None):
        """`jobs_at` is the address of the console's job pages without the job's id. Flower shows it as kwargs."""
        self._jobs_at = jobs_at
        self._connection = PublisherConnection(app, "events")
        self._app = app
        hours_behind_utc = (time.altzone if time.localtime().tm_isdst > 0 else time.timezone) // 3600
        self._fields = {"hostname": node, "pid": os.getpid(), "utcoffset": hours_behind_utc}
        self._queue: deque[tuple[float, JobUpdate | JobView]] = deque()
        self._has_events = threading.Event()
        self._closing = threading.Event()
        self._exchange = ""
        self.dropped = 0

    def add(self, happened: Sequence[JobUpdate | JobView]) -> None:
        """Adds events to the queue, or drops and counts them if it is full. Never blocks."""
        if len(self._queue) + len(happened) > MAX_QUEUED:
            if not self.dropped:
                log.warning("flower_events_dropped")
            self.dropped += len(happened)
            return
        now = time.time()
        self._queue.extend([(now, one) for one in happened])
        if not self._has_events.is_set():
            self._has_events.set()

    def turn(self) -> float:
        """Publishes the queued events, and returns the seconds until the next turn. Only one thread may call it."""
        if self._has_events.wait(0.5):
            self._closing.wait(COLLECT_S)
        self._has_events.clear()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            if not self._publish([event for at, one in batch for event in self._events(at, one)]):
                self.dropped += len(batch)
                return 1.0
        return 0.0

    def close(self) -> None:
        """Publishes what is queued if the broker is there, and closes the connection."""
        self._closing.set()
        self._has_events.set()
        if not self._connection.away:
            self.turn()
        self._connection.close()

    def _publish(self, events: list[dict[str, Any]]) -> bool:
        sent = (
            self._connection.open()
            and self._declare()
            and self._connection.publish(events, exchange=self._exchange, routing_key="task.multi", delivery_mode=1)
        )
        if not sent:
            # A broker that comes back may have lost the exchange.
            self._exchange = ""
        return sent

    def _declare(self) -> bool:
        if not self._exchange:
            exchange = get_exchange(self._connection.channel().connection.client, name=self._app.conf.event_exchange)
            if self._connection.declare([exchange]):
                return False
            self._exchange = exchange.name
        return not self._connection.away

    def _events(self, at: float, one: JobUpdate | JobView) -> list[dict[str, Any]]:
        """Returns Celery's events for one change: first "received" if the job is new to Flower, then the change."""
        common = {
            "uuid": one.job_id,
            "name": f"{one.kind} {one.channel}",
            "args": one.account,
            "kwargs": f"{self._jobs_at}{one.job_id}" if self._jobs_at else "",
            "clock": self._app.clock.forward(),
            "timestamp": at,
            **self._fields,
        }
        if isinstance(one, JobView):
            return [common | _view_event(one)]
        kind, fields = event_of(one.state, one.text, one.runtime_s)
        last = {**common, "type": kind, **fields}
        if one.retries is not None:
            last["retries"] = one.retries
        if not one.is_first:
            return [last]
        return [{**common, **_received(one.job_id), "type": "task-received", "retries": 0}, last]


def event_of(state: JobState | None, text: str, runtime_s: float | None = None) -> tuple[str, dict[str, Any]]:
    """Returns Celery's event type and fields for a job's state. None stands for a part that goes back to the queue."""
    match state:
        case None:
            text = f"waits {text}"
            return "task-retried", {"result": text, "exception": text, "traceback": ""}
        case JobState.OPEN:
            return "task-started", {"result": "", "exception": None}
        case JobState.ACCEPTED | JobState.PARTIAL:
            return "task-succeeded", {"result": text, "exception": None, "runtime": runtime_s}
        case JobState.CANCELLED:
            return "task-revoked", {"result": text, "terminated": False, "signum": None, "expired": False}
        case JobState.UNKNOWN:
            # Celery takes the name of an unknown event for the name of a state. A job in doubt may yet be accepted, so
            # it must not be counted among the failed.
            return "task-unknown", {"result": text, "exception": text, "runtime": runtime_s}
        case _:
            return "task-failed", {"result": text, "exception": text, "traceback": "", "runtime": runtime_s}


def _view_event(one: JobView) -> dict[str, Any]:
    """Returns the fields of an event that shows a job's state without counting as a new event.

    The type is the name of the state, which Celery takes as it is: `task-RECEIVED`, while `task-received` is counted.
    """
    if one.state is None and not one.was_called:
        received, text = _received(one.job_id), f"waits {one.text}" if one.text else ""
        return {**received, "type": "task-RECEIVED", "result": text, "eta": one.eta}
    kind, fields = event_of(one.state, one.text)
    # The worker's event for the call has already reported the runtime.
    fields.pop("runtime", None)
    return {**fields, "type": f"task-{TASK_EVENT_TO_STATE.get(kind.removeprefix('task-'), 'UNKNOWN')}"}


def _received(job_id: str) -> dict[str, Any]:
    """Returns when the job was enqueued, in seconds, from its id. Celery's field is when a worker first met a task."""
    return {"received": int(job_id[:12], 16) / 1000}
