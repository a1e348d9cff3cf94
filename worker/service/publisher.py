"""Publishes doorbells and events of hooks as Celery messages.

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
from worker.service.broker import BrokerLine
from worker.service.queues import HEAR, HOOKS, RING, TRANSIENT, queue_of

log = structlog.get_logger()

T = TypeVar("T")
BROKER_AWAY_S = 0.5
"""Seconds between two tries of a broker that is away."""


class Publisher(ABC, Generic[T]):
    """Publishes through the default exchange. What cannot be published is offered again later."""

    purpose: str

    def __init__(self, app: Any, prefix: str = ""):
        self._app, self._prefix = app, prefix
        self._line = BrokerLine(app, self.purpose, confirms=True)
        self._declared, self._refused = False, ""

    def ready(self) -> bool:
        """False while the broker is away or takes no messages: then nothing needs to be offered."""
        if not self._line.open():
            # A blocked broker may lose its queues before it takes anything again.
            self._declared = False
            return False
        return self._declared or self._declare()

    @property
    def away(self) -> bool:
        """True while the broker takes no message: it is away or blocked, or has refused the queues."""
        return self._line.away or bool(self._refused)

    @property
    def problem(self) -> str:
        """Why the broker takes no message, in a sentence."""
        return self._refused or f"it cannot publish to its broker ({self._line.why})"

    def publish(self, offered: Sequence[T]) -> None:
        """Publishes one message each; the first failure ends the round, and raises NotPublished with what is left."""
        for n, one in enumerate(offered):
            if not (self.ready() and self._send(one)):
                raise NotPublished(self.problem, offered[n:])
        if not self._line.settle():
            log.warning("queue_missing")
            self._line.close()
            self._declared = False
            raise NotPublished("its broker has lost a queue, and messages with it", offered)
        if self._line.away:
            raise NotPublished(self.problem, offered)

    def close(self) -> None:
        """Closes the connection to the broker."""
        self._line.close()

    def _declare(self) -> bool:
        """Declares the queues; True when they are there."""
        # A refused queue needs a person, so it is logged as an error, once.
        refused = self._line.declare(self._app.conf.task_queues)
        if refused and not self._refused:
            log.error("queue_refused", text=refused)
        self._refused = refused or ""
        self._declared = not self._line.away and not refused
        return self._declared

    @abstractmethod
    def _message(self, one: T) -> tuple[str, list[Any], str]:
        """Task, arguments and queue."""

    def _send(self, one: T) -> bool:
        task, arguments, queue = self._message(one)
        # The id is random: a job's id, revoked in Flower, would make Celery drop every later doorbell under it.
        task_id = secrets.token_hex(16)
        message = self._app.amqp.as_task_v2(
            task_id, task, arguments, {}, ignore_result=True, argsrepr="", kwargsrepr=""
        )
        return self._line.publish(
            message.body,
            exchange="",
            routing_key=queue,
            headers=message.headers,
            delivery_mode=TRANSIENT,
            **message.properties,
        )


class Doorbells(Publisher[Doorbell]):
    """Publishes doorbells: ids of parts of one lane."""

    purpose = "doorbells"

    def _message(self, one: Doorbell) -> tuple[str, list[Any], str]:
        queue = queue_of(urgent=one.urgent, files=one.files, bulk=one.bulk, prefix=self._prefix)
        return RING, [one.lane, list(one.ids), one.probe, one.calls], queue


class EventDoorbells(Publisher[str]):
    """Publishes ids of events for the application's hooks."""

    purpose = "events of hooks"

    def _message(self, one: str) -> tuple[str, list[Any], str]:
        return HEAR, [one], self._prefix + HOOKS
