"""The queues of the broker, the tasks in them, and how a worker is registered for both.

There are two tasks: a doorbell, and an event for the hooks. They hold ids, and the worker process does the work. All
queues are durable and direct, and are reached through the default exchange, which no flush of a broker can delete.
"""

from __future__ import annotations

from typing import Any

from kombu import Exchange, Queue

from worker.outbox.lanes.processes import QueueName
from worker.service.unreadable import drops

URGENT = "worker.urgent"
HOOKS = "worker.hooks"
"""Events for the application's hooks. They come before most sends, because a click must not wait behind a mailing."""
NORMAL = "worker.normal"
FILES = "worker.files"
"""Uploads, and sends whose files must be fetched first. They take long and may have workers of their own."""
BULK = "worker.bulk"
"""Doorbells that hold only bulk parts."""
NAMES = (URGENT, HOOKS, NORMAL, FILES, BULK)
"""The queues in the order in which a worker empties them, if its broker has priorities.

A part in one of the last two that no process takes during its offer is offered again through `NORMAL`. So these queues
may delay a part, but not for ever.
"""
TRANSIENT = 1
"""Delivery mode. The broker writes no doorbell to disk, because the ids of a lost one are offered again."""
CLASSIC, QUORUM = "classic", "quorum"


class QuorumQueue(Queue):  # type: ignore[misc]  # kombu has no types
    """A RabbitMQ queue that several nodes replicate.

    Its type is set only when it is declared. Where Celery sees a quorum queue, it declares dozens of exchanges and
    queues for delayed messages, which we never send.
    """

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:
        """Declares the queue, with its type if the broker is RabbitMQ."""
        channel = channel or self.channel
        arguments = {"x-queue-type": QUORUM} if channel.connection.client.transport.driver_type == "amqp" else {}
        return channel.queue_declare(
            queue=self.name, passive=passive, durable=True, auto_delete=False, arguments=arguments, nowait=nowait
        )


def queues(prefix: str = "", queue_type: str = CLASSIC) -> list[Queue]:
    """Returns the queues for Celery. `prefix` separates several installations in one broker.

    `-Q` and `-X` accept each name without the prefix, so that the command that starts a worker is the same everywhere.
    """
    exchange = Exchange("", type="direct", delivery_mode=TRANSIENT)
    kind = QuorumQueue if queue_type == QUORUM else Queue
    return [
        kind(prefix + name, alias=name, exchange=exchange, routing_key=prefix + name, durable=True) for name in NAMES
    ]


def queue_of(*, urgent: bool, files: bool = False, bulk: bool = False, prefix: str = "") -> str:
    """Returns the queue of a doorbell."""
    if urgent:
        return prefix + URGENT
    if files:
        return prefix + FILES
    return prefix + (BULK if bulk else NORMAL)


def queues_of(app: Any, prefix: str = "") -> list[str]:
    """Returns the queues that this process consumes now: all, or what `-Q`, `-X` and `celery control` leave of them."""
    consumed = app.amqp.queues.consume_from
    return [queue for queue, name in zip(QueueName, NAMES, strict=True) if prefix + name in consumed]


DOORBELL_TASK = "worker.ring"
HOOKS_TASK = "worker.hear"


def register(app: Any) -> None:
    """Registers the tasks on an app. They send no events of their own, because Flower shows jobs instead."""
    for name, task in ((DOORBELL_TASK, answer_doorbell), (HOOKS_TASK, run_hooks)):
        app.task(name=name, bind=True, ignore_result=True, acks_late=True, send_events=False)(task)


def answer_doorbell(task: Any, *arguments: Any, **_: Any) -> None:
    """Delivers the parts of one lane that can be delivered now: those of `[lane, ids, probe, calls]`."""
    match arguments:
        case [str(lane), [*ids], bool(probe), int(calls)] if all(isinstance(part, str) for part in ids):
            task.app.worker_process.answer_doorbell(lane, ids, probe=probe, calls=calls)
        case _:
            drops.add(TypeError())


def run_hooks(task: Any, *arguments: Any, **_: Any) -> None:
    """Runs the application's hooks for one event, `[event]`."""
    match arguments:
        case [str(event)]:
            task.app.worker_process.run_hooks(event)
        case _:
            drops.add(TypeError())
