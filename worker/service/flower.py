"""Jobs as Flower shows them: our own task events under the job's id and its kind, published as lists.

The writer hands events over after its commit, and a thread of their own publishes them. The queue between the two is
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

from worker.domain.state import JobState
from worker.outbox.commit.commands import Happened
from worker.service.broker import BrokerLine

log = structlog.get_logger()

LIMIT = 20_000
"""Events kept while the broker is slow; further ones are dropped."""
BATCH = 200
"""Events in one message."""
GATHER_S = 0.1
"""Seconds for which events are collected before they are published; a message costs far more than an event in it."""
WAITING_KEPT = 10_000


class Flower:
    """Takes over from any thread what happened to jobs, and publishes it from one."""

    def __init__(self, app: Any, node: str, jobs_at: str | None = None):
        """`jobs_at`: where the console's pages of jobs are, up to the job's id; Flower shows it as the arguments."""
        self._jobs_at = jobs_at
        self._line = BrokerLine(app, "events")
        self._app = app
        hours_behind_utc = (time.altzone if time.localtime().tm_isdst > 0 else time.timezone) // 3600
        self._fields = {"hostname": node, "pid": os.getpid(), "utcoffset": hours_behind_utc}
        self._queue: deque[Happened] = deque()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._waiting: dict[str, None] = {}
        """Jobs that Flower knows already, newest last; one that is forgotten here is only shown as received again."""
        self._exchange = ""
        self.dropped = 0

    def tell(self, happened: Sequence[Happened]) -> None:
        """Takes over what happened; never blocks."""
        if len(self._queue) + len(happened) > LIMIT:
            if not self.dropped:
                log.warning("flower_events_dropped")
            self.dropped += len(happened)
            return
        self._queue.extend(happened)
        self._news.set()

    def turn(self) -> float:
        """Publishes what was taken over; returns the seconds until the next turn. Called by one thread only."""
        if self._news.wait(0.5):
            self._closing.wait(GATHER_S)
        self._news.clear()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            if not self._publish([event for one in batch for event in self._events(one)]):
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

    def _events(self, happened: Happened) -> list[dict[str, Any]]:
        """Celery's events: the job received, unless Flower knows it already, and then what happened to it."""
        job_id, state = happened.job_id, happened.state
        known = self._waiting.pop(job_id, 0) is None
        if state is None:
            self._waiting[job_id] = None
            if len(self._waiting) > WAITING_KEPT:
                del self._waiting[next(iter(self._waiting))]
        name = f"{happened.kind} {happened.channel}"
        page = f"{self._jobs_at}{job_id}" if self._jobs_at else ""
        first = [] if known else [self._event("task-received", job_id, name=name, args=page, **_NOTHING_SAID)]
        kind, fields = event_of(state, happened.text)
        return [*first, self._event(kind, job_id, **fields)]

    def _event(self, kind: str, job_id: str, **fields: Any) -> dict[str, Any]:
        clock = self._app.clock.forward()
        return {"type": kind, "uuid": job_id, "clock": clock, "timestamp": time.time(), **self._fields, **fields}


_NOTHING_SAID = {"kwargs": "", "retries": 0, "eta": None, "expires": None}


def event_of(state: JobState | None, text: str) -> tuple[str, dict[str, Any]]:
    """Celery's event type and its fields for a state of a job; None: a part of it waits."""
    match state:
        case None:
            return "task-retried", {"exception": f"waits {text}", "traceback": ""}
        case JobState.ACCEPTED | JobState.PARTIAL:
            return "task-succeeded", {"result": text, "runtime": None}
        case JobState.CANCELLED:
            return "task-revoked", {"terminated": False, "signum": None, "expired": False}
        case _:
            return "task-failed", {"exception": text, "traceback": ""}
