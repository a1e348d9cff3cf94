"""Rings into Celery messages: the relay's way to the broker. A message holds a lane and ids, nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from worker.delivery.relay import Ring
from worker.service.broker import Line
from worker.service.queues import TRANSIENT, queue_of
from worker.service.tasks import RING


class Doorbells:
    """Publishes rings through the default exchange; what cannot be published is offered again later."""

    def __init__(self, app: Any, prefix: str = ""):
        self._app, self._prefix = app, prefix
        self._line = Line(app, "doorbells")
        self._declared = False

    def ready(self) -> bool:
        """False while the broker is away: then nothing needs to be offered."""
        if not self._line.open():
            self._declared = False
            return False
        if not self._declared:
            for queue in self._app.conf.task_queues:
                queue.bind(self._line.channel()).declare()
            self._declared = True
        return True

    def publish(self, rings: Sequence[Ring]) -> None:
        """One message a ring; the first failure ends the round."""
        for ring in rings:
            if not (self.ready() and self._send(ring)):
                return

    def close(self) -> None:
        """Closes the line."""
        self._line.close()

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
