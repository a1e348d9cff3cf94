"""Celery's consumer for RabbitMQ: it takes as many doorbells as there are threads, from queues of either type.

Celery limits the messages of a channel as a whole, which quorum queues refuse.
"""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP
from kombu import Consumer

from worker.service.bootsteps import refuse
from worker.service.queues import QuorumQueue
from worker.service.rabbitmq import BrokerConnection, refusal


class PerQueueConsumer(Consumer):  # type: ignore[misc]  # kombu has no types
    """A consumer whose limit of messages is counted queue by queue."""

    def qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> Any:
        """Sets the limit, but never for the channel as a whole."""
        return super().qos(prefetch_size, prefetch_count, False)


class Consuming(AMQP):  # type: ignore[misc]  # Celery has no types
    """Celery's connections with timeouts on their sockets, and its consumer with a limit that its queues accept."""

    Connection = BrokerConnection

    def TaskConsumer(self, channel: Any, queues: Any = None, accept: Any = None, **options: Any) -> Any:
        """The consumer of doorbells; a queue that RabbitMQ refuses ends the process with one sentence."""
        taken = queues or list(self.queues.consume_from.values())
        try:
            if channel.transport.driver_type == "amqp" and any(isinstance(queue, QuorumQueue) for queue in taken):
                return self._per_queue(channel, taken, **options)
            return super().TaskConsumer(channel, queues=taken, accept=accept, **options)
        except Exception as error:
            sentence = refusal(error)
            if sentence is None:
                raise
        return refuse(sentence)

    def _per_queue(self, connection: Any, queues: Any, **options: Any) -> Consumer:
        limit = self.app.worker_process.threads * self.app.conf.worker_prefetch_multiplier
        accept = self.app.conf.accept_content
        # A channel of its own: Celery has set a limit for the whole of the connection's.
        return PerQueueConsumer(connection.channel(), queues, accept=accept, prefetch_count=limit, **options)
