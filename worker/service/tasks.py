"""The one Celery task: a doorbell. It carries ids, and its work happens in the engine room."""

from __future__ import annotations

from typing import Any

RING = "worker.ring"


def register(app: Any) -> None:
    """Registers the task on an app; it sends no events of its own, for Flower shows jobs instead."""
    app.task(name=RING, bind=True, ignore_result=True, acks_late=True, send_events=False)(ring)


def ring(task: Any, lane: str, ids: list[str], probe: bool = False) -> None:
    """Delivers these parts of one lane, as far as they can be delivered now."""
    task.app.engine_room.ring(lane, ids, probe=probe)
