"""Jobs as Flower shows them: our own task events under the job's id and its kind, published as lists.

The writer and the senders hand events over, and a thread of their own publishes them. The queue between them is
bounded: when the broker is slow or away, events are dropped and counted, and no other thread waits.
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
from worker.service.broker import BrokerLine
from worker.service.flower.waiting_jobs import JobView

log = structlog.get_logger()

LIMIT = 20_000
"""Events kept while the broker is slow; further ones are dropped."""
BATCH = 200
"""Events in one message."""
GATHER_S = 0.1
"""Seconds for which events are collected before they are published; a message costs far more than an event in it."""


class Flower:
    """Takes over from any thread what happened to jobs, and publishes it from one."""

    def __init__(self, app: Any, node: str, jobs_at: str | None = None):
        """`jobs_at`: where the console's pages of jobs are, up to the job's id: the keyword arguments in Flower."""
        self._jobs_at = jobs_at
        self._line = BrokerLine(app, "events")
        self._app = app
        hours_behind_utc = (time.altzone if time.localtime().tm_isdst > 0 else time.timezone) // 3600
        self._fields = {"hostname": node, "pid": os.getpid(), "utcoffset": hours_behind_utc}
        self._queue: deque[tuple[float, JobUpdate | JobView]] = deque()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._exchange = ""
        self.dropped = 0

    def tell(self, happened: Sequence[JobUpdate | JobView]) -> None:
        """Takes over what happened; never blocks."""
        if len(self._queue) + len(happened) > LIMIT:
            if not self.dropped:
                log.warning("flower_events_dropped")
            self.dropped += len(happened)
            return
        now = time.time()
        self._queue.extend([(now, one) for one in happened])
        if not self._news.is_set():
            self._news.set()

    def turn(self) -> float:
        """Publishes what was taken over; returns the seconds until the next turn. Called by one thread only."""
        if self._news.wait(0.5):
            self._closing.wait(GATHER_S)
        self._news.clear()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            if not self._publish([event for at, one in batch for event in self._events(at, one)]):
                self.dropped += len(batch)
                return 1.0
        return 0.0

    def close(self) -> None:
        """Publishes the rest if the broker is there, and closes the connection."""
        self._closing.set()
        self._news.set()
        if not self._line.away:
            self.turn()
        self._line.close()

    def _publish(self, events: list[dict[str, Any]]) -> bool:
        sent = (
            self._line.open()
            and self._declare()
            and self._line.publish(events, exchange=self._exchange, routing_key="task.multi", delivery_mode=1)
        )
        if not sent:
            # A broker that comes back may have lost the exchange.
            self._exchange = ""
        return sent

    def _declare(self) -> bool:
        if not self._exchange:
            exchange = get_exchange(self._line.channel().connection.client, name=self._app.conf.event_exchange)
            if self._line.declare([exchange]):
                return False
            self._exchange = exchange.name
        return not self._line.away

    def _events(self, at: float, one: JobUpdate | JobView) -> list[dict[str, Any]]:
        """Celery's events: the job received, where nothing was told of it before, and then what happened to it."""
        about = {
            "uuid": one.job_id,
            "name": f"{one.kind} {one.channel}",
            "args": one.account,
            "kwargs": f"{self._jobs_at}{one.job_id}" if self._jobs_at else "",
            "clock": self._app.clock.forward(),
            "timestamp": at,
            **self._fields,
        }
        if isinstance(one, JobView):
            return [about | _shown(one)]
        kind, fields = event_of(one.state, one.text, one.runtime_s)
        last = {**about, "type": kind, **fields}
        if not one.is_first:
            return [last]
        return [{**about, **_received(one.job_id), "type": "task-received", "retries": 0}, last]


def event_of(state: JobState | None, text: str, runtime_s: float | None = None) -> tuple[str, dict[str, Any]]:
    """Celery's event type and its fields for a state of a job, as `Happened` has it."""
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
            # Celery takes the name of an event that it does not know for the name of a state. A job in doubt may yet be
            # accepted, so it must not be counted among the failed.
            return "task-unknown", {"result": text, "exception": text, "runtime": runtime_s}
        case _:
            return "task-failed", {"result": text, "exception": text, "traceback": "", "runtime": runtime_s}


def _shown(one: JobView) -> dict[str, Any]:
    """The fields of an event that shows how a job stands, and counts as nothing that happened to it.

    Its type is the name of the state, which Celery takes as it is: `task-RECEIVED` where `task-received` is counted.
    """
    if one.state is None and not one.was_called:
        received, text = _received(one.job_id), f"waits {one.text}" if one.text else ""
        return {**received, "type": "task-RECEIVED", "result": text, "eta": one.eta}
    kind, fields = event_of(one.state, one.text)
    # A call that a worker told of already has told this, too.
    fields.pop("runtime", None)
    return {**fields, "type": f"task-{TASK_EVENT_TO_STATE.get(kind.removeprefix('task-'), 'UNKNOWN')}"}


def _received(job_id: str) -> dict[str, Any]:
    """When a job was enqueued, which its id tells in milliseconds, in the place of when a worker first met it."""
    return {"received": int(job_id[:12], 16) / 1000}
