"""The names of the queues, in one place for all processes, the Procfile and the compose file; and the tasks in them.

The tasks are a doorbell, and an event for the hooks. They hold ids; the worker process does the work.
All queues are durable and direct, and are reached through the default exchange, which no flush of a broker can delete.
"""

from __future__ import annotations

from typing import Any

from kombu import Exchange, Queue

from worker.outbox.lanes.processes import QueueName

URGENT = "worker.urgent"
HOOKS = "worker.hooks"
"""Events for the application's hooks; before the sends, because a click must not wait behind a mailing."""
NORMAL = "worker.normal"
FILES = "worker.files"
"""Uploads, and the fetching of their files: they take long and may have workers of their own."""
BULK = "worker.bulk"
"""Doorbells with nothing but bulk in them."""
NAMES = (URGENT, HOOKS, NORMAL, FILES, BULK)
"""The queues in the order in which a worker empties them, where its broker knows an order.

Parts that no process took from the last two while their offer lasted are offered again through `NORMAL`: these queues
may delay a part, but not for ever.
"""
TRANSIENT = 1
"""Delivery mode: the broker writes no doorbell to disk, because the ids of a lost one are offered again."""
CLASSIC, QUORUM = "classic", "quorum"


class QuorumQueue(Queue):  # type: ignore[misc]  # kombu has no types
    """A RabbitMQ queue kept by several nodes.

    Its type is given when it is declared and nowhere else: where Celery sees a quorum queue, it declares dozens of
    exchanges and queues for delayed messages, which we never send.
    """

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:
        """Declares the queue with its type, which only RabbitMQ knows."""
        channel = channel or self.channel
        typed = {"x-queue-type": QUORUM} if channel.connection.client.transport.driver_type == "amqp" else {}
        return channel.queue_declare(
            queue=self.name, passive=passive, durable=True, auto_delete=False, arguments=typed, nowait=nowait
        )


def queues(prefix: str = "", queue_type: str = CLASSIC) -> list[Queue]:
    """Declarations for Celery; `prefix` keeps several installations apart in one broker.

    `-Q` and `-X` may name each without the prefix, so that a line that starts a worker is the same everywhere.
    """
    exchange = Exchange("", type="direct", delivery_mode=TRANSIENT)
    kind = QuorumQueue if queue_type == QUORUM else Queue
    return [
        kind(prefix + name, alias=name, exchange=exchange, routing_key=prefix + name, durable=True) for name in NAMES
    ]


def queue_of(*, urgent: bool, files: bool = False, bulk: bool = False, prefix: str = "") -> str:
    """The queue of a doorbell."""
    if urgent:
        return prefix + URGENT
    if files:
        return prefix + FILES
    return prefix + (BULK if bulk else NORMAL)


def queues_of(app: Any, prefix: str = "") -> list[str]:
    """The queues that this process takes from now: all, or what `-Q`, `-X` and `celery control` leave of them."""
    taken = app.amqp.queues.consume_from
    return [queue for queue, name in zip(QueueName, NAMES, strict=True) if prefix + name in taken]


RING = "worker.ring"
HEAR = "worker.hear"


def register(app: Any) -> None:
    """Registers the tasks on an app; they send no events of their own, because Flower shows jobs instead."""
    for name, task in ((RING, ring), (HEAR, hear)):
        app.task(name=name, bind=True, ignore_result=True, acks_late=True, send_events=False)(task)


def ring(task: Any, lane: str, ids: list[str], probe: bool = False, calls: int = 1) -> None:
    """Delivers parts of one lane, as far as they can be delivered now."""
    task.app.worker_process.ring(lane, ids, probe=probe, calls=calls)


def hear(task: Any, event: str) -> None:
    """Runs the application's hooks for one event."""
    task.app.worker_process.hear(event)
