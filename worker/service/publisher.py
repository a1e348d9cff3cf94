"""Publishes doorbells and hook events as Celery messages.

A message holds a lane and ids of parts, or the id of an event, and nothing else.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import structlog

from worker.delivery.scheduler.lane_offer import Doorbell
from worker.domain.errors import NotPublished
from worker.service.broker import PublisherConnection
from worker.service.queues import DOORBELL_TASK, HOOKS, HOOKS_TASK, TRANSIENT, queue_of

log = structlog.get_logger()

T = TypeVar("T")
BROKER_AWAY_S = 0.5
"""Seconds between two tries of a broker that is away."""


class Publisher(ABC, Generic[T]):
    """Publishes through the default exchange. What cannot be published is offered again later."""

    purpose: str

    def __init__(self, app: Any, prefix: str = ""):
        self._app, self._prefix = app, prefix
        self._connection = PublisherConnection(app, self.purpose, confirms=True)
        self._declared, self._refused = False, ""

    def ready(self) -> bool:
        """Returns False while the broker is away or accepts no messages. Then nothing needs to be offered."""
        if not self._connection.open():
            # A blocked broker may lose its queues before it accepts messages again.
            self._declared = False
            return False
        return self._declared or self._declare()

    @property
    def away(self) -> bool:
        """True while no message can be published: the broker is away or blocked, or has refused the queues."""
        return self._connection.away or bool(self._refused)

    @property
    def problem(self) -> str:
        """Why no message can be published, in a sentence."""
        return self._refused or f"{self._connection.broker} takes no messages ({self._connection.error})"

    def publish(self, items: Sequence[T]) -> None:
        """Publishes one message for each item. Stops at the first failure and raises NotPublished with the rest."""
        for n, item in enumerate(items):
            if not (self.ready() and self._send(item)):
                raise NotPublished(self.problem, items[n:])
        if not self._connection.settle():
            log.warning("queue_missing")
            self._connection.close()
            self._declared = False
            raise NotPublished("its broker has lost a queue with the messages in it", items)
        if self._connection.away:
            raise NotPublished(self.problem, items)

    def close(self) -> None:
        """Closes the connection to the broker."""
        self._connection.close()

    def _declare(self) -> bool:
        """Declares the queues, and returns True if they exist now."""
        # A refused queue needs a person, so it is logged as an error, once.
        refused = self._connection.declare(self._app.conf.task_queues)
        if refused and not self._refused:
            log.error("queue_refused", text=refused)
        self._refused = refused or ""
        self._declared = not self._connection.away and not refused
        return self._declared

    @abstractmethod
    def _message(self, item: T) -> tuple[str, list[Any], str]:
        """Returns task, arguments and queue for one item."""

    def _send(self, item: T) -> bool:
        task, arguments, queue = self._message(item)
        # The id is random. With a job's id, Celery would drop every later doorbell of a job that was revoked in Flower.
        task_id = secrets.token_hex(16)
        message = self._app.amqp.as_task_v2(
            task_id, task, arguments, {}, ignore_result=True, argsrepr="", kwargsrepr=""
        )
        return self._connection.publish(
            message.body,
            exchange="",
            routing_key=queue,
            headers=message.headers,
            delivery_mode=TRANSIENT,
            **message.properties,
        )


class DoorbellPublisher(Publisher[Doorbell]):
    """Publishes doorbells: the ids of parts of one lane."""

    purpose = "doorbells"

    def _message(self, item: Doorbell) -> tuple[str, list[Any], str]:
        queue = queue_of(urgent=item.urgent, files=item.files, bulk=item.bulk, prefix=self._prefix)
        return DOORBELL_TASK, [item.lane, list(item.ids), item.probe, item.calls], queue


class EventPublisher(Publisher[str]):
    """Publishes the ids of events for the application's hooks."""

    purpose = "events of hooks"

    def _message(self, item: str) -> tuple[str, list[Any], str]:
        return HOOKS_TASK, [item], self._prefix + HOOKS
