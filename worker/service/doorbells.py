"""Rings into Celery messages: the relay's way to the broker. A message holds a lane and ids, nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import structlog

from worker.delivery.relay import Ring
from worker.service.broker import Line
from worker.service.queues import TRANSIENT, queue_of
from worker.service.tasks import RING

log = structlog.get_logger()


class Doorbells:
    """Publishes rings through the default exchange; what cannot be published is offered again later."""

    def __init__(self, app: Any, prefix: str = ""):
        self._app, self._prefix = app, prefix
        self._line = Line(app, "doorbells", confirms=True)
        self._declared = self._refused = False

    def ready(self) -> bool:
        """False while the broker is away or takes nothing: then nothing needs to be offered."""
        if not self._line.open():
            # A blocked broker may lose its queues before it takes anything again.
            self._declared = False
            return False
        return self._declared or self._declare()

    def publish(self, rings: Sequence[Ring]) -> None:
        """One message a ring; the first failure ends the round."""
        for ring in rings:
            if not (self.ready() and self._send(ring)):
                return
        if not self._line.settle():
            log.warning("queue_missing")
            self._line.close()
            self._declared = False

    def close(self) -> None:
        """Closes the line."""
        self._line.close()

    def _declare(self) -> bool:
        """Declares the queues; one that the broker refuses is told once, for it needs a person."""
        refused = self._line.declare(self._app.conf.task_queues)
        if refused and not self._refused:
            log.error("queue_refused", text=refused)
        self._refused = bool(refused)
        self._declared = not self._line.away and not refused
        return self._declared

    def _send(self, ring: Ring) -> bool:
        # The id is random: a job's id, revoked in Flower, would make Celery drop every later doorbell under it.
        task_id = secrets.token_hex(16)
        message = self._app.amqp.as_task_v2(
            task_id, RING, [ring.lane, list(ring.ids), ring.probe], {}, ignore_result=True, argsrepr="", kwargsrepr=""
        )
        return self._line.publish(
            message.body,
            exchange="",
            routing_key=queue_of(urgent=ring.urgent, prefix=self._prefix),
            headers=message.headers,
            delivery_mode=TRANSIENT,
            **message.properties,
        )
