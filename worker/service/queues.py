"""The queues' names, in one place: Procfile, compose file and every process take them from here.

All are durable and direct and are reached through the default exchange, which no flush of a broker can take away.
"""

from __future__ import annotations

from typing import Any

from kombu import Exchange, Queue

from worker.domain.road import Road

URGENT = "worker.urgent"
HOOKS = "worker.hooks"
"""Events for the application's hooks; before the sends, for a click must not wait behind a mailing."""
NORMAL = "worker.normal"
FILES = "worker.files"
"""Uploads, and the fetching of what is uploaded: they take long and may have workers of their own."""
BULK = "worker.bulk"
"""Doorbells with nothing but bulk in them."""
NAMES = (URGENT, HOOKS, NORMAL, FILES, BULK)
"""In the order in which a worker empties them, where its broker knows one. What nobody took out of the last two within
an offer's time is offered again through `NORMAL`: they delay, and starve nobody. Those of the release before are all
here, so whatever lies in them is drained."""
TRANSIENT = 1
"""Delivery mode: a doorbell that is lost rings again, so the broker never writes one to disk."""
CLASSIC, QUORUM = "classic", "quorum"


class QuorumQueue(Queue):  # type: ignore[misc]  # kombu has no types
    """A RabbitMQ queue kept by several nodes.

    Its type is said when it is declared and nowhere else: where Celery sees one, it declares dozens of exchanges and
    queues for delayed messages, which we never send.
    """

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:
        """Declares it as what it is; other brokers do not know types."""
        channel = channel or self.channel
        typed = {"x-queue-type": QUORUM} if channel.connection.client.transport.driver_type == "amqp" else {}
        return channel.queue_declare(
            queue=self.name, passive=passive, durable=True, auto_delete=False, arguments=typed, nowait=nowait
        )


def queues(prefix: str = "", queue_type: str = CLASSIC) -> list[Queue]:
    """Declarations for Celery; `prefix` keeps several installations apart in one broker."""
    exchange = Exchange("", type="direct", delivery_mode=TRANSIENT)
    kind = QuorumQueue if queue_type == QUORUM else Queue
    return [kind(prefix + name, exchange=exchange, routing_key=prefix + name, durable=True) for name in NAMES]


def queue_of(*, urgent: bool, files: bool = False, bulk: bool = False, prefix: str = "") -> str:
    """Where a doorbell goes."""
    if urgent:
        return prefix + URGENT
    if files:
        return prefix + FILES
    return prefix + (BULK if bulk else NORMAL)


def roads_of(app: Any, prefix: str = "") -> list[str]:
    """What this process takes from now: all, or what `-Q`, `-X` and `celery control` left."""
    taken = app.amqp.queues.consume_from
    return [road for road, name in zip(Road, NAMES, strict=True) if prefix + name in taken]
