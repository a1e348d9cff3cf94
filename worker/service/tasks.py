"""The Celery tasks: a doorbell, and an event for the hooks. They hold ids; the worker process does the work."""

from __future__ import annotations

from typing import Any

RING = "worker.ring"
HEAR = "worker.hear"


def register(app: Any) -> None:
    """Registers the tasks on an app; they send no events of their own, because Flower shows jobs instead."""
    for name, task in ((RING, ring), (HEAR, hear)):
        app.task(name=name, bind=True, ignore_result=True, acks_late=True, send_events=False)(task)


def ring(task: Any, lane: str, ids: list[str], probe: bool = False) -> None:
    """Delivers parts of one lane, as far as they can be delivered now."""
    task.app.worker_process.ring(lane, ids, probe=probe)


def hear(task: Any, event: str) -> None:
    """Runs the application's hooks for one event."""
    task.app.worker_process.hear(event)
