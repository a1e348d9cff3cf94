"""Counts task-succeeded events in a process of its own, as Flower would receive them, but cheaply.

It decodes each message once and keeps the ids, so that an event told twice is noticed.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from celery.events.event import get_exchange
from kombu import Connection, Queue

READY_S = 30.0
CONTEXT = multiprocessing.get_context("spawn")


class EventCount:
    """What has come so far; shared with the process that counts."""

    def __init__(self) -> None:
        self._told: Any = CONTEXT.Value("q", 0, lock=False)
        self._jobs: Any = CONTEXT.Value("q", 0, lock=False)
        self.ready: Any = CONTEXT.Event()

    def take(self, events: list[dict[str, Any]], seen: set[str]) -> None:
        """Counts the successes among these."""
        ids = [event["uuid"] for event in events if event["type"] == "task-succeeded"]
        seen.update(ids)
        self._told.value += len(ids)
        self._jobs.value = len(seen)

    @property
    def told(self) -> int:
        """Events."""
        return int(self._told.value)

    @property
    def jobs(self) -> int:
        """Different ids among them."""
        return int(self._jobs.value)


@contextmanager
def counting(broker: str, exchange: str) -> Iterator[EventCount]:
    """Counts the events of an exchange while it lasts."""
    count = EventCount()
    process = CONTEXT.Process(target=_count, args=(broker, exchange, count), daemon=True, name="events")
    process.start()
    try:
        if not count.ready.wait(READY_S):
            raise RuntimeError("the event counter did not start")
        yield count
    finally:
        process.kill()
        process.join()


def _count(broker: str, exchange: str, count: EventCount) -> None:
    """The process: a queue of its own, bound to everything."""
    seen: set[str] = set()

    def received(message: Any) -> None:
        events = json.loads(message.body)
        count.take(events if isinstance(events, list) else [events], seen)

    with Connection(broker) as connection:
        queue = Queue("celeryev.bench", get_exchange(connection, name=exchange), routing_key="#", auto_delete=True)
        with connection.Consumer(queue, on_message=received, no_ack=True):
            count.ready.set()
            while True:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1)
